//! Parameters of a request's address.

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;

use super::problem::Problem;
use crate::error::{Error, ErrorKind};
use crate::query::Params;
use crate::serve::encode::{Format, Numbers};

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

    /// Takes `numbers`.
    pub fn take_numbers(&mut self) -> Result<Numbers, Problem> {
        match self.take("numbers").as_deref() {
            None | Some("exact") => Ok(Numbers::Exact),
            Some("float") => Ok(Numbers::Float),
            Some(_) => Err(Error::invalid("numbers has to be exact or float").into()),
        }
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
