//! Lands the demo's tables, runs the nightly batch and serves.

use std::ops::Range;

use chrono::NaiveDate;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::ProgressBar;

use super::args::DemoArgs;
use super::calibrate::{Sizes, calibrate};
use super::journey::JourneySource;
use super::metrics::DailyTotals;
use super::reader::{JourneyReader, JourneyTable};
use super::rows;
use super::stores::{DemoStore, Period, STORES};
use super::tables::{LAST_TABLE, SMALL_TABLES, SmallTable};
use crate::cli::exit::Outcome;
use crate::cli::{progress, serve};
use crate::config::Config;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::land::{Format, LandRequest};

/// Journeys whose rows are landed in one batch: large enough for few files, small enough to show progress.
const JOURNEYS_A_BATCH: u64 = 100_000;
/// Batches that are landed at a time.
const CONCURRENT_LANDINGS: usize = 2;

/// Tables drawn from journeys; late touches come after these.
const JOURNEY_TABLES: [(&str, JourneyTable); 6] = [
    ("touchpoints", rows::touches),
    ("orders", rows::orders),
    ("refunds", rows::refunds),
    ("customers", rows::customers),
    ("identities", rows::identities),
    ("invites", rows::invites),
];

/// Runs the demo; returns when the server has stopped.
pub async fn run(engine: Engine, config: &Config, args: &DemoArgs) -> Outcome {
    args.verify()?;
    if is_complete(&engine).await? {
        eprintln!("the demo stores are there already; serving them");
    } else {
        let started = std::time::Instant::now();
        generate(&engine, args).await?;
        eprintln!("landed in {:.1} s; running the nightly batch", started.elapsed().as_secs_f64());
        for store in &STORES {
            engine.nightly(Some(store.id)).await?;
            let period = Period::before(args.end_day(), args.days, store.time_zone);
            land_rows(&engine, args, args.end_day(), store, period, LAST_TABLE).await?;
        }
        eprintln!("ready after {:.1} s", started.elapsed().as_secs_f64());
    }
    if args.no_serve {
        engine.close().await?;
        return Ok(());
    }
    let address = |port: u16| std::net::SocketAddr::from(([127, 0, 0, 1], port)).to_string();
    let (http, flight) = (address(args.port), address(args.flight_port));
    let postgres = address(args.postgres_port);
    let addresses = serve::Addresses { http: &http, flight: Some(&flight), postgres: Some(&postgres) };
    serve::listen(engine, config, addresses, serve::Access::Open, welcome).await
}

