//! What a statement asks of the connection: most are questions for the engine, the rest is answered here.

use datafusion::sql::sqlparser::tokenizer::Token;
use pgwire::error::{PgWireError, PgWireResult};

use super::copy::CopyFormat;
use super::errors::error;
use super::texts::{Piece, Text};
use crate::query::READ_ONLY;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A question for the engine.
    Query(String),
    /// The same, its rows as `copy .. to stdout` sends them.
    Copy {
        query: String,
        format: CopyFormat,
    },
    /// Sets, or resets where there is no value.
    Set {
        name: String,
        value: Option<String>,
    },
    ResetAll,
    Show(String),
    ShowAll,
    Begin(&'static str),
    Commit,
    Rollback,
    /// Nothing was written that could be undone; an aborted transaction goes on.
    RollbackTo,
    DiscardAll,
    /// Forgets a prepared statement, or all.
    Deallocate(Option<String>),
    Declare {
        name: String,
        query: String,
    },
    /// The next rows of a cursor, or all that are left; not sent where it only moves.
    Fetch {
        name: String,
        rows: Option<usize>,
        moves: bool,
    },
    CloseCursor(Option<String>),
    /// Accepted, and nothing to be done.
    Nothing(&'static str),
}

/// Tells what a statement is by its first words.
pub fn read(text: &Text) -> PgWireResult<Command> {
    let words: Vec<String> = text.pieces.iter().take(4).map(Piece::word).collect();
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let sql = || text.sql.trim().to_owned();
    Ok(match word(0) {
        "show" => match word(1) {
            "tables" | "columns" | "functions" | "full" | "extended" => Command::Query(sql()),
            "all" => Command::ShowAll,
            "transaction" => Command::Show("transaction_isolation".to_owned()),
            "time" => Command::Show("timezone".to_owned()),
            "session" => Command::Show("session_authorization".to_owned()),
            _ => Command::Show(name_at(&text.pieces, 1)?.0),
        },
        "set" => set(&text.pieces)?,
        "reset" => match word(1) {
            "all" => Command::ResetAll,
            "time" => Command::Set { name: "timezone".to_owned(), value: None },
            _ => Command::Set { name: name_at(&text.pieces, 1)?.0, value: None },
        },
        "begin" => Command::Begin("BEGIN"),
        "start" => Command::Begin("START TRANSACTION"),
        "commit" | "end" => Command::Commit,
        "rollback" | "abort" => match (word(1), word(2)) {
            ("to", _) | (_, "to") => Command::RollbackTo,
            _ => Command::Rollback,
        },
        "savepoint" => Command::Nothing("SAVEPOINT"),
        "release" => Command::Nothing("RELEASE"),
        "unlisten" => Command::Nothing("UNLISTEN"),
        "discard" => match word(1) {
            "all" => Command::DiscardAll,
            _ => Command::Nothing("DISCARD"),
        },
        "deallocate" => {
            let at = if word(1) == "prepare" { 2 } else { 1 };
            let piece = text.pieces.get(at).ok_or_else(incomplete)?;
            Command::Deallocate((piece.word() != "all").then(|| piece.value()))
        }
        "declare" => declare(text)?,
        "fetch" => fetch(&text.pieces, false)?,
        "move" => fetch(&text.pieces, true)?,
        "close" => {
            let piece = text.pieces.get(1).ok_or_else(incomplete)?;
            Command::CloseCursor((piece.word() != "all").then(|| piece.value()))
        }
        "copy" => copy(text)?,
        "insert" | "update" | "delete" | "merge" | "create" | "drop" | "alter" | "truncate" | "grant"
        | "revoke" | "comment" | "vacuum" | "analyze" | "reindex" | "refresh" | "call" | "do" | "lock"
        | "cluster" | "import" | "security" | "reassign" | "checkpoint" | "load" => {
            return Err(error("25006", READ_ONLY));
        }
        "prepare" | "execute" | "listen" | "notify" => {
            let message = format!("{} is not supported: prepare statements by the protocol", word(0));
            return Err(error("0A000", message));
        }
        _ => Command::Query(sql()),
    })
}

fn incomplete() -> PgWireError {
    error("42601", "the statement ends too early")
}

/// A name that may have points, and where it ends.
fn name_at(pieces: &[Piece], at: usize) -> PgWireResult<(String, usize)> {
    let mut name = pieces.get(at).ok_or_else(incomplete)?.value();
    let mut end = at + 1;
    while pieces.get(end).is_some_and(|piece| piece.token == Token::Period) {
        let part = pieces.get(end + 1).ok_or_else(incomplete)?;
        name.push('.');
        name.push_str(&part.value());
        end += 2;
    }
    Ok((name, end))
}

fn set(pieces: &[Piece]) -> PgWireResult<Command> {
    let word = |at: usize| pieces.get(at).map(Piece::word).unwrap_or_default();
    let mut at = 1;
    if matches!(word(1).as_str(), "session" | "local") && pieces.len() > 2 {
        at = 2;
    }
    match (word(at).as_str(), word(at + 1).as_str()) {
        ("characteristics" | "transaction" | "constraints", _) => return Ok(Command::Nothing("SET")),
        ("authorization" | "role", _) => {
            return Err(error("0A000", "the key says who asks: another role cannot be taken"));
        }
        ("time", "zone") => {
            let value = joined(&pieces[(at + 2).min(pieces.len())..])?;
            return Ok(Command::Set { name: "timezone".to_owned(), value });
        }
        ("names", _) => {
            let value = joined(&pieces[at + 1..])?;
            return Ok(Command::Set { name: "client_encoding".to_owned(), value });
        }
        _ => {}
    }
    let (name, end) = name_at(pieces, at)?;
    let has_sign = pieces.get(end).is_some_and(|piece| piece.token == Token::Eq || piece.word() == "to");
    if !has_sign {
        return Err(error("42601", "write set name = value"));
    }
    Ok(Command::Set { name, value: joined(&pieces[end + 1..])? })
}

/// The values of a setting as one text; none for its default.
fn joined(pieces: &[Piece]) -> PgWireResult<Option<String>> {
    match pieces {
        [] => Err(incomplete()),
        [piece] if piece.word() == "default" => Ok(None),
        _ => {
            let text: String = pieces
                .iter()
                .map(|piece| if piece.token == Token::Comma { ", ".to_owned() } else { piece.value() })
                .collect();
            Ok(Some(text))
        }
    }
}

/// `declare name [options] cursor [options] for query`.
fn declare(text: &Text) -> PgWireResult<Command> {
    let name = text.pieces.get(1).ok_or_else(incomplete)?.value();
    let cursor = text.pieces.iter().position(|piece| piece.word() == "cursor").ok_or_else(incomplete)?;
    let at = text.pieces[cursor..].iter().position(|piece| piece.word() == "for").ok_or_else(incomplete)?;
    let options = &text.pieces[2..cursor + at];
    let is_scroll = options
        .iter()
        .enumerate()
        .any(|(place, piece)| piece.word() == "scroll" && (place == 0 || options[place - 1].word() != "no"));
    let query = text.pieces.get(cursor + at + 1).ok_or_else(incomplete)?;
    if is_scroll {
        return Err(error("0A000", "a cursor goes forward only: declare it without scroll"));
    }
    Ok(Command::Declare { name, query: text.sql[query.start..].trim().to_owned() })
}

/// `fetch [forward] [n | all | next] [from | in] name`.
fn fetch(pieces: &[Piece], moves: bool) -> PgWireResult<Command> {
    let (name, middle) = match pieces {
        [_, middle @ .., name] => (name.value(), middle),
        _ => return Err(incomplete()),
    };
    let mut rows = Some(1);
    for piece in middle {
        match (piece.word().as_str(), &piece.token) {
            ("forward" | "next" | "from" | "in", _) => {}
            ("all", _) => rows = None,
            (_, Token::Number(number, _)) => {
                rows = Some(number.parse().map_err(|_| error("42601", "rows are counted in whole numbers"))?);
            }
            _ => {
                return Err(error(
                    "0A000",
                    "a cursor goes forward only: fetch next, a number of rows, or all",
                ));
            }
        }
    }
    Ok(Command::Fetch { name, rows, moves })
}

/// `copy (query) to stdout`, or a table in place of the query.
fn copy(text: &Text) -> PgWireResult<Command> {
    let pieces = &text.pieces;
    let (query, end) = if pieces.get(1).is_some_and(|piece| piece.token == Token::LParen) {
        let mut depth = 0;
        let close = pieces.iter().position(|piece| {
            match piece.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => return false,
            }
            depth == 0
        });
        let close = close.ok_or_else(incomplete)?;
        let (from, to) = (pieces[1].start + 1, pieces[close].start);
        (text.sql[from..to].trim().to_owned(), close + 1)
    } else {
        let (_, end) = name_at(pieces, 1)?;
        let to = pieces.get(end).ok_or_else(incomplete)?;
        (format!("select * from {}", text.sql[pieces[1].start..to.start].trim()), end)
    };
    let word = |at: usize| pieces.get(at).map(Piece::word).unwrap_or_default();
    match (word(end).as_str(), word(end + 1).as_str()) {
        ("to", "stdout") => {}
        ("to", _) => return Err(error("0A000", "rows are copied to stdout only")),
        _ => return Err(error("25006", READ_ONLY)),
    }
    Ok(Command::Copy { query, format: CopyFormat::read(&pieces[end + 2..])? })
}

