//! What it costs to keep the table `journeys`: computed once, after one late touch, and after a day.
//!
//!     cargo bench --bench journeys -- 1000000
//!
//! Sizes are numbers of touchpoints (default 1,000,000). Everything happens in a copy of the lake that the other benches
//! read. A late touch is one of a customer who ordered two days later, anywhere in the year; a day is as many touches and
//! orders as the year's last day has, of the same customers. Landing is timed apart: a refresh is what comes on top.

use std::io::{Cursor, Read};
use std::path::Path;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::ipc::writer::StreamWriter;
use futures::TryStreamExt;
use tributary::land::Format;
use tributary::{Engine, EngineOptions, LandRequest, Params};

mod support;

const ROUNDS: usize = 9;
const DAYS: usize = 3;

/// A touch two days before an order, of another order every round.
const LATE_TOUCH: &str = "
    select
        concat('late-', order_id) as touch_id,
        customer_id,
        ordered_at - interval '2 days' as touched_at,
        'email' as channel
    from orders
    order by substr(order_id, length(order_id) - 1), order_id
    limit 1 offset ROUND";

const TOUCHES_OF_A_DAY: &str = "
    select
        concat('day-ROUND-', touch_id) as touch_id,
        customer_id,
        touched_at + interval '1 day' as touched_at,
        channel
    from touchpoints
    where touched_at >= timestamp '2025-12-30T00:00:00Z' and touched_at < timestamp '2025-12-31T00:00:00Z'";

const ORDERS_OF_A_DAY: &str = "
    select concat('day-ROUND-', order_id) as order_id, customer_id, ordered_at + interval '1 day' as ordered_at,
        status, currency, revenue
    from orders
    where ordered_at >= timestamp '2025-12-30T00:00:00Z' and ordered_at < timestamp '2025-12-31T00:00:00Z'";

fn main() {
    let sizes: Vec<usize> = std::env::args().filter_map(|text| text.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1_000_000] } else { sizes };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for size in sizes {
        runtime.block_on(measure(size));
    }
}

async fn measure(touchpoints: usize) {
    support::engine(touchpoints).await.close().await.expect("the lake closes");
    let copy = tempfile::tempdir_in(support::folder(touchpoints).parent().expect("a folder of lakes"))
        .expect("a folder");
    link_all(&support::folder(touchpoints), copy.path());
    let options = EngineOptions { background_compaction: false, ..EngineOptions::default() };
    let folder = copy.path().to_str().expect("a UTF-8 path");
    let engine = Engine::open_with(folder, options).await.expect("the copy opens");
    println!("touchpoints {touchpoints}");
    let start = Instant::now();
    let done = engine.refresh_journeys(support::STORE).await.expect("the table is computed");
    let whole = start.elapsed().as_secs_f64();
    println!("  computed once    {whole:8.3} s  {done:?}");
    let mut seconds = Vec::new();
    for round in 0..ROUNDS {
        let (landed, refreshed) = after(&engine, &[("touchpoints", LATE_TOUCH)], round).await;
        println!("    late touch     {landed:8.4} s to land, {refreshed:8.4} s to refresh");
        seconds.push(refreshed);
    }
    println!("  a late touch     {:8.4} s", median(seconds));
    let mut seconds = Vec::new();
    for round in 0..DAYS {
        let day = [("touchpoints", TOUCHES_OF_A_DAY), ("orders", ORDERS_OF_A_DAY)];
        let (landed, refreshed) = after(&engine, &day, round).await;
        println!("    day            {landed:8.3} s to land, {refreshed:8.3} s to refresh");
        seconds.push(refreshed);
    }
    let day = median(seconds);
    println!("  a day            {day:8.3} s  {:.2} % of the whole", day / whole * 100.0);
}

/// Lands rows that queries make up, and brings the table up to date; seconds of each.
async fn after(engine: &Engine, rows: &[(&str, &str)], round: usize) -> (f64, f64) {
    let mut bodies = Vec::new();
    for (table, text) in rows {
        let text = text.replace("ROUND", &round.to_string());
        let stream = engine.sql(support::STORE, &text, &Params::new()).await.expect("the rows are planned");
        let rows: Vec<RecordBatch> = stream.stream.try_collect().await.expect("the rows are made");
        assert!(rows.iter().any(|batch| batch.num_rows() > 0), "no row to land");
        bodies.push((*table, ipc(&rows)));
    }
    let start = Instant::now();
    for (table, body) in bodies {
        let body: Box<dyn Read + Send> = Box::new(Cursor::new(body));
        let request = LandRequest { format: Some(Format::Arrow), ..LandRequest::default() };
        engine.land(support::STORE, table, body, request).await.expect("the rows land");
    }
    let landed = start.elapsed().as_secs_f64();
    let start = Instant::now();
    engine.refresh_journeys(support::STORE).await.expect("the table follows");
    (landed, start.elapsed().as_secs_f64())
}

fn ipc(rows: &[RecordBatch]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &rows[0].schema()).expect("an IPC stream");
    for batch in rows {
        writer.write(batch).expect("rows are written");
    }
    writer.finish().expect("the stream ends");
    drop(writer);
    bytes
}

/// Links the raw tables into another folder: files of a lake never change.
fn link_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("the lake is listed") {
        let entry = entry.expect("an entry");
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() && entry.file_name() != "journeys" {
            std::fs::create_dir(&copy).expect("a folder");
            link_all(&path, &copy);
        } else if path.is_file() {
            std::fs::hard_link(&path, &copy).expect("a link");
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
