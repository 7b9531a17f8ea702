//! The commands that begin with a backslash.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::args::parse_param;
use crate::cli::exit::{Failure, Outcome};
use crate::error::{Error, ErrorKind};
use crate::query::Params;

/// What each command takes and does; `\?` prints it.
pub const COMMANDS: [(&str, &str, &str); 17] = [
    ("\\d", "[TABLE]", "lists the tables, or a table's columns"),
    ("\\dt", "", "lists the tables with their rows"),
    ("\\df", "[PATTERN]", "lists functions; * stands for any letters"),
    ("\\queries", "[PATTERN]", "lists the named queries, or one with its parameters"),
    ("\\run", "TOPIC/NAME [KEY=VALUE ...]", "asks a named query"),
    ("\\set", "[NAME VALUE]", "gives $NAME a value, or lists the values"),
    ("\\unset", "NAME", "takes the value away"),
    ("\\format", "[FORMAT]", "shows answers as table, csv, json, ndjson or markdown"),
    ("\\export", "FILE", "writes an answer to a file, by its ending: csv, json, ndjson, parquet, arrow, md"),
    ("\\explain", "[SQL]", "shows how a statement is planned"),
    ("\\watch", "[SECONDS]", "asks again every so often, until Ctrl-C"),
    ("\\timing", "", "shows how long answers take, or stops showing it"),
    ("\\pager", "", "pages long answers, or stops paging them"),
    ("\\h", "", "the same as \\?"),
    ("\\?", "", "shows this"),
    ("\\quit", "", "the same as \\q"),
    ("\\q", "", "leaves; so does Ctrl-D"),
];

/// The shortest and the longest pause of `\watch`, in seconds.
const PAUSES: std::ops::RangeInclusive<f64> = 0.1..=86_400.0;
const USUAL_PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    Describe(Option<String>),
    Tables,
    Functions(Option<String>),
    Queries(Option<String>),
    Run { name: String, params: Params },
    Values,
    Set { name: String, value: String },
    Unset(String),
    Format(Option<String>),
    Export(PathBuf),
    Explain(Option<String>),
    Watch(Duration),
    Timing,
    Pager,
    Help,
    Quit,
}

impl Command {
    /// Whether the command acts on a statement that stands above it.
    pub fn takes_statement(&self) -> bool {
        matches!(self, Command::Export(_) | Command::Explain(None) | Command::Watch(_))
    }

    /// Reads a line that begins with a backslash.
    pub fn parse(line: &str) -> Outcome<Self> {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let words = words(rest)?;
        let one = || match words.as_slice() {
            [] => Ok(None),
            [word] => Ok(Some(word.clone())),
            _ => Err(usage(name)),
        };
        let none = |command: Command| if words.is_empty() { Ok(command) } else { Err(usage(name)) };
        match name {
            "\\d" => Ok(Command::Describe(one()?)),
            "\\dt" => none(Command::Tables),
            "\\df" => Ok(Command::Functions(one()?)),
            "\\queries" => Ok(Command::Queries(one()?)),
            "\\run" => {
                let (name, params) = words.split_first().ok_or_else(|| usage(name))?;
                let params = params.iter().map(|word| parse_param(word)).collect::<Result<_, _>>();
                Ok(Command::Run { name: name.clone(), params: params.map_err(Error::invalid)? })
            }
            "\\set" => match words.split_first() {
                None => Ok(Command::Values),
                Some((_, [])) => Err(usage(name)),
                Some((name, values)) => {
                    let name = name.strip_prefix('$').unwrap_or(name).to_owned();
                    Ok(Command::Set { name, value: values.join(" ") })
                }
            },
            "\\unset" => Ok(Command::Unset(one()?.ok_or_else(|| usage(name))?)),
            "\\format" => Ok(Command::Format(one()?)),
            "\\export" => Ok(Command::Export(one()?.ok_or_else(|| usage(name))?.into())),
            "\\explain" => Ok(Command::Explain((!rest.is_empty()).then(|| rest.to_owned()))),
            "\\watch" => Ok(Command::Watch(one()?.map_or(Ok(USUAL_PAUSE), |text| pause(&text))?)),
            "\\timing" => none(Command::Timing),
            "\\pager" => none(Command::Pager),
            "\\?" | "\\h" => Ok(Command::Help),
            "\\q" | "\\quit" => Ok(Command::Quit),
            _ => {
                let known = COMMANDS.iter().map(|(name, ..)| *name);
                Err(Error::unknown("command", name, known).with_kind(ErrorKind::InvalidRequest).into())
            }
        }
    }
}

