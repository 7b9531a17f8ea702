//! `tributary fsck`: whether the lake is sound.

use std::io::Write as _;

use super::exit::{Failure, Outcome};
use super::progress;
use crate::engine::Engine;
use crate::error::Error;
use crate::lake::Repairs;

/// Looks whether the log and every file of every table are as they were written.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints one line of JSON for each thing that is wrong: the table, the file, and whose months it touches. Ends with exit code 0 \
if nothing is wrong or all of it was repaired, else with 1.

Examples:
  tributary fsck
  tributary fsck --deep
  tributary fsck --deep --repair
  tributary fsck --deep --set-aside")]
pub struct FsckArgs {
    /// Reads every row: order, months, statistics, checksums, and that each key is there once
    #[arg(long)]
    deep: bool,
    /// Sets broken log files aside that a checkpoint or other entries stand for, and writes a checkpoint anew
    #[arg(long)]
    repair: bool,
    /// Takes broken data files out of their tables, so that the other rows of the store answer again
    #[arg(long)]
    set_aside: bool,
}

pub async fn run(engine: Engine, args: FsckArgs) -> Outcome {
    let repairs = Repairs { log: args.repair, set_files_aside: args.set_aside };
    // A broken log does not say how much there is to read.
    let bar = progress::bytes("looking".to_owned(), engine.live_bytes().await.ok());
    let looked = bar.clone();
    let fsck = engine.fsck_watched(args.deep, repairs, &move |bytes| looked.inc(bytes)).await;
    bar.finish_and_clear();
    let fsck = fsck?;
    let mut out = std::io::stdout();
    for finding in &fsck.findings {
        let line = serde_json::to_string(finding)
            .map_err(|error| Error::internal("the report cannot be written").with_source(error))?;
        writeln!(out, "{line}")?;
    }
    engine.close().await?;
    let left = fsck.findings.iter().filter(|finding| finding.repaired.is_none()).count();
    let looked_at = format!("{} data files and {} log files", fsck.data_files, fsck.log_files);
    if left == 0 {
        eprintln!("{looked_at} are sound");
        return Ok(());
    }
    eprintln!("{left} of {looked_at} are not: see above; a backup has them, or try --repair or --set-aside");
    Err(Failure::Negative)
}
