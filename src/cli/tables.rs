//! `tributary tables`: what a store has.

use std::io::Write as _;

use comfy_table::CellAlignment;

use super::exit::Outcome;
use super::{store, text_table};
use crate::engine::{Engine, TableInfo};
use crate::error::Error;

/// Lists the tables of a store with their rows, files and versions.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
`landed` counts the files that are not compacted yet, `kept` the versions of the table that can be read. `compacted` and \
`vacuumed` say when that was done last.

Examples:
  tributary tables --store my-shop
  tributary tables --store my-shop --json | jq .rows")]
pub struct TablesArgs {
    /// The store; may be left out where there is only one
    #[arg(long, env = "TRIBUTARY_STORE")]
    store: Option<String>,
    /// One line of JSON for each table
    #[arg(long)]
    json: bool,
}

pub async fn run(engine: Engine, args: TablesArgs) -> Outcome {
    let store = store::resolve_existing(&engine, args.store.as_deref()).await?;
    let tables = engine.tables(&store).await?;
    let mut out = std::io::stdout().lock();
    if args.json {
        for table in &tables {
            let line = serde_json::to_string(table)
                .map_err(|error| Error::internal("the list cannot be written").with_source(error))?;
            writeln!(out, "{line}")?;
        }
        return Ok(());
    }
    writeln!(out, "{}", render(&tables))?;
    Ok(())
}

/// The columns behind the name, before the instants.
const NUMBER_COLUMNS: usize = 6;

fn render(tables: &[TableInfo]) -> String {
    let mut text = text_table::empty();
    text.set_header([
        "table",
        "rows",
        "files",
        "landed",
        "bytes",
        "version",
        "kept",
        "compacted",
        "vacuumed",
        "grain",
    ]);
    for table in tables {
        text.add_row([
            table.name.clone(),
            table.rows.to_string(),
            table.files.to_string(),
            table.landed_files.to_string(),
            table.size_bytes.to_string(),
            table.version.map_or_else(String::new, |version| version.to_string()),
            table.versions.to_string(),
            table.compacted_at.clone().unwrap_or_default(),
            table.vacuumed_at.clone().unwrap_or_default(),
            table.grain.clone(),
        ]);
    }
    for column in text.column_iter_mut().skip(1).take(NUMBER_COLUMNS) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    text.to_string()
}
