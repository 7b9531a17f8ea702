//! Runs the functions in SQL: every `.slt` file, and the goldens that come from outside.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::needless_pass_by_value)]

use std::path::Path;

use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

#[path = "support/goldens.rs"]
mod goldens;
#[path = "support/invariants.rs"]
mod invariants;
#[path = "support/tables.rs"]
mod tables;

struct Session(SessionContext);

#[async_trait::async_trait]
impl AsyncDB for Session {
    type Error = DataFusionError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, DataFusionError> {
        let batches = self.0.sql(sql).await?.collect().await?;
        let options = FormatOptions::default().with_null("NULL");
        let mut rows = Vec::new();
        let width = batches.first().map_or(0, datafusion::arrow::array::RecordBatch::num_columns);
        for batch in &batches {
            let columns = batch
                .columns()
                .iter()
                .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
                .collect::<Result<Vec<_>, _>>()?;
            for row in 0..batch.num_rows() {
                let cells = columns.iter().map(|column| match column.value(row).to_string() {
                    cell if cell.is_empty() => "(empty)".to_owned(),
                    cell => cell,
                });
                rows.push(cells.collect());
            }
        }
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Any; width], rows })
    }

    async fn shutdown(&mut self) {}
}

#[tokio::test]
async fn every_slt_file_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let mut files = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let mut runner = Runner::new(|| async {
            let context = tables::session();
            tables::register(&context, tables::sample());
            Ok(Session(context))
        });
        runner.run_file_async(file.unwrap().path()).await.unwrap();
        files += 1;
    }
    assert!(files >= 5, "only {files} files were found");
}

#[tokio::test]
async fn every_example_of_the_manual_runs() {
    let context = tables::session();
    tables::register(&context, tables::sample());
    for page in tributary_udfs::documentation() {
        let batches = context.sql(&page.example).await.unwrap().collect().await.unwrap();
        assert!(batches.iter().any(|batch| batch.num_rows() > 0), "{} answers nothing", page.name);
    }
}