/// Whether every store has the table that is landed last: then everything else is there as well.
async fn is_complete(engine: &Engine) -> Result<bool> {
    let landed = engine.stores().await?;
    for store in &STORES {
        if !landed.iter().any(|landed| landed == store.id) {
            return Ok(false);
        }
        let tables = engine.tables(store.id).await?;
        if !tables.iter().any(|table| table.name == LAST_TABLE.0 && table.rows > 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn generate(engine: &Engine, args: &DemoArgs) -> Result<()> {
    let end = args.end_day();
    let sources = sources(args, end, sizes(args, end));
    let journeys: u64 = sources.iter().map(JourneySource::journeys).sum();
    let passes = JOURNEY_TABLES.len() as u64 + 2;
    let bar = progress::count("generating and landing".into(), journeys * passes);
    let mut batches = Vec::new();
    for source in &sources {
        for (table, rows) in JOURNEY_TABLES {
            batches.extend(split(source, table, rows, ""));
        }
    }
    land_batches(engine, args, end, &bar, batches).await?;
    for source in &sources {
        land_small(engine, args, end, source, &bar).await?;
    }
    let late = sources.iter().flat_map(|source| split(source, "touchpoints", rows::late_touches, "late-"));
    land_batches(engine, args, end, &bar, late.collect()).await?;
    bar.finish_and_clear();
    Ok(())
}

/// The sizes of the whole demo, fitted once and shared out over the stores.
pub fn sizes(args: &DemoArgs, end: NaiveDate) -> Sizes {
    let period = Period::before(end, args.days, STORES[0].time_zone);
    calibrate(args.seed, args.touchpoints, args.orders, period)
}

/// One source of journeys for each store.
pub fn sources(args: &DemoArgs, end: NaiveDate, sizes: Sizes) -> Vec<JourneySource> {
    STORES
        .iter()
        .map(|store| {
            let period = Period::before(end, args.days, store.time_zone);
            let mut source = JourneySource::new(args.seed, store, period, sizes.calibration);
            source.touched_journeys = (sizes.touched_journeys as f64 * store.share).round().max(1.0) as u64;
            source.walk_ins = (sizes.walk_ins as f64 * store.share).round() as u64;
            source
        })
        .collect()
}

/// The rows that a range of journeys has in one table.
struct Batch {
    source: JourneySource,
    table: &'static str,
    rows: JourneyTable,
    journeys: Range<u64>,
    label: &'static str,
}

fn split(source: &JourneySource, table: &'static str, rows: JourneyTable, label: &'static str) -> Vec<Batch> {
    let journeys = source.journeys();
    (0..journeys.div_ceil(JOURNEYS_A_BATCH))
        .map(|batch| {
            let journeys = batch * JOURNEYS_A_BATCH..((batch + 1) * JOURNEYS_A_BATCH).min(journeys);
            Batch { source: source.clone(), table, rows, journeys, label }
        })
        .collect()
}

async fn land_batches(
    engine: &Engine,
    args: &DemoArgs,
    end: NaiveDate,
    bar: &ProgressBar,
    batches: Vec<Batch>,
) -> Result<()> {
    let landings: Vec<_> = batches
        .into_iter()
        .map(|batch| land_batch(engine.clone(), args.clone(), end, bar.clone(), batch))
        .collect();
    stream::iter(landings).buffer_unordered(CONCURRENT_LANDINGS).try_collect().await
}

async fn land_batch(
    engine: Engine,
    args: DemoArgs,
    end: NaiveDate,
    bar: ProgressBar,
    batch: Batch,
) -> Result<()> {
    let store = batch.source.store;
    let part = format!("{}{}", batch.label, batch.journeys.start);
    let mut reader = JourneyReader::new(batch.source, batch.rows, batch.journeys, bar);
    if reader.is_empty() {
        return Ok(());
    }
    engine.land(store.id, batch.table, reader, request(&args, end, store, batch.table, &part)).await?;
    Ok(())
}

async fn land_small(
    engine: &Engine,
    args: &DemoArgs,
    end: NaiveDate,
    source: &JourneySource,
    bar: &ProgressBar,
) -> Result<()> {
    for small in SMALL_TABLES {
        land_rows(engine, args, end, source.store, source.period, small).await?;
    }
    let (drawn, progress) = (source.clone(), bar.clone());
    let metrics = tokio::task::spawn_blocking(move || {
        let mut totals = DailyTotals::new(drawn.clone());
        for index in 0..drawn.journeys() {
            totals.add(&drawn.journey(index));
            progress.inc(1);
        }
        let mut out = Vec::new();
        totals.write(&mut out);
        out
    })
    .await
    .map_err(|error| Error::internal("the demo's metrics could not be drawn").with_source(error))?;
    let request = request(args, end, source.store, "metrics", "0");
    engine.land(source.store.id, "metrics", std::io::Cursor::new(metrics), request).await.map(drop)
}

async fn land_rows(
    engine: &Engine,
    args: &DemoArgs,
    end: NaiveDate,
    store: &DemoStore,
    period: Period,
    (table, write): (&str, SmallTable),
) -> Result<()> {
    let mut out = Vec::new();
    write(store, period, &mut out);
    let request = request(args, end, store, table, "0");
    engine.land(store.id, table, std::io::Cursor::new(out), request).await.map(drop)
}

/// The key names everything that the rows depend on, so that a run after an interrupted one lands only
/// what is missing.
fn request(args: &DemoArgs, end: NaiveDate, store: &DemoStore, table: &str, part: &str) -> LandRequest {
    let DemoArgs { seed, touchpoints, orders, days, .. } = args;
    let key = format!("demo-{seed}-{touchpoints}-{orders}-{days}-{end}-{}-{table}-{part}", store.id);
    LandRequest { format: Some(Format::Ndjson), idempotency_key: Some(key), ..LandRequest::default() }
}

fn welcome(bound: &serve::Bound) -> String {
    let url = bound.http_url();
    let others = bound.other_lines();
    format!(
        "\
Tributary is serving the demo at {url} (stores: demo, demo-eu, demo-jp)
{others}
Three things to try:
  curl '{url}/api/marketing/analytics/dashboard?store=demo&days=30'
  curl '{url}/v1/queries/attribution/by_channel?store=demo-eu&model=linear' -H 'Accept: text/csv'
  curl '{url}/v1/sql?store=demo-jp' -d 'select status, count(*) as orders, sum(revenue) as revenue from orders group by status'

Ctrl-C stops it.
"
    )
}
