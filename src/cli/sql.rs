//! `tributary sql`: any read-only SQL.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use futures::StreamExt as _;

use super::args::parse_param;
use super::exit::{Failure, Outcome};
use super::output::OutputArgs;
use super::store;
use crate::engine::Engine;
use crate::error::Error;
use crate::query::Params;

/// Runs read-only SQL over the tables of one store.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary sql -c 'select channel, sum(cost) from touchpoints group by channel' --store my-shop
  tributary sql report.sql --param start=2026-01-01 --format csv > report.csv
  tributary sql -c 'select * from orders' --format parquet -o orders.parquet
  echo 'select 1' | tributary sql --format json")]
pub struct SqlArgs {
    /// A file of SQL, or - for standard input, which is read as well where neither file nor -c is given
    #[arg(value_name = "FILE", conflicts_with = "command")]
    file: Option<PathBuf>,
    /// The SQL itself
    #[arg(long, short, value_name = "TEXT")]
    command: Option<String>,
    /// The store; may be left out where there is only one
    #[arg(long, env = "TRIBUTARY_STORE")]
    store: Option<String>,
    /// A value for $name, bound and never pasted; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parse_param)]
    params: Vec<(String, String)>,
    #[command(flatten)]
    output: OutputArgs,
}

pub async fn run(engine: Engine, args: SqlArgs) -> Outcome {
    args.output.verify()?;
    let text = read_text(&args)?;
    let store = store::resolve_existing(&engine, args.store.as_deref()).await?;
    let params: Params = args.params.into_iter().collect();
    let answer = engine.sql(&store, &text, &params).await?;
    let schema = answer.stream.schema();
    let batches = answer.stream.map(|batch| batch.map_err(Error::from));
    args.output.write(schema, batches, answer.data_version).await
}

fn read_text(args: &SqlArgs) -> Outcome<String> {
    if let Some(text) = &args.command {
        return Ok(text.clone());
    }
    let unreadable = |error: std::io::Error| {
        Failure::usage(format!("the SQL cannot be read: {error}; give a file, -c TEXT or standard input"))
    };
    match args.file.as_deref().filter(|file| *file != Path::new("-")) {
        Some(file) => std::fs::read_to_string(file).map_err(unreadable),
        None if std::io::stdin().is_terminal() => {
            Err(Failure::usage("no SQL was given: name a file, add -c TEXT or pipe it in"))
        }
        None => {
            let mut text = String::new();
            std::io::stdin().lock().read_to_string(&mut text).map_err(unreadable)?;
            Ok(text)
        }
    }
}
