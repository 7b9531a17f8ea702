//! Parameters of a request's address.

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;

use super::problem::Problem;
use crate::error::{Error, ErrorKind};
use crate::query::Params;
use crate::serve::encode::{Format, Numbers, Style};

/// The parameters of a query string, taken out one by one; what is left at the end is the query's own, or
/// a mistake.
#[derive(Debug, Default)]
pub struct QueryString(Params);

impl QueryString {
    pub fn of(uri: &Uri) -> Result<Self, Problem> {
        let mut params = Params::new();
        for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            if params.contains_key(name.as_ref()) {
                return Err(Error::invalid(format!("parameter {name} is given twice")).into());
            }
            params.insert(name.into_owned(), value.into_owned());
        }
        Ok(Self(params))
    }

    /// Takes a parameter; an empty one counts as not given.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    /// Takes `format`.
    pub fn take_format(&mut self) -> Result<Option<Format>, Problem> {
        Ok(self.take("format").map(|name| Format::parse(&name)).transpose()?)
    }

    /// Takes a flag: `1`, `0`, `true` or `false`.
    pub fn take_flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.take(name).as_deref() {
            None | Some("0" | "false") => Ok(false),
            Some("1" | "true") => Ok(true),
            Some(_) => Err(Error::invalid(format!("{name} has to be 1 or 0")).into()),
        }
    }

    /// Takes a whole number that is not below 0.
    pub fn take_count(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        let parse = |count: String| {
            count.parse().map_err(|error| {
                Error::invalid(format!("{name} has to be a whole number, 0 or more")).with_source(error)
            })
        };
        Ok(self.take(name).map(parse).transpose()?)
    }

    /// Takes `numbers` and `safe`.
    pub fn take_style(&mut self) -> Result<Style, Problem> {
        let numbers = match self.take("numbers").as_deref() {
            None | Some("exact") => Numbers::Exact,
            Some("float") => Numbers::Float,
            Some(_) => return Err(Error::invalid("numbers has to be exact or float").into()),
        };
        let for_spreadsheets = match self.take("safe").as_deref() {
            None => false,
            Some("spreadsheet") => true,
            Some(_) => return Err(Error::invalid("safe has to be spreadsheet").into()),
        };
        Ok(Style { numbers, for_spreadsheets })
    }

    /// What is left; the store was the access check's.
    pub fn rest(mut self) -> Params {
        self.0.remove("store");
        self.0
    }

    /// Refuses what nobody took.
    pub fn end(self, known: &[&str]) -> Result<(), Problem> {
        match self.rest().into_keys().next() {
            None => Ok(()),
            Some(name) => {
                let known = known.iter().copied();
                Err(Error::unknown("parameter", &name, known).with_kind(ErrorKind::InvalidRequest).into())
            }
        }
    }
}

impl<S: Sync> FromRequestParts<S> for QueryString {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(&parts.uri)
    }
}
