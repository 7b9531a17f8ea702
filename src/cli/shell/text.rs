//! Cuts what was typed into statements and commands, as the engine's own tokenizer reads it.

use std::collections::BTreeSet;
use std::ops::Range;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, TokenizerError};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A statement, without the semicolon that ends it.
    Statement(String),
    /// A line that begins with a backslash, and the statement without a semicolon that stands above it.
    Command { above: Option<String>, line: String },
}

/// What was typed: what can be done, and what still has to be ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Typed {
    pub parts: Vec<Part>,
    pub rest: Option<String>,
}

/// A token and its bytes in the text.
pub struct Lexed {
    pub token: Token,
    pub range: Range<usize>,
}

/// Cuts a text into tokens; where it cannot be read to its end, those before and what is wrong.
pub fn lex(text: &str) -> (Vec<Lexed>, Option<TokenizerError>) {
    let mut tokens: Vec<TokenWithSpan> = Vec::new();
    let failure = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location_into_buf(&mut tokens).err();
    let mut places = Places { text, at: 0, line: 1, column: 1 };
    let mut lexed = Vec::with_capacity(tokens.len());
    for TokenWithSpan { token, span } in tokens {
        let start = places.byte_of(span.start);
        lexed.push(Lexed { token, range: start..start });
    }
    // A token reaches to the next one: the tokenizer's own ends are not all exact.
    let ends: Vec<usize> = lexed.iter().skip(1).map(|next| next.range.start).collect();
    let end = failure.as_ref().map_or(text.len(), |failure| {
        let place = Places { text, at: 0, line: 1, column: 1 }.byte_of(failure.location);
        place.max(lexed.last().map_or(0, |last| last.range.start))
    });
    for (token, end) in lexed.iter_mut().zip(ends.into_iter().chain([end])) {
        token.range.end = end;
    }
    (lexed, failure)
}

/// Walks over a text once, from place to place.
struct Places<'a> {
    text: &'a str,
    at: usize,
    line: u64,
    column: u64,
}

impl Places<'_> {
    fn byte_of(&mut self, location: Location) -> usize {
        while (self.line, self.column) < (location.line, location.column) {
            let Some(letter) = self.text[self.at..].chars().next() else { break };
            self.at += letter.len_utf8();
            if letter == '\n' {
                (self.line, self.column) = (self.line + 1, 1);
            } else {
                self.column += 1;
            }
        }
        self.at
    }
}

/// Whether the text stops within a string, a quoted name or a comment.
pub fn is_open(failure: &TokenizerError) -> bool {
    let message = &failure.message;
    message.starts_with("Unterminated") || message.contains("EOF")
}

/// Cuts what was typed into what is to be done.
pub fn parse(typed: &str) -> Typed {
    let mut parts = Vec::new();
    let mut above: Option<String> = None;
    let mut rest = typed;
    loop {
        rest = rest.trim_start();
        if rest.starts_with('\\') {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            let line = line.trim_end().trim_end_matches(';').trim_end().to_owned();
            parts.push(Part::Command { above: above.take(), line });
            rest = after;
            continue;
        }
        match first_end(rest) {
            End::Semicolon(at) => {
                if has_words(&rest[..at]) {
                    parts.push(Part::Statement(rest[..at].trim_end().to_owned()));
                }
                rest = &rest[at + 1..];
            }
            End::Command(at) => {
                above = Some(rest[..at].trim_end().to_owned()).filter(|text| has_words(text));
                rest = &rest[at..];
            }
            End::Unreadable => {
                // The engine says what is wrong with it.
                parts.push(Part::Statement(rest.trim_end().trim_end_matches(';').to_owned()));
                return Typed { parts, rest: None };
            }
            End::None => {
                let rest = Some(rest.trim_end().to_owned()).filter(|rest| has_words(rest));
                return Typed { parts, rest };
            }
        }
    }
}

enum End {
    Semicolon(usize),
    Command(usize),
    /// It is ended, and cannot be read.
    Unreadable,
    None,
}

fn first_end(text: &str) -> End {
    let (tokens, failure) = lex(text);
    for Lexed { token, range } in &tokens {
        let line = text[..range.start].rsplit('\n').next().unwrap_or_default();
        match token {
            Token::SemiColon => return End::Semicolon(range.start),
            Token::Backslash if line.trim().is_empty() => return End::Command(range.start),
            _ => {}
        }
    }
    match failure {
        Some(failure) if !is_open(&failure) && text.trim_end().ends_with(';') => End::Unreadable,
        _ => End::None,
    }
}

