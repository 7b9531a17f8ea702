//! Landing beside the least that a durable table costs.
//!
//!     cargo bench --bench landing -- 500000
//!
//! The number is how many touchpoints one body has (default 200,000). A body of Arrow and one of NDJSON land in a new
//! lake each time, beside a bare write of the same rows as one synced Parquet file. Then single rows land one after the
//! other in a lake of 100 live files and in one of 10,000, in turn, beside a bare write of two synced files. Then `wrk`, if
//! it is installed, lands single rows over HTTP on many connections, beside a bare server that takes the same bodies and
//! keeps nothing. Medians and ratios of one run are printed.
//!
//!     PYTHON=python cargo bench --bench landing -- csv 5000000
//!
//! lands an export of so many rows with the command line, in turn with DuckDB in that Python, which copies it to Parquet by
//! month and sorts nothing.

use std::fs::File;
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use arrow::array::RecordBatch;
use axum::Router;
use axum::routing::post;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use tokio::net::TcpListener;
use tributary::land::Format;
use tributary::serve::{ServeOptions, serve};
use tributary::{Engine, EngineOptions, LandRequest};

#[path = "support/export.rs"]
mod export;
mod support;
#[path = "support/wrk.rs"]
mod wrk;

const ROUNDS: usize = 5;
const COMMITS: usize = 300;
const CONNECTIONS: [usize; 3] = [1, 64, 512];
/// Of a run of `wrk`.
const SECONDS: u64 = 3;
const FEW_FILES: usize = 100;
const MANY_FILES: usize = 10_000;
/// Of one landing: each is a file.
const MONTHS: usize = 100;
/// About what one row takes as Parquet, and its entry in the log.
const BARE_FILES: [usize; 2] = [6_000, 2_500];

fn main() {
    let rows = std::env::args().find_map(|text| text.parse().ok());
    if std::env::args().any(|text| text == "csv") {
        return csv(rows.unwrap_or(5_000_000));
    }
    let rows = rows.unwrap_or(200_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        bodies(rows).await;
        commits().await;
        requests().await;
    });
}

/// Lands an export, in turn with a copy by DuckDB.
fn csv(rows: usize) {
    #[expect(clippy::disallowed_methods, reason = "a bench has no settings")]
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let folder = folder();
    let file = folder.path().join("touches.csv");
    export::write(&file, rows);
    let mut took = [const { Vec::new() }; 2];
    for round in 0..ROUNDS {
        let (lake, copy) =
            (folder.path().join(format!("lake-{round}")), folder.path().join(format!("copy-{round}")));
        let mut land = Command::new(env!("CARGO_BIN_EXE_tributary"));
        land.arg("--data")
            .arg(&lake)
            .args(["land", "touchpoints"])
            .arg(&file)
            .args(["--store", support::STORE]);
        took[0].push(export::run(land.stdout(Stdio::null()).stderr(Stdio::null())));
        took[1].push(export::run(&mut export::duckdb(&python, &file, &copy)));
        for folder in [lake, copy] {
            std::fs::remove_dir_all(folder).expect("the folder can be removed");
        }
    }
    let bytes = std::fs::metadata(&file).expect("the export is there").len();
    println!("an export of {rows} rows, {} MB", bytes >> 20);
    for (name, took) in ["tributary, sorted", "DuckDB, unsorted"].iter().zip(&took) {
        let mut seconds: Vec<f64> = took.iter().map(|took| took.wall.as_secs_f64()).collect();
        let memory = took.iter().map(|took| took.memory).max().unwrap_or(0);
        println!("  {name:18} {:6.2} s  {:6} MB", median(&mut seconds), memory >> 20);
    }
}

