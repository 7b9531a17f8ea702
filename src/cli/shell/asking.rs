//! Asking, showing and stopping: Ctrl-C ends the question, never the shell.

use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;

use super::screen::Screen;
use super::start::Shell;
use super::text::{lex, placeholders};
use crate::cli::exit::{Failure, Outcome};
use crate::cli::output::{Extent, OutputArgs, OutputFormat};
use crate::cli::progress::Waiting;
use crate::error::{Error, Place, nearest};
use crate::query::Params;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    Sql(String),
    Named { name: String, params: Params },
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Whole,
    Cancelled,
}

impl Shell {
    /// Asks and shows the answer; where it does not fit, in the pager.
    pub fn show(&mut self, question: &Question, is_paged: bool) -> Outcome<Ended> {
        let output = OutputArgs::new(self.format, None, self.max_rows);
        let pager = if is_paged && self.is_paged { self.pager.clone() } else { None };
        let size = self.input.size();
        let params = self.params_of(question)?;
        let begun = Instant::now();
        let asked = async {
            let waiting = Waiting::start(self.source.verb());
            let reply = self.put(question, &params).await?;
            waiting.look_at(reply.reading);
            let rows = AtomicU64::new(0);
            let batches = reply.batches.inspect_ok(|batch| {
                rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            });
            let mut out = waiting.before(Screen::new(size, pager.as_deref()));
            let extent = output.write_to(&mut out, reply.schema, batches, reply.data_version).await?;
            if self.format == OutputFormat::Table {
                writeln!(out, "{}", self.footer(extent, rows.into_inner()))?;
            }
            out.into_inner().finish()?;
            Ok(())
        };
        let ended = match self.until_interrupted(asked) {
            // Who leaves the pager has seen enough.
            Some(Ok(()) | Err(Failure::BrokenPipe)) => Ended::Whole,
            Some(Err(failure)) => return Err(failure),
            None => Ended::Cancelled,
        };
        self.say_time(ended, begun);
        Ok(ended)
    }

    /// Asks and writes the answer to a file, which appears when it is whole.
    pub fn export(&mut self, question: &Question, file: &Path) -> Outcome {
        let format = OutputFormat::of_file(file)?;
        let output = OutputArgs::new(format, Some(file.to_owned()), self.max_rows);
        let params = self.params_of(question)?;
        let begun = Instant::now();
        let rows = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&rows);
        let asked = async {
            let waiting = Waiting::start(self.source.verb());
            let reply = self.put(question, &params).await?;
            waiting.look_at(reply.reading);
            let batches = reply.batches.inspect_ok(move |batch| {
                counted.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            });
            output.write(reply.schema, batches, reply.data_version).await
        };
        let ended = match self.until_interrupted(asked) {
            Some(outcome) => outcome.map(|()| Ended::Whole)?,
            None => Ended::Cancelled,
        };
        if ended == Ended::Whole {
            println!("{} written to {}", counted_rows(rows.load(Ordering::Relaxed)), file.display());
        }
        self.say_time(ended, begun);
        Ok(())
    }

    /// Shows the answer again and again, until Ctrl-C.
    pub fn watch(&mut self, question: &Question, pause: Duration) -> Outcome {
        loop {
            let now = chrono::Local::now().format("%H:%M:%S");
            println!("{now}, every {} s until Ctrl-C", pause.as_secs_f64());
            if self.show(question, false)? == Ended::Cancelled {
                return Ok(());
            }
            if self.until_interrupted(async { tokio::time::sleep(pause).await }).is_none() {
                println!("stopped");
                return Ok(());
            }
        }
    }

    /// Waits for something, or for Ctrl-C: then there is nothing, and what was waited for is dropped.
    pub fn until_interrupted<T>(&self, waited: impl Future<Output = T>) -> Option<T> {
        self.runtime.block_on(async {
            let interrupted = self.interrupts.notified();
            tokio::pin!(interrupted);
            interrupted.as_mut().enable();
            tokio::select! {
                biased;
                () = interrupted => None,
                value = waited => Some(value),
            }
        })
    }

    async fn put(&self, question: &Question, params: &Params) -> Outcome<crate::cli::source::Reply> {
        match question {
            Question::Sql(text) => {
                self.source.sql(text, params).await.map_err(|error| Failure::in_text(error, text))
            }
            Question::Named { name, .. } => Ok(self.source.named(name, params).await?),
        }
    }

    /// The values of a question's parameters; a statement without a value for one is refused here, where the names of
    /// all values are known.
    fn params_of(&self, question: &Question) -> Outcome<Params> {
        let text = match question {
            Question::Sql(text) => text,
            Question::Named { params, .. } => return Ok(params.clone()),
        };
        let values = self.values.borrow();
        let mut params = Params::new();
        for name in placeholders(text) {
            let Some(value) = values.get(&name) else {
                return Err(no_value(&name, text, &values));
            };
            params.insert(name, value.clone());
        }
        Ok(params)
    }

    fn footer(&self, extent: Extent, rows: u64) -> String {
        match extent {
            Extent::Whole => counted_rows(rows),
            Extent::Cut => {
                format!("the first {}; \\export FILE writes all", counted_rows(self.max_rows as u64))
            }
        }
    }

    fn say_time(&self, ended: Ended, begun: Instant) {
        if ended == Ended::Cancelled {
            println!("cancelled");
        }
        if self.is_timed {
            println!("time: {:.3} s", begun.elapsed().as_secs_f64());
        }
    }
}

fn counted_rows(rows: u64) -> String {
    if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") }
}

fn no_value(name: &str, text: &str, values: &Params) -> Failure {
    let hint = nearest(name, values.keys().map(String::as_str));
    let hint = hint.map(|near| format!(", did you mean ${near}?")).unwrap_or_default();
    let place =
        lex(text).0.iter().find(|lexed| text[lexed.range.clone()] == format!("${name}")).map(|lexed| {
            let before = &text[..lexed.range.start];
            let line = before.rsplit('\n').next().unwrap_or_default();
            Place { line: 1 + before.matches('\n').count() as u64, column: 1 + line.chars().count() as u64 }
        });
    let message = format!("parameter ${name} has no value{hint} (\\set {name} VALUE gives it one)");
    Failure::in_text(Error::invalid(message).with_place(place), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::message;

    #[test]
    fn a_parameter_without_a_value_is_shown_with_the_nearest_that_has_one() {
        let values = Params::from([("start".to_owned(), "2026-01-01".to_owned())]);
        let failure = no_value("strat", "select 1\nwhere $strat", &values);
        assert_eq!(
            message(&failure),
            "error: parameter $strat has no value, did you mean $start? (\\set strat VALUE gives it one)\n\
             line 2: where $strat\n              ^^^^^^\n"
        );
    }
}
