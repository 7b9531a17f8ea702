//! `tributary check`: plans every query.

use std::io::Write as _;

use super::exit::{Failure, Outcome};
use crate::engine::Engine;

/// Plans every named query, built in or from --queries-folder, and lists what is wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints a line for each problem and exits with 1 where there is one.

Examples:
  tributary check
  tributary check --queries-folder ./queries")]
pub struct CheckArgs {}

pub async fn run(engine: Engine, _: CheckArgs) -> Outcome {
    let problems = engine.check().await?;
    let mut out = std::io::stdout().lock();
    for problem in &problems {
        writeln!(out, "{problem}")?;
    }
    if !problems.is_empty() {
        return Err(Failure::Negative);
    }
    writeln!(out, "{} queries are sound", engine.queries().len())?;
    Ok(())
}