#[cfg(test)]
mod tests {
    use super::super::texts::cut_here;
    use super::*;

    fn of(text: &str) -> PgWireResult<Command> {
        read(&cut_here(text).unwrap()[0])
    }

    fn set(name: &str, value: Option<&str>) -> Command {
        Command::Set { name: name.to_owned(), value: value.map(str::to_owned) }
    }

    #[test]
    fn settings_are_read_in_every_spelling() {
        assert_eq!(of("SET extra_float_digits = 3").unwrap(), set("extra_float_digits", Some("3")));
        assert_eq!(of("set session datestyle to 'ISO, DMY'").unwrap(), set("datestyle", Some("ISO, DMY")));
        assert_eq!(of("set local search_path to a, \"B\"").unwrap(), set("search_path", Some("a, B")));
        assert_eq!(of("set time zone 'UTC'").unwrap(), set("timezone", Some("UTC")));
        assert_eq!(of("set my.own = -1").unwrap(), set("my.own", Some("-1")));
        assert_eq!(of("reset work_mem").unwrap(), set("work_mem", None));
        assert_eq!(of("set work_mem to default").unwrap(), set("work_mem", None));
        let characteristics = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED";
        assert_eq!(of(characteristics).unwrap(), Command::Nothing("SET"));
        assert!(of("set work_mem").is_err());
    }

