//! Other products' choices as data: `data/profiles/`, one file a product.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use datafusion::common::ScalarValue;
use serde::Deserialize;

/// The files, in the order in which they are shown.
const FILES: [&str; 7] = [
    include_str!("../../../data/profiles/tributary-1.toml"),
    include_str!("../../../data/profiles/adobe.toml"),
    include_str!("../../../data/profiles/ga4.toml"),
    include_str!("../../../data/profiles/mam.toml"),
    include_str!("../../../data/profiles/mixpanel.toml"),
    include_str!("../../../data/profiles/posthog.toml"),
    include_str!("../../../data/profiles/snowplow.toml"),
];

static PROFILES: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    let read = |text: &&str| {
        toml::from_str(text).unwrap_or_else(|error| unreachable!("a test reads them all: {error}"))
    };
    FILES.iter().map(read).collect()
});

/// How a product attributes, as options of the functions of journeys.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub name: String,
    pub summary: String,
    /// The models to look at beside the product's own reports.
    pub models: Vec<String>,
    /// Addresses of what the choices were read from.
    pub sources: Vec<String>,
    /// The day on which they were read.
    pub as_of: String,
    pub options: BTreeMap<String, Choice>,
    /// What the product does that no option reproduces.
    #[serde(default)]
    pub differences: Vec<Difference>,
}

/// What a product chooses, and why it is taken to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    pub value: ChoiceValue,
    pub why: String,
}

/// The value of an option, as its parameter takes it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum ChoiceValue {
    Flag(bool),
    Number(f64),
    Text(String),
}

/// What a product does that no option reproduces.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    pub what: String,
}

impl Profile {
    /// Every profile; the project's own comes first.
    pub fn all() -> &'static [Profile] {
        &PROFILES
    }

    pub fn named(name: &str) -> Option<&'static Profile> {
        Self::all().iter().find(|profile| profile.name == name)
    }

    /// What the product chooses for an option; none where the file does not say.
    pub fn value(&self, option: &str) -> Option<ScalarValue> {
        Some(match &self.options.get(option)?.value {
            ChoiceValue::Flag(flag) => ScalarValue::Boolean(Some(*flag)),
            ChoiceValue::Number(number) => ScalarValue::Float64(Some(*number)),
            ChoiceValue::Text(text) => ScalarValue::Utf8(Some(text.clone())),
        })
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::lit;

    use super::super::arguments::Arguments;
    use super::super::model::Model;
    use super::super::rules::{RULE_PARAMETERS, Rules, WINDOW_PARAMETERS};
    use super::*;

    #[test]
    fn every_file_names_options_that_there_are_and_its_sources() {
        let parameters: Vec<_> = WINDOW_PARAMETERS.into_iter().chain(RULE_PARAMETERS).collect();
        for profile in Profile::all() {
            for option in profile.options.keys() {
                assert!(parameters.iter().any(|known| known.name == option), "{}: {option}", profile.name);
            }
            assert!(profile.models.iter().all(|model| Model::named(model).is_some()), "{}", profile.name);
            assert!(!profile.sources.is_empty(), "{}", profile.name);
            let args = [lit(ScalarValue::Null), lit(ScalarValue::Null), lit(profile.name.as_str())];
            let arguments = Arguments::try_new("journeys", parameters.clone(), &args).unwrap();
            Rules::try_new(&arguments).unwrap();
        }
    }

    #[test]
    fn our_own_profile_is_the_default() {
        let parameters: Vec<_> = WINDOW_PARAMETERS.into_iter().chain(RULE_PARAMETERS).collect();
        let args = [lit(ScalarValue::Null), lit(ScalarValue::Null), lit("tributary-1")];
        let arguments = Arguments::try_new("journeys", parameters, &args).unwrap();
        assert_eq!(Rules::try_new(&arguments).unwrap(), Rules::default());
    }
}
