//! Answers on standard output, or in a file, in the format asked for.

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use clap::ValueEnum;
use futures::{Stream, StreamExt as _};

use super::exit::{Failure, Outcome};
use super::text_table::{self, Look};
use crate::error::{Error, ErrorKind, Result};
use crate::query::DataVersion;
use crate::serve::encode::{EncodeOptions, Encoder, Format};

/// How an answer is written.
#[derive(Debug, clap::Args)]
pub struct OutputArgs {
    /// The format of the answer
    #[arg(long, short, value_enum, default_value_t)]
    format: OutputFormat,
    /// Write to a file instead of standard output; it appears only when the answer is whole
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Rows that a table shows at most; 0 shows all
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    max_rows: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    #[default]
    Table,
    Csv,
    Json,
    Ndjson,
    Arrow,
    Parquet,
    Xlsx,
    Markdown,
}

impl OutputFormat {
    /// The wire format, or `None` for those that only people read.
    fn wire(self) -> Option<Format> {
        match self {
            OutputFormat::Table | OutputFormat::Markdown => None,
            OutputFormat::Csv => Some(Format::Csv),
            OutputFormat::Json => Some(Format::Json),
            OutputFormat::Ndjson => Some(Format::Ndjson),
            OutputFormat::Arrow => Some(Format::Arrow),
            OutputFormat::Parquet => Some(Format::Parquet),
            OutputFormat::Xlsx => Some(Format::Xlsx),
        }
    }

    /// The format of a file, by the ending of its name.
    pub fn of_file(path: &Path) -> Outcome<Self> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let name = match ending.to_ascii_lowercase().as_str() {
            "md" => "markdown".to_owned(),
            "txt" => "table".to_owned(),
            "jsonl" => "ndjson".to_owned(),
            ending => ending.to_owned(),
        };
        Self::parse(&name)
    }

    /// Finds a format by its name, or lists the choice.
    pub fn parse(name: &str) -> Outcome<Self> {
        let known = Self::names();
        Self::from_str(name, true).map_err(|_| {
            let known = known.iter().map(String::as_str);
            Error::unknown("format", name, known).with_kind(ErrorKind::InvalidRequest).into()
        })
    }

    /// The names of all formats.
    pub fn names() -> Vec<String> {
        Self::value_variants().iter().map(|format| format.name()).collect()
    }

    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The names of those that a terminal can show.
    pub fn shown() -> Vec<String> {
        let is_shown = |name: &String| Self::from_str(name, true).is_ok_and(|format| !format.is_binary());
        Self::names().into_iter().filter(is_shown).collect()
    }

    pub fn is_binary(self) -> bool {
        matches!(self, OutputFormat::Arrow | OutputFormat::Parquet | OutputFormat::Xlsx)
    }
}

/// Whether all rows were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    Whole,
    /// The table has reached its limit of rows.
    Cut,
}

impl OutputArgs {
    pub fn new(format: OutputFormat, output: Option<PathBuf>, max_rows: usize) -> Self {
        Self { format, output, max_rows }
    }

    pub fn format(&self) -> OutputFormat {
        self.format
    }

    pub fn max_rows(&self) -> usize {
        self.max_rows
    }

    /// Whether a file was named.
    pub fn is_file(&self) -> bool {
        self.output.is_some()
    }

    /// Refuses, before anything runs, what could not be shown.
    pub fn verify(&self) -> Outcome {
        if self.format.is_binary() && self.output.is_none() && io::stdout().is_terminal() {
            return Err(Failure::usage(
                "parquet, arrow and xlsx are not text: add --output FILE, or send the output to a file or a pipe",
            ));
        }
        Ok(())
    }

    /// Writes the whole answer.
    pub async fn write(
        &self,
        schema: SchemaRef,
        batches: impl Stream<Item = Result<RecordBatch>> + Unpin,
        data_version: DataVersion,
    ) -> Outcome {
        self.write_over(&mut io::stdout(), schema, batches, data_version).await
    }