    #[test]
    fn cursors_and_copies_keep_the_text_of_their_query() {
        let declared = of("DECLARE \"c\" NO SCROLL CURSOR WITHOUT HOLD FOR select 'ä' for_me").unwrap();
        assert_eq!(declared, Command::Declare { name: "c".into(), query: "select 'ä' for_me".into() });
        assert!(of("declare c scroll cursor for select 1").is_err());
        let fetched = Command::Fetch { name: "c".into(), rows: Some(20), moves: false };
        assert_eq!(of("fetch forward 20 from c").unwrap(), fetched);
        assert_eq!(
            of("move all in c").unwrap(),
            Command::Fetch { name: "c".into(), rows: None, moves: true }
        );
        assert!(of("fetch backward 1 from c").is_err());
        let copied = of("COPY (select (1), ')' ) TO STDOUT (FORMAT binary)").unwrap();
        assert_eq!(copied, Command::Copy { query: "select (1), ')'".into(), format: CopyFormat::Binary });
        assert!(
            matches!(of("copy orders to stdout").unwrap(), Command::Copy { query, .. } if query == "select * from orders")
        );
    }

    #[test]
    fn what_writes_is_refused_as_read_only() {
        for sql in
            ["insert into orders values (1)", "COPY orders FROM STDIN", "drop table orders", "do $$ $$"]
        {
            let PgWireError::UserError(info) = of(sql).unwrap_err() else { panic!("{sql}") };
            assert_eq!(info.code, "25006", "{sql}");
        }
        assert!(matches!(of("with a as (select 1) select * from a").unwrap(), Command::Query(_)));
    }
}
