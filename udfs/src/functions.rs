//! The lists: every function, and every function's manual page.

use datafusion::logical_expr::{Documentation, ScalarUDF};

use crate::attribution::{
    JourneyTotalsFunction, JourneysFunction, journey_totals_documentation, journeys_documentation,
};
use crate::calendar::LocalDay;
use crate::money::{SafeRatio, SplitMoney};
use crate::rating::RateMetric;

/// A function's manual page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionDoc {
    pub name: String,
    pub family: String,
    pub syntax: String,
    pub description: String,
    /// Names and meanings.
    pub arguments: Vec<(String, String)>,
    /// A query that runs.
    pub example: String,
}

/// Returns every scalar function, to be registered in a session.
pub fn scalar_functions() -> Vec<ScalarUDF> {
    vec![
        ScalarUDF::from(LocalDay::default()),
        ScalarUDF::from(RateMetric::default()),
        ScalarUDF::from(SafeRatio::default()),
        ScalarUDF::from(SplitMoney::default()),
    ]
}

/// Returns every function's manual page, by family and name; the table functions are among them.
pub fn documentation() -> Vec<FunctionDoc> {
    let mut pages = vec![
        page(JourneysFunction::NAME, &journeys_documentation()),
        page(JourneyTotalsFunction::NAME, &journey_totals_documentation()),
    ];
    for function in scalar_functions() {
        pages.extend(function.documentation().map(|documentation| page(function.name(), documentation)));
    }
    pages.sort_by(|a, b| (&a.family, &a.name).cmp(&(&b.family, &b.name)));
    pages
}

fn page(name: &str, documentation: &Documentation) -> FunctionDoc {
    FunctionDoc {
        name: name.to_owned(),
        family: documentation.doc_section.label.to_owned(),
        syntax: documentation.syntax_example.clone(),
        description: documentation.description.clone(),
        arguments: documentation.arguments.clone().unwrap_or_default(),
        example: documentation.sql_example.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_has_a_whole_page() {
        let pages = documentation();
        assert_eq!(pages.len(), scalar_functions().len() + 2);
        for page in pages {
            assert!(page.syntax.starts_with(&format!("{}(", page.name)), "{}", page.name);
            assert!(!page.arguments.is_empty() && page.example.contains(&page.name), "{}", page.name);
        }
    }
}
