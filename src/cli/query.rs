//! `tributary query`: a named query.

use futures::stream;

use super::args::parse_param;
use super::exit::Outcome;
use super::output::OutputArgs;
use super::store;
use crate::engine::Engine;
use crate::query::Params;

/// Answers a named query, such as attribution/by_channel.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An unknown name or parameter is refused with the known ones listed.

Examples:
  tributary query attribution/by_channel --param model=linear --store my-shop
  tributary query performance/daily --param start=2026-10-01 --param end=2026-11-01 --format csv
  tributary query attribution/reconciliation --format markdown")]
pub struct QueryArgs {
    /// The query, as topic/name
    #[arg(value_name = "TOPIC/NAME")]
    name: String,
    /// A parameter of the query; may be repeated
    #[arg(long = "param", short, value_name = "NAME=VALUE", value_parser = parse_param)]
    params: Vec<(String, String)>,
    /// The store; may be left out where there is only one
    #[arg(long, env = "TRIBUTARY_STORE")]
    store: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

pub async fn run(engine: Engine, args: QueryArgs) -> Outcome {
    args.output.verify()?;
    let store = store::resolve_existing(&engine, args.store.as_deref()).await?;
    let params: Params = args.params.into_iter().collect();
    let (answer, _) = engine.query(&store, &args.name, &params, None).await?;
    let batches = stream::iter(answer.batches.clone().into_iter().map(Ok));
    args.output.write(answer.schema.clone(), batches, answer.data_version.clone().into()).await
}
