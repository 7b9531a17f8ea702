//! Stand-ins for the functions of tributary-udfs with their names, types and answers, for this room's tests.

use std::sync::Arc;

use arrow::array::{Array, Date32Array, Float64Array, StringArray};
use arrow::datatypes::{DataType, TimeUnit};
use chrono::DateTime;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::cast::{as_float64_array, as_string_array, as_timestamp_microsecond_array};
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
use datafusion::prelude::{Expr, SessionContext};

use super::fixtures::schema;

const MODELS: [&str; 5] = ["first_touch", "last_touch", "linear", "time_decay", "position_based"];
const ENTRY_COLUMNS: &str = "store_id:t entry_id:t entry_kind:t order_id:t touch_id:t customer_id:t ordered_at:i \
    booked_at:i touched_at:i channel:t source:t campaign:t position:c journey_length:c currency:t amount:m \
    profit:m reason:t";

pub fn register(ctx: &SessionContext) {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let double = DataType::Float64;
    ctx.register_udf(create_udf(
        "safe_ratio",
        vec![double.clone(), double.clone()],
        double.clone(),
        Volatility::Immutable,
        Arc::new(safe_ratio),
    ));
    ctx.register_udf(create_udf(
        "local_day",
        vec![instant, DataType::Utf8],
        DataType::Date32,
        Volatility::Immutable,
        Arc::new(local_day),
    ));
    let thresholds = std::iter::repeat_n(double, 5).chain([DataType::Utf8]).collect();
    ctx.register_udf(create_udf(
        "rate_metric",
        thresholds,
        DataType::Utf8,
        Volatility::Immutable,
        Arc::new(rate_metric),
    ));
    ctx.register_udtf("journeys", Arc::new(Journeys));
}

fn safe_ratio(args: &[ColumnarValue]) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(args)?;
    let (a, b) = (as_float64_array(&arrays[0])?, as_float64_array(&arrays[1])?);
    let ratio = |(a, b): (Option<f64>, Option<f64>)| Some(a? / b.filter(|b| *b != 0.0)?);
    Ok(ColumnarValue::Array(Arc::new(a.iter().zip(b).map(ratio).collect::<Float64Array>())))
}

fn local_day(args: &[ColumnarValue]) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(args)?;
    let (at, zone) = (as_timestamp_microsecond_array(&arrays[0])?, as_string_array(&arrays[1])?);
    let day = |(at, zone): (Option<i64>, Option<&str>)| {
        let zone: chrono_tz::Tz = zone?.parse().ok()?;
        let day = DateTime::from_timestamp_micros(at?)?.with_timezone(&zone).date_naive();
        Some(day.to_epoch_days())
    };
    Ok(ColumnarValue::Array(Arc::new(at.iter().zip(zone).map(day).collect::<Date32Array>())))
}

fn rate_metric(args: &[ColumnarValue]) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(args)?;
    let number = |column: usize, row: usize| {
        let array = as_float64_array(&arrays[column]).unwrap();
        array.is_valid(row).then(|| array.value(row))
    };
    let direction = as_string_array(&arrays[5])?;
    let rate = |row: usize| {
        let sign = if direction.is_valid(row) && direction.value(row) == "lower" { -1.0 } else { 1.0 };
        let value = sign * number(0, row)?;
        let reached = |column: usize| Some(value >= sign * number(column, row)?);
        Some(match (reached(4)?, reached(3)?, reached(2)?) {
            (true, ..) => "excellent",
            (_, true, _) => "good",
            (_, _, true) => "average",
            _ => "poor",
        })
    };
    Ok(ColumnarValue::Array(Arc::new((0..arrays[0].len()).map(rate).collect::<StringArray>())))
}

/// Rows of credits for `fixtures.sql`, written by hand.
#[derive(Debug)]
struct Journeys;

impl TableFunctionImpl for Journeys {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let values: Vec<String> = args.exprs().iter().map(Expr::to_string).collect();
        let is_refused = values.len() == 3 && values[2] == "Boolean(true)";
        assert!(values[0].starts_with("Int64(") && values[1].starts_with("Float64("), "{values:?}");
        let numbers: Vec<String> =
            MODELS.iter().map(|m| format!("{m}_weight:f {m}_credit:m {m}_profit:m")).collect();
        let columns = format!("{ENTRY_COLUMNS} {}", numbers.join(" "));
        let rows = include_str!("fixtures_journeys.csv");
        let rows: String = rows
            .lines()
            .filter(|line| is_refused || !line.contains(",refused,"))
            .map(|line| line.replace(",refused,", ",") + "\n")
            .collect();
        let mut reader = arrow::csv::ReaderBuilder::new(schema(&columns)).build(rows.as_bytes())?;
        let batches = reader.by_ref().collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(MemTable::try_new(schema(&columns), vec![batches])?))
    }
}
