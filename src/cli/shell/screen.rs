//! The terminal as a place for answers: what does not fit on it goes to a pager.

use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

/// Lines that the prompt needs below an answer.
const PROMPT_LINES: usize = 2;

/// Takes an answer. Holds it back while it fits on the screen; from then on a pager has it.
pub struct Screen {
    held: Vec<u8>,
    lines: usize,
    /// Letters of the last line so far.
    line_letters: usize,
    columns: usize,
    rows: usize,
    pager: Option<String>,
    child: Option<Child>,
}

impl Screen {
    /// Without a pager, everything is printed at once.
    pub fn new((columns, rows): (u16, u16), pager: Option<&str>) -> Self {
        Self {
            held: Vec::new(),
            lines: 0,
            line_letters: 0,
            columns: usize::from(columns),
            rows: usize::from(rows),
            pager: pager.map(ToOwned::to_owned),
            child: None,
        }
    }

    /// Shows what was held back, and waits for the reader to leave the pager.
    pub fn finish(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            // The pager sees the end of its input when ours is closed.
            drop(child.stdin.take());
            child.wait()?;
            return Ok(());
        }
        let held = std::mem::take(&mut self.held);
        let mut out = io::stdout().lock();
        out.write_all(&held)?;
        out.flush()
    }

    /// Counts lines; says whether all fits.
    fn fits(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            match byte {
                b'\n' => (self.lines, self.line_letters) = (self.lines + 1, 0),
                // The further bytes of a letter.
                0x80..=0xbf => {}
                _ => self.line_letters += 1,
            }
            if self.lines + PROMPT_LINES > self.rows || self.line_letters > self.columns {
                return false;
            }
        }
        true
    }

    fn start_pager(&mut self) {
        let Some(pager) = self.pager.take() else { return };
        let mut child = if cfg!(windows) { Command::new("cmd") } else { Command::new("sh") };
        child.args([if cfg!(windows) { "/C" } else { "-c" }, &pager]).stdin(Stdio::piped());
        match child.spawn() {
            Ok(child) => self.child = Some(child),
            Err(error) => tracing::warn!(%error, "the pager does not start; $PAGER names it"),
        }
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(pipe) = self.child.as_mut().and_then(|child| child.stdin.as_mut()) {
            return pipe.write(bytes);
        }
        if self.pager.is_some() {
            if self.fits(bytes) {
                return self.held.write(bytes);
            }
            self.start_pager();
            let held = std::mem::take(&mut self.held);
            self.write_all(&held)?;
            return self.write(bytes);
        }
        io::stdout().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.child.as_mut().and_then(|child| child.stdin.as_mut()) {
            Some(pipe) => pipe.flush(),
            None if self.pager.is_some() => Ok(()),
            None => io::stdout().flush(),
        }
    }
}

/// Where an answer was cancelled: the pager keeps what it has until it is left.
impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a pager is given of an answer.
    fn paged(answer: &str, size: (u16, u16)) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("paged");
        let pager = format!("cat > '{}'", file.display());
        let mut screen = Screen::new(size, Some(&pager));
        for piece in answer.as_bytes().chunks(5) {
            screen.write_all(piece).unwrap();
        }
        let is_held = screen.child.is_none();
        if is_held {
            screen.held.clear();
        }
        screen.finish().unwrap();
        std::fs::read_to_string(file).ok()
    }

    #[test]
    fn what_fits_is_printed_and_what_does_not_is_paged_whole() {
        assert_eq!(paged("one\ntwo\n", (80, 24)), None);
        let long = "line\n".repeat(30);
        assert_eq!(paged(&long, (80, 24)), Some(long.clone()));
        let wide = format!("short\n{}\n", "w".repeat(81));
        assert_eq!(paged(&wide, (80, 24)), Some(wide.clone()));
        assert_eq!(paged(&format!("{}\n", "ü".repeat(80)), (80, 24)), None);
    }

    #[test]
    fn a_pager_that_is_left_early_is_a_closed_pipe() {
        let mut screen = Screen::new((80, 4), Some("true"));
        let outcome = (0..100_000).try_for_each(|_| screen.write_all(b"a line that nobody reads\n"));
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
