//! `tributary nightly`: the batch.

use std::io::Write as _;

use super::exit::Outcome;
use super::store;
use crate::engine::Engine;
use crate::error::Error;

/// Compacts the tables, brings the rollups up to date, and deletes files that nobody needs any more.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints one line of JSON for each store: what was compacted, what was materialised, and what failed. After a failure it \
goes on with the other tables and stores, and ends with an error.

Examples:
  tributary nightly
  tributary nightly --store my-shop")]
pub struct NightlyArgs {
    /// One store alone; every store if not given
    #[arg(long, env = "TRIBUTARY_STORE")]
    store: Option<String>,
}

pub async fn run(engine: Engine, args: NightlyArgs) -> Outcome {
    if args.store.is_some() {
        store::resolve_existing(&engine, args.store.as_deref()).await?;
    }
    let reports = engine.nightly(args.store.as_deref()).await?;
    let mut out = std::io::stdout();
    let mut failed = Vec::new();
    for report in reports {
        let line = serde_json::to_string(&report)
            .map_err(|error| Error::internal("the report cannot be written").with_source(error))?;
        writeln!(out, "{line}")?;
        failed.extend(report.failed);
    }
    let vacuumed = engine.vacuum(false).await;
    engine.close().await?;
    vacuumed?;
    match failed.first() {
        None => Ok(()),
        Some(first) => {
            let message = format!(
                "{} of the tables failed; the first was {}: {}",
                failed.len(),
                first.table,
                first.error
            );
            Err(Error::new(first.kind, message).into())
        }
    }
}
