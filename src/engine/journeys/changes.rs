//! What was landed since the table was brought up to date.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::common::HashSet;

use crate::error::{Error, Result};
use crate::lake::{Lake, Seen};
use crate::session::Pins;

/// With more changed rows than this part of all, everything is computed again.
const LARGEST_PART: u64 = 5;
/// Fewer are never too many.
const FEW_ROWS: u64 = 10_000;

/// Rows that were landed, by what they name.
#[derive(Debug, Default)]
pub struct Changes {
    /// Id, customer as landed, and instant.
    pub touches: Vec<(String, String, i64)>,
    /// The same of orders.
    pub orders: Vec<(String, String, i64)>,
    /// The refund's id and the order's.
    pub refunds: Vec<(String, String)>,
    /// Anonymous ids.
    pub identities: HashSet<String>,
}

impl Changes {
    /// What changed since the versions that were seen; none where that cannot be told, or is too much to go through it one by
    /// one.
    pub async fn since(lake: &Lake, pins: &Pins, store: &str, seen: &Seen) -> Result<Option<Self>> {
        let mut changes = Changes::default();
        for (name, version) in seen {
            let (Ok(table), Some(snapshot)) = (lake.table(name), pins.snapshot(name)) else { continue };
            let columns: &[&str] = match name.as_str() {
                "touchpoints" => &["touch_id", "customer_id", "touched_at"],
                "orders" => &["order_id", "customer_id", "ordered_at"],
                "refunds" => &["refund_id", "order_id"],
                _ => &["anonymous_id"],
            };
            let all: u64 = snapshot.files_of(store).iter().map(|file| file.row_count).sum();
            let newer = snapshot.files_of(store).iter().filter(|file| file.data_version > *version);
            if newer.map(|file| file.row_count).sum::<u64>() > (all / LARGEST_PART).max(FEW_ROWS) {
                return Ok(None);
            }
            let Some(rows) = table.rows_since(store, snapshot, *version, columns).await? else {
                return Ok(None);
            };
            for batch in rows {
                changes.add(name, &batch)?;
            }
        }
        Ok(Some(changes))
    }

    fn add(&mut self, table: &str, batch: &RecordBatch) -> Result<()> {
        match table {
            "touchpoints" => self.touches.extend(rows(batch, "touch_id", "touched_at")?),
            "orders" => self.orders.extend(rows(batch, "order_id", "ordered_at")?),
            "refunds" => self.refunds.extend(pairs(batch, "refund_id", "order_id")?),
            _ => self.identities.extend(texts(batch, "anonymous_id")?),
        }
        Ok(())
    }
}

fn pairs(batch: &RecordBatch, a: &str, b: &str) -> Result<Vec<(String, String)>> {
    Ok(texts(batch, a)?.into_iter().zip(texts(batch, b)?).collect())
}

/// Ids, customers and instants; 0 where there is none.
pub fn rows(batch: &RecordBatch, id: &str, instant: &str) -> Result<Vec<(String, String, i64)>> {
    let instants = batch
        .column_by_name(instant)
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
        .ok_or_else(|| Error::internal(format!("rows without {instant}")))?;
    let instants = instants.iter().map(Option::unwrap_or_default);
    Ok(pairs(batch, id, "customer_id")?.into_iter().zip(instants).map(|((a, b), at)| (a, b, at)).collect())
}

/// A column of texts; nothing where it is null.
pub fn texts(batch: &RecordBatch, name: &str) -> Result<Vec<String>> {
    let column = batch.column_by_name(name).ok_or_else(|| Error::internal(format!("rows without {name}")))?;
    let column = cast(column, &DataType::Utf8)
        .map_err(|error| Error::internal(format!("{name} is no text")).with_source(error))?;
    let texts = column.as_string::<i32>();
    Ok((0..texts.len())
        .map(|row| if texts.is_null(row) { String::new() } else { texts.value(row).to_owned() })
        .collect())
}
