//! `tributary land`: files become rows.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::exit::{Failure, Outcome};
use super::{content_hash, progress, store};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::land::{Format, LandRequest, OnError, Receipt};

/// Lands files in a table: CSV, NDJSON, Parquet or Arrow, plain or compressed by gzip or zstd.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each file is landed whole or refused whole with every problem listed. A file that was landed before, in the last three \
days, lands nothing and gets its first receipt again, with \"already_landed\":true: the same bytes, in the same table and \
store. With --again it is landed once more, which matters after a later correction or an erasure.

Examples:
  tributary land orders orders.csv --store my-shop
  tributary land touchpoints clicks-*.ndjson.gz --store my-shop
  tributary land metrics export.csv --store my-shop --time-zone Europe/Berlin --on-error quarantine
  pg_dump_touches | tributary land touchpoints - --format ndjson --store my-shop")]
pub struct LandArgs {
    /// The table, as `tributary tables` lists them
    table: String,
    /// Files, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The store that the rows belong to; may be left out where there is only one
    #[arg(long, env = "TRIBUTARY_STORE")]
    store: Option<String>,
    /// The format; told from the file's name or first bytes if not given
    #[arg(long, value_enum)]
    format: Option<LandFormat>,
    /// The zone of timestamps without an offset, such as Europe/Berlin; without it they are refused
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<chrono_tz::Tz>,
    /// Lands a file once more that was landed before
    #[arg(long)]
    again: bool,
    /// What happens to a file with bad rows
    #[arg(long, value_enum, default_value_t)]
    on_error: LandOnError,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LandFormat {
    Csv,
    Ndjson,
    Parquet,
    Arrow,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum LandOnError {
    /// The file is refused whole
    #[default]
    Refuse,
    /// Good rows land, bad ones go to the table `quarantine` with their reasons
    Quarantine,
}

impl From<LandFormat> for Format {
    fn from(format: LandFormat) -> Self {
        match format {
            LandFormat::Csv => Format::Csv,
            LandFormat::Ndjson => Format::Ndjson,
            LandFormat::Parquet => Format::Parquet,
            LandFormat::Arrow => Format::Arrow,
        }
    }
}

impl LandArgs {
    /// How one file is to be read; its name may tell the format.
    fn request(&self, file: &Path, store: &str, hash: &str) -> LandRequest {
        LandRequest {
            format: self.format.map(Format::from).or_else(|| format_of(file)),
            file_name: file.file_name().map(|name| name.to_string_lossy().into_owned()),
            time_zone: self.time_zone,
            on_error: match self.on_error {
                LandOnError::Refuse => OnError::Refuse,
                LandOnError::Quarantine => OnError::Quarantine,
            },
            idempotency_key: (!self.again).then(|| format!("file-{store}-{}-{hash}", self.table)),
        }
    }
}

pub async fn run(engine: Engine, args: LandArgs) -> Outcome {
    let store = store::resolve(&engine, args.store.as_deref()).await?;
    let mut outcome = Ok(());
    for file in &args.files {
        let landed = land_file(&engine, &args, &store, file).await;
        match landed.and_then(|receipt| print_receipt(&receipt)) {
            Ok(()) => {}
            Err(failure) => {
                outcome = Err(failure);
                break;
            }
        }
    }
    if outcome.is_ok() && engine.is_compaction_due(&store, &args.table) {
        eprintln!(
            "much has been landed since the last compaction: `tributary nightly` makes reading it fast"
        );
    }
    engine.close().await?;
    outcome
}

async fn land_file(engine: &Engine, args: &LandArgs, store: &str, path: &Path) -> Outcome<Receipt> {
    let is_stdin = path == Path::new("-");
    let owned = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        if is_stdin { spool(&mut std::io::stdin().lock()) } else { hash_file(&owned) }
    });
    let (file, hash) = opened
        .await
        .map_err(|error| Error::internal("the file could not be read").with_source(error))?
        .map_err(|error| unreadable(path, error))?;
    let length = file.metadata().ok().map(|metadata| metadata.len());
    let name = if is_stdin { "standard input".into() } else { path.display().to_string() };
    let bar = progress::bytes(name.clone(), length);
    let request = args.request(path, store, &hash);
    let landed = engine.land(store, &args.table, bar.wrap_read(file), request).await;
    bar.finish_and_clear();
    if landed.is_err() && args.files.len() > 1 {
        eprintln!("{name} was not landed; the files before it were");
    }
    let receipt = landed?;
    if receipt.already_landed {
        eprintln!("{name} was landed before, and nothing of it was landed now; --again lands it once more");
    }
    Ok(receipt)
}

/// Hashes a file and opens it at its start.
fn hash_file(path: &Path) -> std::io::Result<(File, String)> {
    let mut file = File::open(path)?;
    if !file.metadata()?.is_file() {
        // A pipe given by name cannot be read twice.
        return spool(&mut file);
    }
    let hash = content_hash::sha256(&file)?;
    file.rewind()?;
    Ok((file, hash))
}

/// Copies a stream to a nameless file: its hash is known only at its end.
fn spool(stream: &mut impl std::io::Read) -> std::io::Result<(File, String)> {
    let mut file = tempfile::tempfile()?;
    let hash = content_hash::copy_sha256(stream, &mut file)?;
    file.rewind()?;
    Ok((file, hash))
}

fn unreadable(path: &Path, error: std::io::Error) -> Failure {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::InvalidRequest,
    };
    // The path is the caller's own argument, so it may be shown.
    Error::new(kind, format!("the file {} cannot be read: {error}", path.display())).with_source(error).into()
}

/// The format that a name promises, with or without the ending of a compression.
fn format_of(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    match name.rsplit_once('.')?.1 {
        "csv" => Some(Format::Csv),
        "ndjson" | "jsonl" => Some(Format::Ndjson),
        "parquet" => Some(Format::Parquet),
        "arrow" | "arrows" | "ipc" => Some(Format::Arrow),
        _ => None,
    }
}

fn print_receipt(receipt: &Receipt) -> Outcome {
    let line = serde_json::to_string(receipt)
        .map_err(|error| Error::internal("the receipt cannot be written").with_source(error))?;
    writeln!(std::io::stdout().lock(), "{line}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_format_through_its_compression() {
        assert_eq!(format_of(Path::new("a/Orders.CSV.gz")), Some(Format::Csv));
        assert_eq!(format_of(Path::new("x.jsonl.zst")), Some(Format::Ndjson));
        assert_eq!(format_of(Path::new("x.parquet")), Some(Format::Parquet));
        assert_eq!(format_of(Path::new("x.txt")), None);
        assert_eq!(format_of(Path::new("-")), None);
    }

    #[test]
    fn hashing_leaves_the_file_at_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "a,b\n1,2\n").unwrap();
        let (mut file, hash) = hash_file(&path).unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut file, &mut text).unwrap();
        assert_eq!(text, "a,b\n1,2\n");
        assert_eq!(hash, content_hash::sha256(text.as_bytes()).unwrap());
    }
}
