//! The shell's beginning and its loop: read, do, again.

use std::cell::RefCell;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

use super::asking::Question;
use super::catalog::Catalog;
use super::input::{Input, Line, Values};
use super::text::parse;
use crate::cli::exit::{Outcome, message};
use crate::cli::output::{OutputArgs, OutputFormat};
use crate::cli::source::Source;
use crate::config::Terminal;
use crate::error::Error;
use crate::query::Params;

/// The first step of a query may be taken on the shell's own thread, and planning is deep.
const STACK_BYTES: usize = 16 << 20;

/// A running shell.
pub struct Shell {
    pub source: Arc<Source>,
    pub catalog: Arc<Catalog>,
    pub runtime: Handle,
    pub input: Input,
    /// Told of every Ctrl-C that does not come at the prompt.
    pub interrupts: Arc<Notify>,
    pub values: Values,
    pub format: OutputFormat,
    pub max_rows: usize,
    pub is_timed: bool,
    pub is_paged: bool,
    pub pager: Option<String>,
    /// What was asked last.
    pub last: Option<Question>,
}

/// Reads and does what is typed until the user leaves. `values` are the first values of parameters.
pub async fn run(source: Source, values: Params, output: &OutputArgs) -> Outcome {
    // Whoever is asked has to be there, and to let us in, before a prompt promises it.
    let catalog = Catalog::load(&source).await?;
    let (format, max_rows) = (output.format(), output.max_rows());
    let runtime = Handle::current();
    let interrupts = Arc::new(Notify::new());
    listen(Arc::clone(&interrupts))?;
    let (sender, ended) = oneshot::channel();
    let live = move || {
        let terminal = Terminal::from_environment();
        let values = Rc::new(RefCell::new(values));
        let catalog = Arc::new(catalog);
        let folder = terminal.state_folder.as_deref();
        let input = Input::new(Arc::clone(&catalog), Rc::clone(&values), folder)?;
        let mut shell = Shell {
            source: Arc::new(source),
            catalog,
            runtime,
            input,
            interrupts,
            values,
            format,
            max_rows,
            is_timed: false,
            is_paged: true,
            pager: terminal.pager,
            last: None,
        };
        shell.live()
    };
    // Reading a line blocks: not on a thread that serves others.
    std::thread::Builder::new()
        .name("tributary-shell".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            // The receiver waits for nothing else.
            let _ = sender.send(live());
        })
        .map_err(|error| Error::unavailable("no thread for the shell").with_source(error))?;
    ended
        .await
        .unwrap_or_else(|error| Err(Error::internal("the shell stopped short").with_source(error).into()))
}

/// From now on, Ctrl-C no longer ends the process, but tells those who wait. On a thread of its own: those of the runtime
/// may all be busy with what is to be cancelled.
fn listen(told: Arc<Notify>) -> Outcome {
    let deaf = |error| Error::unavailable("Ctrl-C cannot be waited for").with_source(error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(deaf)?;
    let (ready, listening) = std::sync::mpsc::channel();
    let waiting = async move {
        let mut next = Box::pin(tokio::signal::ctrl_c());
        // Heard before the first line is read: the line editor puts back whatever it has found there.
        let _ = futures::poll!(next.as_mut());
        let _ = ready.send(());
        while next.await.is_ok() {
            told.notify_waiters();
            next = Box::pin(tokio::signal::ctrl_c());
        }
    };
    let thread = std::thread::Builder::new().name("tributary-signals".to_owned());
    thread.spawn(move || runtime.block_on(waiting)).map_err(deaf)?;
    // It comes at once; a thread that has ended says that nobody listens.
    listening.recv().map_err(|error| Error::unavailable("Ctrl-C cannot be waited for").with_source(error))?;
    Ok(())
}

impl Shell {
    fn live(&mut self) -> Outcome {
        let name = self.source.name().to_owned();
        let version = env!("CARGO_PKG_VERSION");
        println!("Tributary {version} on {name}: \\? lists commands, Tab completes, \\q leaves");
        let prompt = format!("{name}> ");
        loop {
            let typed = match self.input.read(&prompt)? {
                Line::Cleared => continue,
                Line::Left => break,
                Line::Typed(typed) => typed,
            };
            if self.do_all(&typed).is_break() {
                break;
            }
            std::io::stdout().flush()?;
        }
        Ok(())
    }

    /// Does one part after the other, up to the first that fails.
    fn do_all(&mut self, typed: &str) -> ControlFlow<()> {
        for part in parse(typed).parts {
            match self.obey(part) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return ControlFlow::Break(()),
                Err(failure) => {
                    eprint!("{}", message(&failure));
                    break;
                }
            }
        }
        ControlFlow::Continue(())
    }
}
