//! `tributary vacuum`: what no version needs any more is deleted.

use std::io::Write as _;

use super::exit::Outcome;
use crate::engine::Engine;
use crate::error::Error;
use crate::lake::Vacuumed;

/// Deletes files and log entries that no version of the last days needs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every change of a table leaves the files of its older versions, which queries and readers like DuckDB may still need. The \
vacuum deletes them once they are older than `keep_versions_for` of `[lake]` (7 days if it is not set), and what a process \
that crashed has left once it is a day old. `tributary serve` does so every hour, and `tributary nightly` at its end. Prints \
one line of JSON for each table that has files of older versions.

Examples:
  tributary vacuum --dry-run
  tributary vacuum
  TRIBUTARY_LAKE_KEEP_VERSIONS_FOR=12h tributary vacuum")]
pub struct VacuumArgs {
    /// Only counts what would be deleted
    #[arg(long)]
    dry_run: bool,
}

#[derive(serde::Serialize)]
struct Line {
    table: String,
    #[serde(flatten)]
    vacuumed: Vacuumed,
}

pub async fn run(engine: Engine, args: VacuumArgs) -> Outcome {
    let mut out = std::io::stdout();
    let mut tables = engine.vacuum(args.dry_run).await?;
    tables.retain(|(_, vacuumed)| *vacuumed != Vacuumed::default());
    if tables.is_empty() {
        eprintln!("there is nothing to delete");
    }
    for (table, vacuumed) in tables {
        let line = serde_json::to_string(&Line { table, vacuumed })
            .map_err(|error| Error::internal("the report cannot be written").with_source(error))?;
        writeln!(out, "{line}")?;
    }
    engine.close().await?;
    Ok(())
}
