//! Reading lines: editing, highlighting, completion and a history that others cannot read.

use std::borrow::Cow;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::catalog::Catalog;
use super::completion::{Proposal, complete};
use super::text::{lex, parse};
use crate::cli::exit::Outcome;
use crate::error::Error;
use crate::query::{Params, TEXT_BYTES};

/// Statements that are remembered.
const HISTORY_ENTRIES: usize = 2_000;
/// Proposals that are listed without asking.
const LISTED_PROPOSALS: usize = 120;

/// What the user did.
pub enum Line {
    Typed(String),
    /// Ctrl-C: what was typed is forgotten.
    Cleared,
    /// Ctrl-D.
    Left,
}

/// The values that `\set` gave; shared with the shell.
pub type Values = Rc<RefCell<Params>>;

/// Reads from the terminal.
pub struct Input {
    editor: Editor<Assistant, FileHistory>,
    history: Option<PathBuf>,
}

impl Input {
    /// Without a folder nothing is remembered after the end.
    pub fn new(catalog: Arc<Catalog>, values: Values, state_folder: Option<&Path>) -> Outcome<Self> {
        let no_terminal = |error| Error::unavailable("the terminal cannot be read").with_source(error);
        let config = Config::builder()
            .max_history_size(HISTORY_ENTRIES)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(no_terminal)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .completion_prompt_limit(LISTED_PROPOSALS)
            .build();
        let mut editor = Editor::with_config(config).map_err(no_terminal)?;
        editor.set_helper(Some(Assistant { catalog, values }));
        let history = state_folder.and_then(|folder| history_file(folder).ok());
        if let Some(file) = &history {
            // The first time there is none; a broken one costs the memory, not the shell.
            let _ = editor.load_history(file);
        }
        Ok(Self { editor, history })
    }

    pub fn read(&mut self, prompt: &str) -> Outcome<Line> {
        match self.editor.readline(prompt) {
            Ok(line) => {
                self.remember(&line);
                Ok(Line::Typed(line))
            }
            Err(ReadlineError::Interrupted) => Ok(Line::Cleared),
            Err(ReadlineError::Eof) => Ok(Line::Left),
            Err(error) => Err(Error::unavailable("the terminal cannot be read").with_source(error).into()),
        }
    }

    /// Columns and rows of the terminal.
    pub fn size(&mut self) -> (u16, u16) {
        self.editor.dimensions().unwrap_or((80, 24))
    }

    fn remember(&mut self, line: &str) {
        if line.trim().is_empty() || line.len() > TEXT_BYTES {
            return;
        }
        // What cannot be kept is no reason to stop.
        if let (Ok(true), Some(file)) = (self.editor.add_history_entry(line), &self.history)
            && let Err(error) = self.editor.append_history(file)
        {
            tracing::debug!(%error, "the history cannot be kept");
        }
    }
}

/// Makes the folder and the file where they are missing, for nobody else to read.
fn history_file(folder: &Path) -> std::io::Result<PathBuf> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    let file = folder.join("sql_history");
    #[cfg(unix)]
    if file.exists() {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// What helps while a line is typed.
struct Assistant {
    catalog: Arc<Catalog>,
    values: Values,
}

impl Helper for Assistant {}

impl Hinter for Assistant {
    type Hint = String;
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        Ok(match parse(context.input()).rest {
            Some(_) => ValidationResult::Incomplete,
            None => ValidationResult::Valid(None),
        })
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, found) = complete(line, pos, &self.catalog, &self.values.borrow());
        let pair = |Proposal { shown, written }| Pair { display: shown, replacement: written };
        Ok((start, found.into_iter().map(pair).collect()))
    }
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if line.len() > TEXT_BYTES / 10 { line.into() } else { highlighted(line).into() }
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        format!("\x1b[1m{prompt}\x1b[0m").into()
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor
    }
}

/// Colours keywords, strings, numbers, parameters and comments; the letters stay.
fn highlighted(line: &str) -> String {
    let (tokens, _) = lex(line);
    let mut coloured = String::with_capacity(line.len() * 2);
    let mut at = 0;
    for token in &tokens {
        let text = &line[token.range.clone()];
        at = token.range.end;
        match colour(&token.token, text) {
            Some(code) => coloured.extend(["\x1b[", code, "m", text, "\x1b[0m"]),
            None => coloured.push_str(text),
        }
    }
    // What is not closed yet is a string or a comment.
    if at < line.len() {
        coloured.extend(["\x1b[32m", &line[at..], "\x1b[0m"]);
    }
    coloured
}

fn colour(token: &Token, text: &str) -> Option<&'static str> {
    match token {
        Token::Word(word) if word.quote_style.is_none() && is_shown_keyword(word.keyword) => Some("1;34"),
        Token::SingleQuotedString(_) | Token::DollarQuotedString(_) | Token::EscapedStringLiteral(_) => {
            Some("32")
        }
        Token::Number(..) => Some("36"),
        Token::Placeholder(_) => Some("35"),
        Token::Whitespace(_) if !text.trim().is_empty() => Some("2"),
        _ => None,
    }
}

/// Words such as `date` or `month` are names more often than keywords.
fn is_shown_keyword(keyword: Keyword) -> bool {
    use Keyword as K;
    #[rustfmt::skip]
    const SHOWN: [Keyword; 55] = [
        K::ALL, K::AND, K::AS, K::ASC, K::BETWEEN, K::BY, K::CASE, K::CAST, K::CROSS, K::DESC, K::DESCRIBE,
        K::DISTINCT, K::ELSE, K::END, K::EXCEPT, K::EXISTS, K::EXPLAIN, K::FALSE, K::FILTER, K::FROM, K::FULL,
        K::GROUP, K::HAVING, K::ILIKE, K::IN, K::INNER, K::INTERSECT, K::INTERVAL, K::IS, K::JOIN, K::LEFT, K::LIKE,
        K::LIMIT, K::NOT, K::NULL, K::NULLS, K::OFFSET, K::ON, K::OR, K::ORDER, K::OUTER, K::OVER, K::PARTITION,
        K::RIGHT, K::SELECT, K::SHOW, K::THEN, K::TRUE, K::UNION, K::USING, K::VALUES, K::WHEN, K::WHERE, K::WITH,
        K::WITHIN,
    ];
    SHOWN.contains(&keyword)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_colours(text: &str) -> String {
        let mut plain = String::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            if letter == '\x1b' {
                letters.by_ref().find(|letter| *letter == 'm');
            } else {
                plain.push(letter);
            }
        }
        plain
    }

    #[test]
    fn colours_change_no_letter() {
        for line in [
            "select 'a', 1.5 -- c\nfrom \"t\" where x = $p",
            "select 'ope",
            "\\d orders",
            "",
            "é /* ü",
            "select ~ €",
        ] {
            assert_eq!(without_colours(&highlighted(line)), line);
        }
    }

    #[test]
    fn keywords_strings_and_parameters_are_told_apart() {
        let coloured = highlighted("select date, 'x', $p");
        assert!(coloured.starts_with("\x1b[1;34mselect\x1b[0m date"), "{coloured:?}");
        assert!(
            coloured.contains("\x1b[32m'x'\x1b[0m") && coloured.contains("\x1b[35m$p\x1b[0m"),
            "{coloured:?}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_history_is_read_by_nobody_else() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state/tributary");
        let file = history_file(&state).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state), 0o700);
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(mode(&history_file(&state).unwrap()), 0o600);
    }
}
