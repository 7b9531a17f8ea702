//! An export as a shop gives it: CSV, in no order of ours.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CHANNELS: [&str; 7] = ["email", "google_ads", "meta_ads", "organic", "referral", "tiktok", "direct"];
/// Half a year, from 2026-05-01.
const DAYS: i64 = 180;
const START: i64 = 1_777_593_600;

/// Writes touchpoints, about 64 bytes each.
pub fn write(path: &Path, rows: usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(20_260_501);
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    writeln!(file, "touch_id,customer_id,touched_at,channel,campaign,cost").expect("a line");
    for row in 0..rows {
        let at = START + rng.random_range(0..DAYS * 86_400);
        let at = chrono::DateTime::from_timestamp(at, 0).expect("an instant").format("%Y-%m-%dT%H:%M:%SZ");
        let (customer, cents) = (rng.random_range(0..rows / 8 + 1), rng.random_range(0..500));
        let (channel, campaign) = (CHANNELS[row % CHANNELS.len()], row % 40);
        let (dollars, cents) = (cents / 100, cents % 100);
        writeln!(file, "t{row:08},c{customer:06},{at},{channel},campaign-{campaign},{dollars}.{cents:02}")
            .expect("a line");
    }
    file.flush().expect("the file ends");
}

/// The time and the memory that a process took.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    pub wall: Duration,
    /// The most memory that it held, in bytes.
    pub memory: u64,
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> Took {
    let begun = Instant::now();
    let mut child = command.spawn().expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let mut memory = 0;
    let ended = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        memory = kilobytes.map_or(memory, |kilobytes| kilobytes << 10);
        if let Some(ended) = child.try_wait().expect("the program can be waited for") {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(ended.success(), "the program failed");
    Took { wall: begun.elapsed(), memory }
}

/// Copies the export to Parquet by month with DuckDB, in Python.
pub fn duckdb(python: &OsStr, export: &Path, folder: &Path) -> Command {
    let types = "{'touch_id': 'VARCHAR', 'customer_id': 'VARCHAR', 'touched_at': 'TIMESTAMPTZ', 'channel': 'VARCHAR', \
        'campaign': 'VARCHAR', 'cost': 'DECIMAL(18,2)'}";
    let program = format!(
        "import duckdb\n\
         db = duckdb.connect()\n\
         db.execute(\"set threads to 2\")\n\
         db.execute(\"set timezone to 'UTC'\")\n\
         db.execute(\"\"\"copy (select *, strftime(touched_at, '%Y-%m') as month from read_csv('{}', header = true, \
         columns = {types})) to '{}' (format parquet, compression zstd, partition_by (month))\"\"\")\n",
        export.display(),
        folder.display()
    );
    let mut command = Command::new(python);
    command.args(["-c", &program]);
    command
}
