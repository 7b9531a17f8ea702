//! `tributary erase`: a customer is forgotten.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use super::exit::{Failure, Outcome};
use super::{progress, store};
use crate::engine::{Engine, Person};
use crate::error::Error;
use crate::lake::Purged;

/// Looks at files that another process is writing, before the caller is told of them.
const LOOKS: usize = 20;
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// Removes everything of a customer, from every table and every file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Takes out the rows that name the customer, or an id that `identities` links to them: touchpoints, orders with their
refunds, the customer, invitations, refused rows, journeys. Then the files that held them are deleted, after a while in
which running queries may end, and every file is searched again. Prints one line of JSON.

What the rows added to rollups goes with the next `tributary nightly`. A row that is landed again is kept again.

Examples:
  tributary erase --customer c-1042 --store my-shop --dry-run
  tributary erase --customer c-1042 --store my-shop --yes
  tributary erase --customer c-1042 --store my-shop --yes --grace 0")]
pub struct EraseArgs {
    /// The customer's id, or any id that is linked to it
    #[arg(long, value_name = "ID")]
    customer: String,
    /// The store; may be left out where there is only one
    #[arg(long, env = "TRIBUTARY_STORE")]
    store: Option<String>,
    /// Only counts the rows
    #[arg(long)]
    dry_run: bool,
    /// Does not ask
    #[arg(long, short)]
    yes: bool,
    /// How long queries under way may still read the old files, before these are deleted
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    grace: u64,
}

/// What was done, or would be.
#[derive(serde::Serialize)]
struct Report {
    store: String,
    /// Ids that name the customer.
    ids: usize,
    /// Rows by table.
    rows: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files_deleted: Option<u64>,
    /// Rows that a search of every file found afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows_left: Option<u64>,
    /// Files that could not be searched: another process is writing them.
    #[serde(skip_serializing_if = "Option::is_none")]
    files_unread: Option<u64>,
}

pub async fn run(engine: Engine, args: EraseArgs) -> Outcome {
    let store = match &args.store {
        // It may have no rows any more, and files that an erasure which was cut short has left.
        Some(store) if engine.has_erased(store).await? => store.clone(),
        named => store::resolve_existing(&engine, named.as_deref()).await?,
    };
    let person = engine.person(&store, &args.customer).await?;
    let mut rows = engine.rows_of(&person).await?;
    rows.retain(|_, count| *count > 0);
    let mut report = Report {
        store: store.clone(),
        ids: person.id_count(),
        rows,
        files_deleted: None,
        rows_left: None,
        files_unread: None,
    };
    if args.dry_run {
        return print(&report);
    }
    if !args.yes {
        confirm(&report)?;
    }
    let erased = engine.erase(&person).await?;
    let rows = erased.into_iter().map(|(table, erased)| (table, erased.rows));
    report.rows = rows.filter(|(_, rows)| *rows > 0).collect();
    wait(args.grace).await;
    let purged = purge(&engine, &person).await?;
    report.files_deleted = Some(purged.files);
    report.files_unread = (purged.files_unread > 0).then_some(purged.files_unread);
    report.rows_left = Some(purged.rows_left);
    print(&report)?;
    engine.close().await?;
    if purged.rows_left > 0 {
        return Err(Error::conflict("rows of this customer were landed meanwhile: erase again").into());
    }
    if purged.files_unread > 0 {
        return Err(Error::conflict("rows are being landed, and may be this customer's: erase again").into());
    }
    Ok(())
}

/// Deletes the files of erased rows, and searches the others. A file that another process is writing is looked at again.
async fn purge(engine: &Engine, person: &Person) -> Outcome<Purged> {
    let mut purged = engine.purge_erased(person).await?;
    for _ in 0..LOOKS {
        if purged.files_unread == 0 {
            break;
        }
        tokio::time::sleep(LOOK_PAUSE).await;
        let files = purged.files;
        purged = engine.purge_erased(person).await?;
        purged.files += files;
    }
    Ok(purged)
}

fn print(report: &Report) -> Outcome {
    let line = serde_json::to_string(report)
        .map_err(|error| Error::internal("the report cannot be written").with_source(error))?;
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

fn confirm(report: &Report) -> Outcome {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("erasing cannot be undone: add --yes, or --dry-run to count only"));
    }
    let count: u64 = report.rows.values().sum();
    let mut err = std::io::stderr();
    for (table, rows) in &report.rows {
        writeln!(err, "{table:14} {rows:>10} rows")?;
    }
    write!(err, "erase these {count} rows of store {} for good? [y/N] ", report.store)?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::usage("nothing was erased"))
}

async fn wait(seconds: u64) {
    let bar = progress::count("waiting for queries under way".to_owned(), seconds);
    for _ in 0..seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        bar.inc(1);
    }
    bar.finish_and_clear();
}
