//! Cuts what a client sends into statements, without parsing them.

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer};
use pgwire::error::PgWireResult;

use super::errors::error;

/// A word or sign of a statement, and where it begins in the statement's text.
#[derive(Debug, Clone)]
pub struct Piece {
    pub token: Token,
    pub start: usize,
}

impl Piece {
    /// The word in lower case; empty for a sign or a value.
    pub fn word(&self) -> String {
        match &self.token {
            Token::Word(word) => word.value.to_ascii_lowercase(),
            _ => String::new(),
        }
    }

    /// A name or a value as it was meant, without quotes.
    pub fn value(&self) -> String {
        match &self.token {
            Token::Word(word) => word.value.clone(),
            Token::SingleQuotedString(text)
            | Token::EscapedStringLiteral(text)
            | Token::DoubleQuotedString(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// One statement of a text.
#[derive(Debug)]
pub struct Text<'a> {
    pub sql: &'a str,
    pub pieces: Vec<Piece>,
}

/// Cuts a text at its semicolons; empty statements are left out.
pub fn cut(text: &str) -> PgWireResult<Vec<Text<'_>>> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text)
        .tokenize_with_location()
        .map_err(|cause| error("42601", cause.to_string()))?;
    let starts = Offsets::new(text);
    let mut statements = Vec::new();
    let (mut pieces, mut start) = (Vec::new(), 0);
    for token in tokens {
        let at = starts.of(token.span.start);
        match token.token {
            Token::Whitespace(_) | Token::EOF => {}
            Token::SemiColon => {
                statements.push(Text { sql: &text[start..at], pieces: std::mem::take(&mut pieces) });
                start = at + 1;
            }
            token => pieces.push(Piece { token, start: at - start }),
        }
    }
    statements.push(Text { sql: &text[start..], pieces });
    statements.retain(|statement| !statement.pieces.is_empty());
    Ok(statements)
}

/// Where lines and columns, which count characters, are in a text's bytes.
struct Offsets<'a> {
    lines: Vec<&'a str>,
    starts: Vec<usize>,
    end: usize,
}

impl<'a> Offsets<'a> {
    fn new(text: &'a str) -> Self {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let starts = lines.iter().scan(0, |start, line| {
            let this = *start;
            *start += line.len();
            Some(this)
        });
        Self { starts: starts.collect(), lines, end: text.len() }
    }

    fn of(&self, place: Location) -> usize {
        let line = (place.line as usize).saturating_sub(1);
        let (Some(start), Some(text)) = (self.starts.get(line), self.lines.get(line)) else {
            return self.end;
        };
        let column = (place.column as usize).saturating_sub(1);
        start + text.char_indices().nth(column).map_or(text.len(), |(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        cut(text).unwrap().into_iter().map(|statement| statement.sql.trim().to_owned()).collect()
    }

    #[test]
    fn a_text_is_cut_at_semicolons_that_are_no_part_of_a_value() {
        assert_eq!(
            texts("select ';' ; select 'ä;b'\n, \"c;d\" -- e;f\n; ; select 2;"),
            ["select ';'", "select 'ä;b'\n, \"c;d\" -- e;f", "select 2",]
        );
        assert_eq!(texts(" ;; \n"), [""; 0]);
        assert!(cut("select 'open").is_err());
    }

    #[test]
    fn a_piece_knows_where_it_begins() {
        let text = "select 1;\n declare ü cursor for\n select 'ß', 2";
        let statement = &cut(text).unwrap()[1];
        let query = statement.pieces.iter().find(|piece| piece.word() == "select").unwrap();
        assert_eq!(&statement.sql[query.start..], "select 'ß', 2");
    }
}
