//! Checks parameters against a header, and infers the types of those that have none.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

use super::answer::Params;
use super::header::{Header, ParamSpec};
use super::value::{ParamType, Value, Values};
use crate::error::{Error, ErrorKind, Result};

/// The day that relative dates count from: the clock's day in the store's time zone.
pub fn today(now: DateTime<Utc>, zone: Tz) -> NaiveDate {
    now.with_timezone(&zone).date_naive()
}

/// Types every parameter of a header. An absent one takes its default or is null; an absent required
/// one, an unknown one and one of another form are refused, by name and never by value.
pub fn check(header: &Header, params: &Params, today: NaiveDate) -> Result<Values> {
    for name in params.keys() {
        if !header.params.iter().any(|spec| spec.name == *name) {
            let known = header.params.iter().map(|spec| spec.name.as_str());
            return Err(Error::unknown("parameter", name, known).with_kind(ErrorKind::InvalidRequest));
        }
    }
    header
        .params
        .iter()
        .map(|spec| {
            let value = match params.get(&spec.name).or(spec.default.as_ref()) {
                Some(text) => typed(spec, text, today)?,
                None if spec.required => {
                    return Err(Error::invalid(format!(
                        "parameter {} is required: give {}",
                        spec.name,
                        form(spec)
                    )));
                }
                None => Value::Null(spec.kind),
            };
            Ok((spec.name.clone(), value))
        })
        .collect()
}

/// Types the parameters of ad-hoc SQL by their form: whole number, decimal, date, instant, bool, else text.
/// A number with leading zeros is text, since it is an id rather than an amount.
pub fn infer(params: &Params) -> Values {
    params.iter().map(|(name, text)| (name.clone(), infer_one(text))).collect()
}

/// Types one text by one parameter's spec.
pub(super) fn typed(spec: &ParamSpec, text: &str, today: NaiveDate) -> Result<Value> {
    let is_allowed = spec.values.is_empty() || spec.values.iter().any(|value| value == text);
    Value::parse(spec.kind, text, today)
        .filter(|_| is_allowed)
        .ok_or_else(|| Error::invalid(format!("parameter {} must be {}", spec.name, form(spec))))
}

fn form(spec: &ParamSpec) -> String {
    if spec.values.is_empty() {
        return spec.kind.form().to_owned();
    }
    format!("one of {}", spec.values.join(", "))
}

fn infer_one(text: &str) -> Value {
    let is_relative = text.starts_with("today");
    let digits = text.strip_prefix('-').unwrap_or(text);
    let has_leading_zero = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    let kinds = [ParamType::Int, ParamType::Decimal, ParamType::Date, ParamType::Instant, ParamType::Bool];
    if is_relative || has_leading_zero || text == "-0" {
        return Value::Text(text.to_owned());
    }
    // No relative date gets here, so the day is never read.
    kinds
        .into_iter()
        .filter(|kind| *kind != ParamType::Int || !text.starts_with('+'))
        .find_map(|kind| Value::parse(kind, text, NaiveDate::default()))
        .unwrap_or_else(|| Value::Text(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "/*\nsummary = 's'\ngrain = 'one row'\n\
        [params.start]\ntype = 'date'\ndefault = 'today-30d'\ndoc = 'd'\n\
        [params.model]\ntype = 'text'\nvalues = ['linear', 'last_touch']\ndoc = 'd'\n\
        [params.channel]\ntype = 'text'\nrequired = true\nexample = 'email'\ndoc = 'd'\n*/ select 1";

    fn params(pairs: &[(&str, &str)]) -> Params {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    fn refusal(pairs: &[(&str, &str)]) -> String {
        let header = Header::parse("t/q.sql", HEADER).unwrap();
        let error = check(&header, &params(pairs), NaiveDate::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        error.message().to_owned()
    }

    #[test]
    fn defaults_are_resolved_and_optional_parameters_are_null() {
        let header = Header::parse("t/q.sql", HEADER).unwrap();
        let today = "2026-11-21".parse().unwrap();
        let values = check(&header, &params(&[("channel", "email")]), today).unwrap();
        assert_eq!(values["start"], Value::Date("2026-10-22".parse().unwrap()));
        assert_eq!(values["model"], Value::Null(ParamType::Text));
        assert_eq!(values["channel"], Value::Text("email".into()));
    }

    #[test]
    fn refusals_name_the_parameter_and_the_form_but_not_the_value() {
        assert_eq!(
            refusal(&[("chanel", "secret")]),
            "unknown parameter chanel, did you mean channel? (known: channel, model, start)"
        );
        assert_eq!(refusal(&[]), "parameter channel is required: give text");
        assert_eq!(
            refusal(&[("channel", "x"), ("start", "secret")]),
            "parameter start must be a date such as 2026-11-21, today or today-30d"
        );
        assert_eq!(
            refusal(&[("channel", "x"), ("model", "secret")]),
            "parameter model must be one of linear, last_touch"
        );
    }

    #[test]
    fn the_day_is_the_stores_own() {
        let now = "2026-11-21T23:30:00Z".parse().unwrap();
        assert_eq!(today(now, chrono_tz::UTC).to_string(), "2026-11-21");
        assert_eq!(today(now, chrono_tz::Asia::Tokyo).to_string(), "2026-11-22");
    }

    #[test]
    fn ad_hoc_types_follow_the_form() {
        let kind = |text: &str| infer_one(text).kind();
        assert_eq!(kind("30"), ParamType::Int);
        assert_eq!(kind("-30"), ParamType::Int);
        assert_eq!(kind("0.10"), ParamType::Decimal);
        assert_eq!(kind("2026-11-21"), ParamType::Date);
        assert_eq!(kind("2026-11-21T00:00:00+01:00"), ParamType::Instant);
        assert_eq!(kind("true"), ParamType::Bool);
        for text in ["007", "+7", "today", "TRUE", "", "1e5", "-0", "it's; drop"] {
            assert_eq!(kind(text), ParamType::Text, "{text}");
        }
    }
}
