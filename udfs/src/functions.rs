//! The lists: every function, and every function's manual page.

use std::sync::Arc;

use datafusion::catalog::TableFunctionImpl;
use datafusion::logical_expr::planner::RelationPlanner;
use datafusion::logical_expr::{Documentation, ScalarUDF};

use crate::attribution::{
    JourneyFunction, JourneyTables, NamedArguments, Parameter, Profile, ProfilesFunction, RULE_PARAMETERS,
    Rules, View, WINDOW_PARAMETERS,
};
use crate::calendar::LocalDay;
use crate::data_driven::{LiftCredits, ModelRelations, NormalDeviation, PathModel};
use crate::money::{SafeRatio, SplitMoney};
use crate::rating::RateMetric;

/// The family of the functions over journeys.
const ATTRIBUTION: &str = "attribution";
/// The family of the functions over paths.
const DATA_DRIVEN: &str = "data-driven";

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
        ScalarUDF::from(LiftCredits::default()),
        ScalarUDF::from(LocalDay::default()),
        ScalarUDF::from(NormalDeviation::default()),
        ScalarUDF::from(RateMetric::default()),
        ScalarUDF::from(SafeRatio::default()),
        ScalarUDF::from(SplitMoney::default()),
    ]
}

/// Returns every table function over one store's tables, by name, to be registered in a session.
pub fn table_functions(tables: &JourneyTables) -> Vec<(&'static str, Arc<dyn TableFunctionImpl>)> {
    let of_view = |view: View| -> (&'static str, Arc<dyn TableFunctionImpl>) {
        (view.name(), Arc::new(JourneyFunction::new(view, tables.clone())))
    };
    let mut functions: Vec<_> = View::ALL.map(of_view).to_vec();
    functions.push((ProfilesFunction::NAME, Arc::new(ProfilesFunction)));
    functions
}

/// The parameters that every function over journeys has: what decides which touches count, and for how much.
pub fn rule_parameters() -> Vec<Parameter> {
    WINDOW_PARAMETERS.into_iter().chain(RULE_PARAMETERS).collect()
}

/// How far an order looks back under the standard rules, in microseconds.
pub fn standard_lookback_us() -> i64 {
    Rules::default().longest_lookback_us()
}

/// The names of the profiles.
pub fn profile_names() -> Vec<String> {
    Profile::all().iter().map(|profile| profile.name.clone()).collect()
}

/// Whether a table function reads the tables that journeys are made of, or may where it is given none.
pub fn reads_journeys(name: &str) -> bool {
    is_journey_function(name) || PathModel::named(name).is_some()
}

/// Whether a table function looks at the store's journeys, and takes the rules.
pub fn is_journey_function(name: &str) -> bool {
    View::ALL.iter().any(|view| view.name() == name)
}

/// Returns the planners that let table functions take arguments by name, and relations of journeys.
pub fn relation_planners() -> Vec<Arc<dyn RelationPlanner>> {
    let names = |view: View| view.parameters().iter().map(|parameter| parameter.name).collect();
    let by_name = NamedArguments::new(View::ALL.map(|view| (view.name(), names(view))).into());
    vec![Arc::new(ModelRelations), Arc::new(by_name)]
}

/// Returns every function's manual page, by family and name; the table functions are among them.
pub fn documentation() -> Vec<FunctionDoc> {
    let mut pages: Vec<FunctionDoc> = View::ALL.map(view_page).to_vec();
    pages.push(FunctionDoc {
        name: ProfilesFunction::NAME.to_owned(),
        family: ATTRIBUTION.to_owned(),
        syntax: format!("{}()", ProfilesFunction::NAME),
        description: ProfilesFunction::DESCRIPTION.to_owned(),
        arguments: Vec::new(),
        example: ProfilesFunction::EXAMPLE.to_owned(),
    });
    pages.extend(PathModel::ALL.map(model_page));
    for function in scalar_functions() {
        pages.extend(function.documentation().map(|documentation| page(function.name(), documentation)));
    }
    pages.sort_by(|a, b| (&a.family, &a.name).cmp(&(&b.family, &b.name)));
    pages
}

fn argument(parameter: &Parameter) -> (String, String) {
    let meaning = format!("{} {} if not given.", parameter.doc, capitalised(parameter.default));
    (parameter.name.to_owned(), meaning)
}

fn model_page(model: PathModel) -> FunctionDoc {
    let journeys = "The journeys: a call such as journey_paths(), or a query in parentheses with the columns channels (a list) or path (a text), conversions, and where there are any value or revenue, and non_conversions. All of the store's if not given.";
    let parameters = model.parameters();
    FunctionDoc {
        name: model.name().to_owned(),
        family: DATA_DRIVEN.to_owned(),
        syntax: format!("{}([journeys] [, parameter => constant, ...])", model.name()),
        description: model.description().to_owned(),
        arguments: std::iter::once(("journeys".to_owned(), journeys.to_owned()))
            .chain(parameters.iter().map(argument))
            .collect(),
        example: model.example().to_owned(),
    }
}

fn view_page(view: View) -> FunctionDoc {
    FunctionDoc {
        name: view.name().to_owned(),
        family: ATTRIBUTION.to_owned(),
        syntax: format!("{}([parameter => constant, ...])", view.name()),
        description: view.description().to_owned(),
        arguments: view.parameters().iter().map(argument).collect(),
        example: view.example().to_owned(),
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
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
        assert_eq!(pages.len(), scalar_functions().len() + View::ALL.len() + PathModel::ALL.len() + 1);
        for page in pages {
            assert!(page.syntax.starts_with(&format!("{}(", page.name)), "{}", page.name);
            assert!(page.example.contains(&page.name), "{}", page.name);
        }
    }
}
