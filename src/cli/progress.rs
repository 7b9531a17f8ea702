//! Progress on a terminal; nothing anywhere else.

use std::io::{self, IsTerminal as _, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use super::source::Reading;
use crate::config::Terminal;

const BYTES: &str = "{msg:24} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
const ROWS: &str = "{msg:24} {wide_bar} {percent}% {eta}";

/// A bar over the bytes of a file; without a length where the file is a stream.
pub fn bytes(message: String, length: Option<u64>) -> ProgressBar {
    bar(message, length, BYTES)
}

/// A bar over things that are counted.
pub fn count(message: String, length: u64) -> ProgressBar {
    bar(message, Some(length), ROWS)
}

const READING: &str = "{spinner} {elapsed} {msg}";
/// An answer that comes sooner needs no progress.
const PATIENCE: Duration = Duration::from_millis(500);
const REFRESH: Duration = Duration::from_millis(120);

type Look = Box<dyn Fn() -> Reading + Send + Sync>;

/// What a question has read so far, shown from half a second on until it is dropped.
pub struct Waiting {
    look: Arc<Mutex<Option<Look>>>,
    shown: Mutex<Option<Shown>>,
}

/// The thread that shows it, until its channel is closed. It is none of the runtime's: those may all be busy.
struct Shown {
    until: Sender<()>,
    thread: JoinHandle<()>,
}

impl Waiting {
    /// `verb` says what happens to the rows: they are read, or received.
    pub fn start(verb: &'static str) -> Self {
        let look: Arc<Mutex<Option<Look>>> = Arc::default();
        if !io::stderr().is_terminal() || !Terminal::from_environment().can_redraw {
            return Self { look, shown: Mutex::new(None) };
        }
        let (until, ended) = mpsc::channel();
        let looked = Arc::clone(&look);
        let thread = std::thread::Builder::new().name("tributary-progress".to_owned()).spawn(move || {
            if ended.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let bar = bar(String::new(), None, READING);
            while ended.recv_timeout(REFRESH) == Err(RecvTimeoutError::Timeout) {
                let reading = lock(&looked).as_ref().map(|look| look());
                bar.set_message(describe(reading, verb));
                bar.tick();
            }
            bar.finish_and_clear();
        });
        // Without a thread there is no progress to see, and the answer comes all the same.
        Self { look, shown: Mutex::new(thread.ok().map(|thread| Shown { until, thread })) }
    }

    /// From now on, this says what was read.
    pub fn look_at(&self, look: Look) {
        *lock(&self.look) = Some(look);
    }

    /// A writer whose first byte ends the progress, so that both are not on one line.
    pub fn before<W: Write>(&self, out: W) -> BeforeOutput<'_, W> {
        BeforeOutput { waiting: self, out }
    }

    fn end(&self) {
        if let Some(Shown { until, thread }) = lock(&self.shown).take() {
            drop(until);
            // It has cleared its line when it has ended.
            let _ = thread.join();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.end();
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn describe(reading: Option<Reading>, verb: &str) -> String {
    match reading {
        None => "planning".to_owned(),
        Some(Reading { rows, bytes: 0 }) => format!("{} rows {verb}", HumanCount(rows)),
        Some(Reading { rows, bytes }) => {
            format!("{} rows, {} {verb}", HumanCount(rows), HumanBytes(bytes))
        }
    }
}

/// See [`Waiting::before`].
pub struct BeforeOutput<'a, W> {
    waiting: &'a Waiting,
    out: W,
}

impl<W> BeforeOutput<'_, W> {
    pub fn into_inner(self) -> W {
        self.out
    }
}

impl<W: Write> Write for BeforeOutput<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.end();
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn bar(message: String, length: Option<u64>, template: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new).with_message(message);
    // A template that cannot be read costs the bar its looks, not the command its run.
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
