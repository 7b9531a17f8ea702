//! Doing what was typed.

use std::ops::ControlFlow;

use super::asking::Question;
use super::command::{Command, help};
use super::listing;
use super::screen::Screen;
use super::start::Shell;
use super::text::Part;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::output::OutputFormat;
use crate::error::{Error, ErrorKind};

const GO_ON: Outcome<ControlFlow<()>> = Ok(ControlFlow::Continue(()));

impl Shell {
    /// Does one thing; `Break` is the end of the shell.
    pub fn obey(&mut self, part: Part) -> Outcome<ControlFlow<()>> {
        match part {
            Part::Statement(text) => {
                let question = Question::Sql(text);
                self.last = Some(question.clone());
                self.show(&question, true)?;
                GO_ON
            }
            Part::Command { above, line } => {
                let command = Command::parse(&line)?;
                if let Some(text) = above {
                    if !command.takes_statement() {
                        let message =
                            format!("{line} takes no statement: end the one above it with a semicolon");
                        return Err(Error::invalid(message).into());
                    }
                    self.last = Some(Question::Sql(text));
                }
                self.command(command)
            }
        }
    }

    fn command(&mut self, command: Command) -> Outcome<ControlFlow<()>> {
        match command {
            Command::Quit => return Ok(ControlFlow::Break(())),
            Command::Help => self.print(&help())?,
            Command::Describe(Some(table)) => self.describe(&table)?,
            Command::Describe(None) | Command::Tables => {
                let source = self.source.clone();
                if let Some(tables) = self.until_interrupted(source.tables()) {
                    let width = self.input.size().0;
                    self.print(&listing::tables(&tables?, width))?;
                }
            }
            Command::Functions(pattern) => {
                let width = self.input.size().0;
                let text = listing::functions(&self.catalog, pattern.as_deref(), width)?;
                self.print(&text)?;
            }
            Command::Queries(pattern) => {
                let width = self.input.size().0;
                let text = listing::queries(&self.catalog, pattern.as_deref(), width)?;
                self.print(&text)?;
            }
            Command::Run { name, params } => {
                self.catalog.query(&name)?;
                let question = Question::Named { name, params };
                self.last = Some(question.clone());
                self.show(&question, true)?;
            }
            Command::Values => {
                let values: Vec<String> =
                    self.values.borrow().iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
                self.print(&values.concat())?;
            }
            Command::Set { name, value } => {
                let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
                if name.is_empty() || !name.chars().all(is_name) {
                    return Err(Error::invalid("a parameter's name has letters, digits and _").into());
                }
                self.values.borrow_mut().insert(name, value);
            }
            Command::Unset(name) => {
                let mut values = self.values.borrow_mut();
                if values.remove(name.strip_prefix('$').unwrap_or(&name)).is_none() {
                    let known = values.keys().map(String::as_str);
                    return Err(Error::unknown("parameter", &name, known)
                        .with_kind(ErrorKind::InvalidRequest)
                        .into());
                }
            }
            Command::Format(name) => self.set_format(name.as_deref())?,
            Command::Export(file) => {
                let question = self.last()?;
                self.export(&question, &file)?;
            }
            Command::Explain(text) => {
                let question = match text {
                    Some(text) => Question::Sql(text),
                    None => self.last()?,
                };
                self.explain(&question)?;
            }
            Command::Watch(pause) => {
                let question = self.last()?;
                self.watch(&question, pause)?;
            }
            Command::Timing => {
                self.is_timed = !self.is_timed;
                println!("timing is {}", if self.is_timed { "on" } else { "off" });
            }
            Command::Pager => {
                self.is_paged = !self.is_paged;
                let pager = self.pager.as_deref().filter(|_| self.is_paged);
                println!(
                    "{}",
                    pager.map_or("long answers are printed".to_owned(), |pager| format!(
                        "long answers go to {pager}"
                    ))
                );
            }
        }
        GO_ON
    }

    /// What `\export`, `\explain` and `\watch` act on.
    fn last(&self) -> Outcome<Question> {
        self.last.clone().ok_or_else(|| {
            Error::invalid("nothing was asked yet: ask first, or write the statement above").into()
        })
    }

    fn explain(&mut self, question: &Question) -> Outcome {
        let Question::Sql(text) = question else {
            return Err(Error::invalid("\\explain takes SQL, not a named query").into());
        };
        let is_explained = text.trim_start().to_lowercase().starts_with("explain");
        let text = if is_explained { text.clone() } else { format!("explain {text}") };
        self.show(&Question::Sql(text.trim_end_matches(';').to_owned()), true)?;
        Ok(())
    }

    fn set_format(&mut self, name: Option<&str>) -> Outcome {
        if let Some(name) = name {
            let format = OutputFormat::parse(name)?;
            if format.is_binary() {
                return Err(Error::invalid(format!("{name} is not text: \\export FILE writes it")).into());
            }
            self.format = format;
        }
        println!("answers are shown as {}", self.format.name());
        Ok(())
    }

    /// A table's columns; those of a table that has no sheet, as SQL describes them.
    fn describe(&mut self, table: &str) -> Outcome {
        let source = self.source.clone();
        match self.until_interrupted(source.table(table)) {
            None => Ok(()),
            Some(Ok(sheet)) => {
                let width = self.input.size().0;
                self.print(&listing::columns(&sheet, width))
            }
            Some(Err(error)) if error.kind() == ErrorKind::NotFound => {
                if self.catalog.tables.contains_key(table) {
                    self.show(&Question::Sql(format!("describe \"{table}\"")), true)?;
                    return Ok(());
                }
                let known = self.catalog.tables.keys().map(String::as_str);
                Err(Error::unknown("table", table, known).into())
            }
            Some(Err(error)) => Err(error.into()),
        }
    }

    fn print(&mut self, text: &str) -> Outcome {
        use std::io::Write as _;
        let pager = self.pager.as_deref().filter(|_| self.is_paged);
        let mut screen = Screen::new(self.input.size(), pager);
        let written = screen.write_all(text.as_bytes()).and_then(|()| screen.finish());
        match written.map_err(Failure::from) {
            Ok(()) | Err(Failure::BrokenPipe) => Ok(()),
            Err(failure) => Err(failure),
        }
    }
}
