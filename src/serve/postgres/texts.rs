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
pub struct Text {
    pub sql: String,
    pub pieces: Vec<Piece>,
}

/// Cuts a text at its semicolons, on a thread that serves nobody meanwhile; empty statements are left out.
pub async fn cut(text: &str) -> PgWireResult<Vec<Text>> {
    let text = text.to_owned();
    let cut = tokio::task::spawn_blocking(move || cut_here(&text)).await;
    cut.map_err(|_| error("XX000", "reading the statement stopped unexpectedly"))?
}

/// The same on this thread.
pub fn cut_here(text: &str) -> PgWireResult<Vec<Text>> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text)
        .tokenize_with_location()
        .map_err(|cause| error("42601", cause.to_string()))?;
    let mut offsets = Offsets::new(text);
    let mut statements = Vec::new();
    let (mut pieces, mut start) = (Vec::new(), 0);
    for token in tokens {
        let at = offsets.of(token.span.start);
        match token.token {
            Token::Whitespace(_) | Token::EOF => {}
            Token::SemiColon => {
                let sql = text[start..at].to_owned();
                statements.push(Text { sql, pieces: std::mem::take(&mut pieces) });
                start = at + 1;
            }
            token => pieces.push(Piece { token, start: at - start }),
        }
    }
    statements.push(Text { sql: text[start..].to_owned(), pieces });
    statements.retain(|statement| !statement.pieces.is_empty());
    Ok(statements)
}

/// Finds the byte of a line and a column, which count characters. Places are asked for in their order, so that
/// the text is walked once.
struct Offsets<'a> {
    rest: std::str::Chars<'a>,
    /// The place of the next character.
    next: Location,
    length: usize,
}

impl<'a> Offsets<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text.chars(), next: Location::new(1, 1), length: text.len() }
    }

    fn of(&mut self, place: Location) -> usize {
        while (self.next.line, self.next.column) < (place.line, place.column) {
            match self.rest.next() {
                Some('\n') => self.next = Location::new(self.next.line + 1, 1),
                Some(_) => self.next.column += 1,
                None => break,
            }
        }
        self.length - self.rest.as_str().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        cut_here(text).unwrap().into_iter().map(|statement| statement.sql.trim().to_owned()).collect()
    }

    #[test]
    fn a_text_is_cut_at_semicolons_that_are_no_part_of_a_value() {
        assert_eq!(
            texts("select ';' ; select 'ä;b'\n, \"c;d\" -- e;f\n; ; select 2;"),
            ["select ';'", "select 'ä;b'\n, \"c;d\" -- e;f", "select 2",]
        );
        assert_eq!(texts(" ;; \n"), [""; 0]);
        assert!(cut_here("select 'open").is_err());
    }

    #[test]
    fn every_piece_of_a_long_line_knows_where_it_begins() {
        // Once for each piece, the line from its beginning would be 12 billion characters.
        let text = format!("select 'ä{}'{}", "b".repeat(50_000), ", 1".repeat(100_000));
        let statement = &cut_here(&text).unwrap()[0];
        let ones =
            statement.pieces.iter().filter(|piece| piece.token == Token::Number("1".to_owned(), false));
        assert!(ones.clone().all(|piece| statement.sql[piece.start..].starts_with('1')));
        assert_eq!(ones.count(), 100_000);
    }

    #[test]
    fn a_piece_knows_where_it_begins() {
        let text = "select 1;\n declare ü cursor for\n select 'ß', 2";
        let statement = &cut_here(text).unwrap()[1];
        let query = statement.pieces.iter().find(|piece| piece.word() == "select").unwrap();
        assert_eq!(&statement.sql[query.start..], "select 'ß', 2");
    }
}
