//! `tributary read-rows`: reads Parquet and Arrow for another process of Tributary's, which has to live on if this one dies.

use std::path::PathBuf;
use std::process::ExitCode;

/// Reads rows for another process of Tributary's; not to be called by people.
#[derive(Debug, clap::Args)]
pub struct ReadRowsArgs {
    /// The table, the store and the kind of the file, as JSON
    #[cfg_attr(not(unix), expect(dead_code))]
    asked: String,
}

/// This very program, also after its file was replaced by a newer one. `None` if the system cannot start it so.
pub fn program() -> Option<PathBuf> {
    let own = PathBuf::from("/proc/self/exe");
    let own = if own.exists() { Some(own) } else { std::env::current_exe().ok() };
    own.filter(|_| cfg!(unix))
}

#[cfg(unix)]
pub fn run(args: &ReadRowsArgs) -> ExitCode {
    use std::fs::File;
    use std::os::fd::AsFd as _;

    let read = || {
        let file = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        crate::land::read_for_another(&args.asked, file, std::io::stdout().lock())
    };
    // The other process hears of a failure by the end of what it reads.
    read().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

#[cfg(not(unix))]
pub fn run(_: &ReadRowsArgs) -> ExitCode {
    ExitCode::FAILURE
}