/// Lands single rows over HTTP, on many connections.
async fn requests() {
    if Command::new("wrk").arg("--version").output().is_err() {
        return println!("requests of one row are not measured: wrk is not installed");
    }
    let folder = folder();
    let engine =
        Engine::open(folder.path().to_str().expect("a path of UTF-8")).await.expect("the lake opens");
    let (ours, bare) = (listener().await, listener().await);
    let urls = [&bare, &ours].map(|listener| {
        let address = listener.local_addr().expect("its address");
        format!("http://{address}/v1/land/touchpoints?store={}", support::STORE)
    });
    let options = ServeOptions { open: true, ..ServeOptions::default() };
    tokio::spawn(serve(engine, options, ours, std::future::pending()));
    let router = Router::new().route("/v1/land/{table}", post(|body: axum::body::Bytes| async move { body }));
    tokio::spawn(async move { axum::serve(bare, router).await });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/support/land.lua");
    println!("requests of one row, {SECONDS} s, {ROUNDS} times");
    for connections in CONNECTIONS {
        let mut measured = [const { Vec::new() }; 2];
        for _ in 0..ROUNDS {
            for (url, measured) in urls.iter().zip(&mut measured) {
                measured.push(wrk::load(&["-s", script], url, &[], connections, SECONDS).await);
            }
        }
        let [bare, ours] = measured.map(wrk::median);
        println!(
            "  {connections:4} connections  {:7.0} acknowledged a second, p99 {:6.1} ms  (bare server {:7.0})",
            ours.per_second,
            ours.p99.as_secs_f64() * 1e3,
            bare.per_second
        );
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

async fn bodies(rows: usize) {
    let batch = support::touches(rows);
    let arrow = support::as_arrow(&batch);
    let ndjson = as_ndjson(&batch);
    let mut seconds = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        seconds[0].push(bare_parquet(&batch));
        for (at, (format, body)) in [(Format::Arrow, &arrow), (Format::Ndjson, &ndjson)].iter().enumerate() {
            let folder = folder();
            let engine = open(folder.path()).await;
            let begun = Instant::now();
            land(&engine, *format, (*body).clone()).await;
            seconds[at + 1].push(begun.elapsed().as_secs_f64());
            engine.close().await.expect("the engine closes");
        }
    }
    let count = batch.num_rows();
    println!("one body of {count} touchpoints");
    let bare = median(&mut seconds[0]);
    for (name, seconds) in ["bare Parquet", "Arrow", "NDJSON"].iter().zip(&mut seconds) {
        let median = median(seconds);
        println!(
            "  {name:15} {median:8.3} s  {:6.2} M rows/s  {:6.2} x bare",
            count as f64 / median / 1e6,
            median / bare
        );
    }
}

async fn commits() {
    let folders = [folder(), folder()];
    let mut engines = Vec::new();
    for (folder, files) in folders.iter().zip([FEW_FILES, MANY_FILES]) {
        let engine = open(folder.path()).await;
        for number in 0..files / MONTHS {
            land(&engine, Format::Ndjson, of_months(number)).await;
        }
        engines.push(engine);
    }
    let bare_folder = folder();
    let mut seconds = [const { Vec::new() }; 3];
    for number in 0..COMMITS {
        let begun = Instant::now();
        bare_files(bare_folder.path(), number);
        seconds[0].push(begun.elapsed().as_secs_f64());
        for (at, engine) in engines.iter().enumerate() {
            let begun = Instant::now();
            land(engine, Format::Ndjson, touch(&format!("c{number}"), 0)).await;
            seconds[at + 1].push(begun.elapsed().as_secs_f64());
        }
    }
    println!("one row, {COMMITS} times");
    let (bare, few) = (median(&mut seconds[0]), median(&mut seconds[1]));
    for (name, seconds) in ["bare files", "100 live files", "10,000"].iter().zip(&mut seconds) {
        let mean = seconds.iter().sum::<f64>() / seconds.len() as f64;
        let median = median(seconds);
        println!(
            "  {name:15} {:8.2} ms (mean {:.2})  {:6.2} x bare  {:6.2} x 100 files",
            median * 1e3,
            mean * 1e3,
            median / bare,
            median / few
        );
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

async fn open(folder: &Path) -> Engine {
    let options = EngineOptions { background_compaction: false, ..EngineOptions::default() };
    Engine::open_with(folder.to_str().expect("a path of UTF-8"), options).await.expect("the lake opens")
}

async fn land(engine: &Engine, format: Format, body: Vec<u8>) {
    let request = LandRequest { format: Some(format), ..LandRequest::default() };
    engine.land(support::STORE, "touchpoints", Cursor::new(body), request).await.expect("the rows land");
}

fn bare_parquet(batch: &RecordBatch) -> f64 {
    let begun = Instant::now();
    let file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(parquet::basic::ZstdLevel::default()));
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).expect("a writer");
    writer.write(batch).expect("rows are written");
    writer.into_inner().expect("the file ends").sync_all().expect("the file is synced");
    begun.elapsed().as_secs_f64()
}

fn bare_files(folder: &Path, number: usize) {
    for (at, bytes) in BARE_FILES.into_iter().enumerate() {
        let mut file = File::create(folder.join(format!("{number}-{at}"))).expect("a file");
        file.write_all(&vec![b'x'; bytes]).expect("bytes are written");
        file.sync_all().expect("the file is synced");
        File::open(folder).expect("a folder").sync_all().expect("the folder is synced");
    }
}

fn as_ndjson(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    writer.write(batch).expect("rows are written");
    writer.finish().expect("the text ends");
    writer.into_inner()
}

/// One touch in each of some months.
fn of_months(number: usize) -> Vec<u8> {
    (0..MONTHS).flat_map(|month| touch(&format!("m{number}-{month}"), month)).collect()
}

fn touch(id: &str, month: usize) -> Vec<u8> {
    let (year, month) = (2017 + month / 12, month % 12 + 1);
    format!(
        "{{\"touch_id\":\"{id}\",\"customer_id\":\"c\",\"touched_at\":\"{year}-{month:02}-01T00:00:00Z\",\
         \"channel\":\"email\"}}\n"
    )
    .into_bytes()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
