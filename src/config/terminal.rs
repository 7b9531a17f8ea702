//! What the person at the terminal has chosen for all programs: a pager, a folder for what they keep.

use std::path::{Path, PathBuf};

/// The pager that is taken where none is chosen: it cuts long lines, and ends by itself where all fits.
const LESS: &str = "less -SFRX";

/// The preferences of a terminal's user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terminal {
    /// A command for the system's shell; none where long answers are just printed.
    pub pager: Option<String>,
    /// Whether a line that was printed can be taken back.
    pub can_redraw: bool,
    /// Where programs keep what is not worth a backup, such as a history; none where nobody has a home.
    pub state_folder: Option<PathBuf>,
}

impl Terminal {
    /// Reads `PAGER`, `TERM`, `XDG_STATE_HOME` and `HOME`.
    #[expect(clippy::disallowed_methods, reason = "the environment is read here")]
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let has_less = || {
            let folders = variable("PATH").unwrap_or_default();
            std::env::split_paths(&folders).any(|folder| folder.join("less").is_file())
        };
        let pager = match std::env::var_os("PAGER") {
            // Who sets it to nothing wants none.
            Some(pager) => pager.into_string().ok().filter(|pager| !pager.trim().is_empty()),
            None => has_less().then(|| LESS.to_owned()),
        };
        let state = variable("XDG_STATE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
        let home = variable("HOME").map(|home| Path::new(&home).join(".local/state"));
        Self {
            pager,
            can_redraw: variable("TERM").is_none_or(|name| name != "dumb"),
            state_folder: state.or(home).map(|folder| folder.join("tributary")),
        }
    }
}