/// What `\?` shows.
pub fn help() -> String {
    let mut text = String::from(
        "A statement ends with a semicolon and may have several lines; Tab completes, Ctrl-C cancels.\n\
         \\export, \\explain and \\watch act on the statement above them, else on the last one.\n\n",
    );
    for (name, takes, does) in COMMANDS {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "  {:36}{does}", format!("{name} {takes}"));
    }
    text
}

fn usage(name: &str) -> Failure {
    let takes = COMMANDS.iter().find(|(known, ..)| *known == name).map_or("", |(_, takes, _)| takes);
    Error::invalid(format!("{name} takes {}", if takes.is_empty() { "nothing" } else { takes })).into()
}

fn pause(text: &str) -> Outcome<Duration> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| PAUSES.contains(seconds));
    let wrong = || Error::invalid("\\watch takes a number of seconds from 0.1 to 86400").into();
    seconds.map(Duration::from_secs_f64).ok_or_else(wrong)
}

/// Splits at blanks; quotes keep them, and two quotes within quotes are one.
fn words(text: &str) -> Outcome<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match quote {
            Some(open) if letter == open && letters.peek() == Some(&open) => {
                letters.next();
                word.get_or_insert_default().push(letter);
            }
            Some(open) if letter == open => quote = None,
            None if matches!(letter, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            None if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err(Error::invalid("a quote is not closed").into());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::message;

    fn parsed(line: &str) -> Command {
        Command::parse(line).unwrap_or_else(|failure| panic!("{line}: {}", message(&failure)))
    }

    fn refused(line: &str) -> String {
        match Command::parse(line) {
            Ok(command) => panic!("{line} is {command:?}"),
            Err(failure) => message(&failure),
        }
    }

    #[test]
    fn every_command_of_the_help_is_known() {
        for (name, takes, _) in COMMANDS {
            let line = match takes {
                "" => name.to_owned(),
                "TOPIC/NAME [KEY=VALUE ...]" => format!("{name} a/b key=value"),
                "[NAME VALUE]" => format!("{name} a b"),
                "[SECONDS]" => format!("{name} 5"),
                _ => format!("{name} word"),
            };
            parsed(&line);
            assert!(help().contains(name), "{name}");
        }
    }

    #[test]
    fn quotes_keep_blanks_in_a_value() {
        let Command::Run { name, params } = parsed("\\run a/b k='it''s a' start=2026-01-01") else {
            panic!("not a run")
        };
        assert_eq!(name, "a/b");
        assert_eq!(params["k"], "it's a");
        assert_eq!(params["start"], "2026-01-01");
        let set = |name: &str, value: &str| Command::Set { name: name.into(), value: value.into() };
        assert_eq!(parsed("\\set $who ada lovelace"), set("who", "ada lovelace"));
        assert_eq!(parsed("\\set who ''"), set("who", ""));
        assert_eq!(parsed("\\set"), Command::Values);
        assert!(refused("\\set who 'ada").contains("a quote is not closed"));
    }

    #[test]
    fn sql_after_explain_is_left_as_it_is() {
        assert_eq!(parsed("\\explain select 'a  b'"), Command::Explain(Some("select 'a  b'".into())));
        assert_eq!(parsed("\\explain"), Command::Explain(None));
    }

    #[test]
    fn a_wrong_command_says_what_would_be_right() {
        assert!(refused("\\quries").contains("did you mean \\queries?"));
        assert!(refused("\\d a b").contains("\\d takes [TABLE]"));
        assert!(refused("\\timing on").contains("\\timing takes nothing"));
        assert!(refused("\\export").contains("\\export takes FILE"));
        for wrong in ["0", "-1", "x", "1e9", "NaN"] {
            assert!(refused(&format!("\\watch {wrong}")).contains("0.1 to 86400"), "{wrong}");
        }
        assert_eq!(parsed("\\watch .5"), Command::Watch(Duration::from_millis(500)));
    }
}
