//! What a request for SQL asks for beside the rows.

use axum::http::HeaderMap;

use crate::error::{Error, Result};
use crate::serve::encode::{Format, Style};
use crate::serve::http::answer;
use crate::serve::http::problem::Problem;
use crate::serve::http::query_string::QueryString;

/// Names a statement: in a request, as its client wishes; in an answer, as it is.
pub const STATEMENT: &str = "tributary-statement";

/// What is to be done with a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Its rows leave as they are computed.
    Rows { format: Format, style: Style },
    /// It is begun, and its rows wait.
    Job,
    /// It is planned, to see what it returns and reads.
    DryRun,
    /// It is planned, and run where `measured`, to see how.
    Explain { measured: bool },
}

/// Reads the parameters and headers of a request.
pub fn way(mut query: QueryString, headers: &HeaderMap) -> Result<Way, Problem> {
    let is_dry_run = query.take_flag("dry_run")?;
    let is_async = query.take_flag("async")? || prefers_async(headers);
    let explain = match query.take("explain").as_deref() {
        None => None,
        Some("plan") => Some(false),
        Some("analyze") => Some(true),
        Some(_) => return Err(Error::invalid("explain has to be plan or analyze").into()),
    };
    let (format, style) = (query.take_format()?, query.take_style()?);
    query.end(&["async", "dry_run", "explain", "format", "numbers", "safe", "store"])?;
    match (is_dry_run, explain, is_async) {
        (false, None, false) => Ok(Way::Rows { format: answer::choose_format(format, headers)?, style }),
        (false, None, true) => Ok(Way::Job),
        (true, None, false) => Ok(Way::DryRun),
        (false, Some(measured), false) => Ok(Way::Explain { measured }),
        _ => Err(Error::invalid("choose one of dry_run, explain and async").into()),
    }
}

/// RFC 7240.
fn prefers_async(headers: &HeaderMap) -> bool {
    let preferences = headers.get_all("prefer").iter().filter_map(|preference| preference.to_str().ok());
    preferences.flat_map(|preferences| preferences.split(',')).any(|preference| {
        preference.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("respond-async")
    })
}

/// The id that the client chose, if it chose one.
pub fn chosen_id(headers: &HeaderMap) -> Option<String> {
    headers.get(STATEMENT).map(|id| id.to_str().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn asked(query: &str, prefer: Option<&'static str>) -> Result<Way, Problem> {
        let mut headers = HeaderMap::new();
        if let Some(prefer) = prefer {
            headers.insert("prefer", HeaderValue::from_static(prefer));
        }
        way(QueryString::of(&format!("/v1/sql?{query}").parse().unwrap()).unwrap(), &headers)
    }

    #[test]
    fn one_way_is_chosen_and_two_are_refused() {
        let rows = Way::Rows { format: Format::Csv, style: Style::default() };
        assert_eq!(asked("format=csv", None).unwrap(), rows);
        assert_eq!(asked("format=csv&dry_run=0&async=false", None).unwrap(), rows);
        assert_eq!(asked("dry_run=1", None).unwrap(), Way::DryRun);
        assert_eq!(asked("explain=analyze", None).unwrap(), Way::Explain { measured: true });
        assert_eq!(asked("async=true", None).unwrap(), Way::Job);
        assert_eq!(asked("", Some("wait=5, Respond-Async; x=1")).unwrap(), Way::Job);
        for wrong in ["dry_run=1&async=1", "explain=plan&dry_run=1", "explain=all", "async=maybe", "asinc=1"]
        {
            assert_eq!(asked(wrong, None).unwrap_err().status, 400, "{wrong}");
        }
    }
}
