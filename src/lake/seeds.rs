//! The benchmarks that Tributary brings: published figures with their sources, embedded in the binary.

use std::io::Cursor;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::concat_batches;
use arrow::csv::ReaderBuilder;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;

use crate::error::{Error, Result};
use crate::schema::{SOURCE_UPDATED_AT_COLUMN, tables};

const BENCHMARKS_CSV: &str = include_str!("../../data/seeds/benchmarks.csv");

static BENCHMARKS: LazyLock<Result<RecordBatch>> = LazyLock::new(read_benchmarks);

/// The seeds of the `benchmarks` table, in its landed schema and in the file's order. Read once.
pub fn benchmark_seeds() -> Result<RecordBatch> {
    match &*BENCHMARKS {
        Ok(rows) => Ok(rows.clone()),
        Err(error) => Err(Error::internal(error.message().to_owned())),
    }
}

fn read_benchmarks() -> Result<RecordBatch> {
    let spec =
        tables()?.get("benchmarks").ok_or_else(|| Error::internal("there is no table benchmarks to seed"))?;
    let schema = spec.landed_schema();
    let failed = |error: ArrowError| {
        // The file is the project's own: its text may be shown.
        Error::internal(format!("data/seeds/benchmarks.csv: {error}")).with_source(error)
    };

    // The file has the table's own columns; those that every table has come behind them.
    let own_count = schema.index_of(SOURCE_UPDATED_AT_COLUMN).unwrap_or(schema.fields().len());
    let own = Arc::new(Schema::new(schema.fields()[..own_count].to_vec()));
    check_header(&own)?;

    let batches = ReaderBuilder::new(own.clone())
        .with_header(true)
        .build(Cursor::new(BENCHMARKS_CSV))
        .map_err(failed)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    let rows = concat_batches(&own, &batches).map_err(failed)?;

    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    columns.extend(
        schema.fields()[own_count..].iter().map(|field| new_null_array(field.data_type(), rows.num_rows())),
    );
    RecordBatch::try_new(schema, columns).map_err(failed)
}

/// Columns are read by position, so a table.toml in another order would mix them up silently.
fn check_header(schema: &Schema) -> Result<()> {
    let header = BENCHMARKS_CSV.lines().next().unwrap_or_default();
    let wanted: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    if header.split(',').eq(wanted.iter().copied()) {
        return Ok(());
    }
    Err(Error::internal(format!("data/seeds/benchmarks.csv: the first line must be {}", wanted.join(","))))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Date32Type, Decimal128Type};

    use super::*;

    type Row = BTreeMap<String, String>;

    /// Rows as text, null as empty, so that the tests read like the file.
    fn rows() -> Vec<Row> {
        let batch = benchmark_seeds().unwrap();
        let options = arrow::util::display::FormatOptions::new();
        let schema = batch.schema();
        (0..batch.num_rows())
            .map(|row| {
                schema
                    .fields()
                    .iter()
                    .zip(batch.columns())
                    .map(|(field, column)| {
                        let shown = arrow::util::display::ArrayFormatter::try_new(column, &options).unwrap();
                        (field.name().clone(), shown.value(row).to_string())
                    })
                    .collect()
            })
            .collect()
    }

    fn row(channel: &str, metric: &str, industry: &str) -> Row {
        let found: Vec<Row> = rows()
            .into_iter()
            .filter(|row| row["channel"] == channel && row["metric"] == metric && row["industry"] == industry)
            .collect();
        assert_eq!(found.len(), 1, "rows for {channel}, {metric}, {industry}");
        found[0].clone()
    }

    fn fields(row: &Row, names: [&str; 7]) -> [String; 7] {
        names.map(|name| row[name].clone())
    }

    const BOUNDS: [&str; 7] = ["poor", "average", "good", "excellent", "direction", "unit", "as_of"];

    #[test]
    fn every_published_figure_is_there_once() {
        let rows = rows();
        let keys: BTreeSet<_> =
            rows.iter().map(|row| (&row["channel"], &row["metric"], &row["industry"])).collect();
        assert_eq!((rows.len(), keys.len()), (80, 80));

        let count = |column: &str, value: &str| rows.iter().filter(|row| row[column] == value).count();
        assert_eq!((count("direction", "higher"), count("direction", "lower")), (66, 14));
        assert_eq!((count("metric", "cpa"), count("metric", "roas")), (14, 22));
        assert_eq!(
            (count("unit", "ratio"), count("unit", "USD"), count("unit", "EUR per purchase")),
            (22, 5, 9)
        );
        assert_eq!(count("as_of", ""), 2);
    }

    #[test]
    fn known_figures_keep_every_digit() {
        assert_eq!(
            fields(&row("all", "conversion_rate", "ecommerce (Shopify)"), BOUNDS),
            ["0.5000", "1.4000", "3.2000", "4.7000", "higher", "percent of sessions", "2023-01-01"]
        );
        assert_eq!(
            fields(&row("paid_social", "cpa", "apparel"), BOUNDS),
            ["42.0000", "30.4000", "22.0000", "", "lower", "EUR per purchase", "2024-01-01"]
        );
        assert_eq!(
            fields(&row("facebook_organic", "engagement_rate", "all (2024 report)"), BOUNDS),
            ["", "0.0630", "", "", "higher", "percent of followers", "2024-01-01"]
        );
    }

    #[test]
    fn bounds_are_exact_and_follow_the_direction() {
        let batch = benchmark_seeds().unwrap();
        let money = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Decimal128Type>().clone();
        let bounds = ["poor", "average", "good", "excellent"].map(money);
        let direction = batch.column_by_name("direction").unwrap().as_string::<i32>().clone();
        for row in 0..batch.num_rows() {
            let known: Vec<i128> =
                bounds.iter().filter(|bound| bound.is_valid(row)).map(|bound| bound.value(row)).collect();
            assert!(!known.is_empty(), "row {row} has no bound");
            let sorted = if direction.value(row) == "lower" {
                known.is_sorted_by(|a, b| a > b)
            } else {
                known.is_sorted_by(|a, b| a < b)
            };
            assert!(sorted, "row {row}: {known:?} against its direction");
        }
        let as_of = batch.column_by_name("as_of").unwrap().as_primitive::<Date32Type>();
        assert_eq!(as_of.null_count(), 2);
    }
}