/// Whether there is more than blanks and whole comments.
fn has_words(text: &str) -> bool {
    let (tokens, failure) = lex(text);
    failure.is_some() || tokens.iter().any(|lexed| !matches!(lexed.token, Token::Whitespace(_)))
}

/// The names of a statement's `$name` parameters.
pub fn placeholders(statement: &str) -> BTreeSet<String> {
    let (tokens, _) = lex(statement);
    let name = |lexed: Lexed| match lexed.token {
        Token::Placeholder(mark) => mark.strip_prefix('$').map(ToOwned::to_owned),
        _ => None,
    };
    tokens.into_iter().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(typed: &str) -> (Vec<String>, Option<String>) {
        let Typed { parts, rest } = parse(typed);
        let statement = |part| match part {
            Part::Statement(text) => text,
            Part::Command { line, .. } => panic!("{line} is a command"),
        };
        (parts.into_iter().map(statement).collect(), rest)
    }

    fn whole(typed: &str, expected: &[&str]) {
        let (parts, rest) = statements(typed);
        assert_eq!(parts, expected, "{typed}");
        assert_eq!(rest, None, "{typed}");
    }

    fn unfinished(typed: &str) {
        let (parts, rest) = statements(typed);
        assert_eq!((parts.len(), rest.as_deref()), (0, Some(typed.trim())), "{typed}");
    }

    #[test]
    fn a_semicolon_ends_a_statement_and_there_may_be_several() {
        whole("select 1;", &["select 1"]);
        whole(" select 1 ;\n select\n 2;;  ; ", &["select 1", "select\n 2"]);
        unfinished("select 1");
        unfinished("select\n1");
        let (parts, rest) = statements("select 1; select 2");
        assert_eq!((parts.as_slice(), rest.as_deref()), (&["select 1".to_owned()][..], Some("select 2")));
        whole("", &[]);
        whole("  \n", &[]);
    }

    #[test]
    fn a_semicolon_within_quotes_or_a_comment_ends_nothing() {
        whole(
            "select ';', 'it''s;', \"a;b\" -- c;\n, 1 /* d; /* e; */ f; */;",
            &["select ';', 'it''s;', \"a;b\" -- c;\n, 1 /* d; /* e; */ f; */"],
        );
        whole("select $$a;b$$, $t$c;$$d$t$;", &["select $$a;b$$, $t$c;$$d$t$"]);
        for open in [
            "select 'a;",
            "select \"a;",
            "select $$a;",
            "select $t$a;$$",
            "select 1 /* a;",
            "/* a;",
            "select 1 -- a;",
        ] {
            unfinished(open);
        }
        whole("-- a comment; alone", &[]);
        whole("/* a comment; alone */", &[]);
    }

    #[test]
    fn letters_of_several_bytes_move_no_end() {
        whole("select 'äöü€😀' as \"ü\"; select 2;", &["select 'äöü€😀' as \"ü\"", "select 2"]);
    }

    #[test]
    fn a_parameter_is_no_dollar_quote() {
        whole("select $a;", &["select $a"]);
        assert_eq!(placeholders("select $b, '$c', $a -- $d\n"), ["a", "b"].map(String::from).into());
    }

    #[test]
    fn a_backslash_line_is_done_at_once_and_takes_what_stands_above() {
        let command = |above: Option<&str>, line: &str| Part::Command {
            above: above.map(ToOwned::to_owned),
            line: line.to_owned(),
        };
        assert_eq!(parse("\\d orders"), Typed { parts: vec![command(None, "\\d orders")], rest: None });
        assert_eq!(parse("\\set who it's; fine").parts, [command(None, "\\set who it's; fine")]);
        assert_eq!(
            parse("select 1;\nselect 'a'\n  \\watch 2;\nselect 3;").parts,
            [
                Part::Statement("select 1".into()),
                command(Some("select 'a'"), "\\watch 2"),
                Part::Statement("select 3".into())
            ]
        );
        unfinished("select 'a\n\\d");
        assert_eq!(parse("select 1\n\\d\nselect 2").rest.as_deref(), Some("select 2"));
    }

    #[test]
    fn tokens_cover_the_text() {
        let text = "select  'a b', x.\"ü\" /* c */ from t -- d\nwhere 1.5 >= $p";
        let (tokens, failure) = lex(text);
        assert!(failure.is_none());
        let mut at = 0;
        for Lexed { token, range } in &tokens {
            assert_eq!(range.start, at, "{token:?}");
            at = range.end;
        }
        assert_eq!(at, text.len());
        let word = tokens.iter().find(|lexed| matches!(&lexed.token, Token::Word(word) if word.value == "ü"));
        assert_eq!(&text[word.unwrap().range.clone()], "\"ü\"");
    }
}
