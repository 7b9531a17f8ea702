//! Typed arguments of table functions: constants, by position or by name, and what a profile says of the others.

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::Expr;

use super::model::Model;
use super::profiles::Profile;

/// The longest lookback or half-life, in days: a hundred years and some.
const MAX_DAYS: f64 = 40_000.0;
/// The largest weight.
const MAX_WEIGHT: f64 = 1_000.0;

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number of days, with fractions.
    Days,
    /// True or false.
    Flag,
    /// A calendar date.
    Date,
    /// One of some texts.
    Choice(&'static [&'static str]),
    /// Names, separated by commas.
    Names,
    /// A number that is not negative.
    Weight,
    /// The name of a profile.
    Profile,
    /// The code of a currency.
    Currency,
    /// The names of models, separated by commas.
    Models,
    /// A whole number that is not negative.
    Count,
}

/// A parameter of a table function.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    pub name: &'static str,
    pub kind: Kind,
    /// What holds where it is not given, as it is shown in the manual.
    pub default: &'static str,
    pub doc: &'static str,
}

/// The arguments of one call.
#[derive(Debug)]
pub struct Arguments {
    function: &'static str,
    parameters: Vec<Parameter>,
    values: Vec<ScalarValue>,
    profile: Option<&'static Profile>,
    /// Whether every argument has a value; a parameter of the query may still wait for one.
    pub is_bound: bool,
}

impl Arguments {
    /// Reads the arguments of a call, in the order of the parameters; null is not given.
    pub fn try_new(function: &'static str, parameters: Vec<Parameter>, args: &[Expr]) -> Result<Self> {
        if args.len() > parameters.len() {
            return plan_err!("{function} takes at most {} arguments", parameters.len());
        }
        let mut values = vec![ScalarValue::Null; parameters.len()];
        let mut is_bound = true;
        for ((value, parameter), arg) in values.iter_mut().zip(&parameters).zip(args) {
            match arg {
                Expr::Literal(literal, _) => *value = literal.clone(),
                Expr::Placeholder(_) => is_bound = false,
                _ => return plan_err!("{function}: {} must be written as a constant", parameter.name),
            }
        }
        let mut arguments = Self { function, parameters, values, profile: None, is_bound };
        if let Some(name) = arguments.text("profile")? {
            match Profile::named(&name) {
                Some(profile) => arguments.profile = Some(profile),
                None => {
                    let known = Profile::all().iter().map(|profile| profile.name.as_str());
                    return plan_err!(
                        "{function}: there is no profile of that name; choose one of {}",
                        known.collect::<Vec<_>>().join(", ")
                    );
                }
            }
        }
        for parameter in arguments.parameters.clone() {
            arguments.check(&parameter)?;
        }
        Ok(arguments)
    }

    /// A plan error about a parameter.
    pub fn invalid<T>(&self, name: &str, message: &str) -> Result<T> {
        plan_err!("{}: {name} {message}", self.function)
    }

    /// Refuses a value of the wrong type, whether anybody asks for it or not.
    fn check(&self, parameter: &Parameter) -> Result<()> {
        let name = parameter.name;
        match parameter.kind {
            Kind::Days | Kind::Weight => self.number(name).map(|_| ()),
            Kind::Flag => self.flag(name).map(|_| ()),
            Kind::Date => self.date(name).map(|_| ()),
            Kind::Choice(_) => self.choice(name).map(|_| ()),
            Kind::Names => self.names(name).map(|_| ()),
            Kind::Currency => self.currency(name).map(|_| ()),
            Kind::Models => self.models(name).map(|_| ()),
            Kind::Count => self.count(name).map(|_| ()),
            Kind::Profile => Ok(()),
        }
    }

    fn parameter(&self, name: &str) -> Option<(usize, &Parameter)> {
        self.parameters.iter().enumerate().find(|(_, parameter)| parameter.name == name)
    }

    /// What was given, or else what the profile says; none where neither does.
    fn value(&self, name: &str) -> Option<ScalarValue> {
        let (at, _) = self.parameter(name)?;
        let given = Some(&self.values[at]).filter(|value| !value.is_null());
        given.cloned().or_else(|| self.profile?.value(name))
    }

    /// A number of days, or a weight.
    pub fn number(&self, name: &str) -> Result<Option<f64>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let is_days = matches!(self.parameter(name), Some((_, parameter)) if parameter.kind == Kind::Days);
        let (most, what) = if is_days { (MAX_DAYS, "a number of days") } else { (MAX_WEIGHT, "a number") };
        match value.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(Some(number))) if (0.0..=most).contains(&number) => Ok(Some(number)),
            _ => self.invalid(name, &format!("must be {what} from 0 to {most}")),
        }
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>> {
        match self.value(name) {
            None => Ok(None),
            Some(ScalarValue::Boolean(flag)) => Ok(flag),
            Some(_) => self.invalid(name, "must be true or false"),
        }
    }

    /// Days since 1970.
    pub fn date(&self, name: &str) -> Result<Option<i32>> {
        match self.value(name).map(|value| value.cast_to(&DataType::Date32)) {
            None => Ok(None),
            Some(Ok(ScalarValue::Date32(day))) => Ok(day),
            Some(_) => self.invalid(name, "must be a date such as 2026-01-31"),
        }
    }

    fn text(&self, name: &str) -> Result<Option<String>> {
        match self.value(name) {
            None => Ok(None),
            Some(ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text)) => {
                Ok(text)
            }
            Some(_) => self.invalid(name, "must be a text"),
        }
    }

    /// One of the texts that the parameter takes.
    pub fn choice(&self, name: &str) -> Result<Option<&'static str>> {
        let Some((_, Parameter { kind: Kind::Choice(choices), .. })) = self.parameter(name) else {
            return Ok(None);
        };
        let Some(text) = self.text(name)? else { return Ok(None) };
        match choices.iter().find(|choice| **choice == text) {
            Some(choice) => Ok(Some(choice)),
            None => self.invalid(name, &format!("must be one of {}", choices.join(", "))),
        }
    }

    /// A currency's code, in upper case.
    pub fn currency(&self, name: &str) -> Result<Option<String>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let code = text.trim().to_uppercase();
        if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return self.invalid(name, "must be a code of three letters such as EUR");
        }
        Ok(Some(code))
    }

    pub fn models(&self, name: &str) -> Result<Option<Vec<Model>>> {
        let Some(names) = self.names(name)? else { return Ok(None) };
        match names.iter().map(|name| Model::named(name)).collect() {
            Some(models) => Ok(Some(models)),
            None => {
                let known = Model::ALL.map(Model::name).join(", ");
                self.invalid(name, &format!("must be some of {known}, separated by commas"))
            }
        }
    }

    pub fn count(&self, name: &str) -> Result<Option<usize>> {
        match self.value(name).map(|value| value.cast_to(&DataType::Int64)) {
            None => Ok(None),
            Some(Ok(ScalarValue::Int64(Some(count)))) if count >= 0 => Ok(Some(count as usize)),
            Some(_) => self.invalid(name, "must be a whole number from 0 on"),
        }
    }

    /// Names between commas, trimmed and in lower case; none where the text has none.
    pub fn names(&self, name: &str) -> Result<Option<Vec<String>>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let names = text.split(',').map(|name| name.trim().to_lowercase());
        Ok(Some(names.filter(|name| !name.is_empty()).collect()))
    }
}