    /// Writes the whole answer: to the file where one was named, else to `out`.
    pub async fn write_over(
        &self,
        out: &mut (impl Write + Send),
        schema: SchemaRef,
        batches: impl Stream<Item = Result<RecordBatch>> + Unpin,
        data_version: DataVersion,
    ) -> Outcome {
        let extent = match &self.output {
            None => self.write_to(out, schema, batches, data_version).await?,
            Some(path) => {
                let folder = path.parent().filter(|folder| *folder != Path::new(""));
                let file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")));
                let mut file = file.map_err(unwritable)?;
                let extent = self.write_to(file.as_file_mut(), schema, batches, data_version).await?;
                file.persist(path).map_err(|error| unwritable(error.error))?;
                extent
            }
        };
        if extent == Extent::Cut {
            let limit = self.max_rows;
            eprintln!("more than {limit} rows: --max-rows 0 shows all, --format csv streams them");
        }
        Ok(())
    }

    /// Writes the answer and says whether that was all of it.
    pub async fn write_to(
        &self,
        out: &mut (impl Write + Send),
        schema: SchemaRef,
        batches: impl Stream<Item = Result<RecordBatch>> + Unpin,
        data_version: DataVersion,
    ) -> Outcome<Extent> {
        match self.format.wire() {
            Some(format) => {
                write_wire(out, format, schema, batches, data_version).await.map(|()| Extent::Whole)
            }
            None => self.write_table(out, &schema, batches).await,
        }
    }

    async fn write_table(
        &self,
        out: &mut (impl Write + Send),
        schema: &SchemaRef,
        mut batches: impl Stream<Item = Result<RecordBatch>> + Unpin,
    ) -> Outcome<Extent> {
        let is_markdown = self.format == OutputFormat::Markdown;
        let limit = if self.max_rows == 0 { usize::MAX } else { self.max_rows };
        let (mut shown, mut rows) = (Vec::new(), 0);
        // One row beyond the limit tells that there is more; the rest need not be computed.
        while rows <= limit {
            let Some(batch) = batches.next().await.transpose()? else { break };
            rows += batch.num_rows();
            shown.push(batch);
        }
        let look = if is_markdown { Look::Markdown } else { Look::Terminal };
        writeln!(out, "{}", text_table::render(look, schema, &shown, limit)?)?;
        out.flush()?;
        Ok(if rows > limit { Extent::Cut } else { Extent::Whole })
    }
}

async fn write_wire(
    out: &mut (impl Write + Send),
    format: Format,
    schema: SchemaRef,
    mut batches: impl Stream<Item = Result<RecordBatch>> + Unpin,
    data_version: DataVersion,
) -> Outcome {
    let options = EncodeOptions { data_version, ..EncodeOptions::default() };
    let mut encoder = Encoder::new(format, &schema, &options)?;
    let mut buffer = Vec::new();
    while let Some(batch) = batches.next().await.transpose()? {
        encoder.write(&batch, &mut buffer)?;
        out.write_all(&buffer)?;
        buffer.clear();
    }
    encoder.finish(&mut buffer)?;
    out.write_all(&buffer)?;
    out.flush()?;
    Ok(())
}

fn unwritable(error: io::Error) -> Failure {
    Error::invalid("the file named by --output cannot be written").with_source(error).into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use futures::stream;

    use super::*;

    fn numbers(count: i64) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    }

    fn args(format: OutputFormat, output: Option<PathBuf>, max_rows: usize) -> OutputArgs {
        OutputArgs { format, output, max_rows }
    }

    #[tokio::test]
    async fn a_table_stops_reading_after_its_last_row() {
        let batch = numbers(3);
        let endless = stream::repeat_with({
            let batch = batch.clone();
            move || Ok(batch.clone())
        });
        let mut out = Vec::new();
        let args = args(OutputFormat::Markdown, None, 4);
        args.write_to(&mut out, batch.schema(), Box::pin(endless), DataVersion::default()).await.unwrap();
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), 2 + 4);
    }

    #[tokio::test]
    async fn a_failed_answer_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answer.md");
        let batch = numbers(3);
        let failing = stream::iter([Ok(batch.clone()), Err(Error::timeout("too long"))]);
        let args = args(OutputFormat::Markdown, Some(path), 0);
        args.write(batch.schema(), failing, DataVersion::default()).await.unwrap_err();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
