//! Batches of the three inputs, with the columns that attribution needs, typed.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::{DataFusionError, Result, exec_err};

use super::currency::minor_unit;
use super::rows::{CREDITED, Reason, Reasons};
use super::touches::{Place, TouchText};

/// The type of money: ten-thousandths.
pub const MONEY: DataType = DataType::Decimal128(18, 4);
/// What is shown for an empty channel.
const UNKNOWN_CHANNEL: &str = "(unknown)";
/// What is shown where no touch counts.
pub const UNATTRIBUTED: &str = "(unattributed)";

/// The type of an instant.
pub fn instant_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Returns a batch's column as a type, or nothing where the batch does not have it.
fn column(batch: &RecordBatch, name: &str, as_type: &DataType) -> Result<Option<ArrayRef>> {
    let Some(array) = batch.column_by_name(name) else { return Ok(None) };
    Ok(Some(if array.data_type() == as_type { Arc::clone(array) } else { cast(array, as_type)? }))
}

fn required(batch: &RecordBatch, name: &str, as_type: &DataType) -> Result<ArrayRef> {
    let Some(array) = column(batch, name, as_type)? else {
        return exec_err!("journeys: a column {name} is missing in the input");
    };
    Ok(array)
}

fn without_nulls(batch: &RecordBatch, name: &str, as_type: &DataType) -> Result<ArrayRef> {
    let array = required(batch, name, as_type)?;
    if array.null_count() > 0 {
        return exec_err!("journeys: {name} is null in some row, and must not be");
    }
    Ok(array)
}

fn text(batch: &RecordBatch, name: &str) -> Result<StringArray> {
    Ok(required(batch, name, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// Returns the column as text, all null where the batch does not have it.
fn optional_text(batch: &RecordBatch, name: &str) -> Result<ArrayRef> {
    Ok(column(batch, name, &DataType::Utf8)?
        .unwrap_or_else(|| Arc::new(StringArray::new_null(batch.num_rows()))))
}

fn instants(batch: &RecordBatch, name: &str) -> Result<Vec<i64>> {
    let array = without_nulls(batch, name, &instant_type())?;
    Ok(array.as_primitive::<TimestampMicrosecondType>().values().to_vec())
}

/// Returns amounts in ten-thousandths; an amount that is not known is none.
fn money(batch: &RecordBatch, name: &str) -> Result<Vec<Option<i64>>> {
    let array = required(batch, name, &MONEY)?;
    let amounts = array.as_primitive::<Decimal128Type>().iter();
    amounts.map(|amount| amount.map(i64::try_from).transpose()).collect::<Result<_, _>>().map_err(|error| {
        DataFusionError::Execution(format!("journeys: {name} has more than 18 digits in some row: {error}"))
    })
}

/// Shows an empty channel as (unknown), and trims the others.
fn channel_names(channels: &ArrayRef) -> ArrayRef {
    let channels_text = channels.as_string::<i32>();
    let is_clean = |name: Option<&str>| name.is_some_and(|name| !name.is_empty() && name.trim() == name);
    if channels_text.iter().all(is_clean) {
        return Arc::clone(channels);
    }
    let name = |name: Option<&str>| -> String {
        let name = name.unwrap_or_default().trim();
        if name.is_empty() { UNKNOWN_CHANNEL.into() } else { name.into() }
    };
    Arc::new(StringArray::from_iter_values(channels_text.iter().map(name)))
}

/// Touches, sorted by customer, instant and id.
#[derive(Debug)]
pub struct TouchBatch {
    pub customer: StringArray,
    pub at: Vec<i64>,
    pub view: Vec<bool>,
    pub id_hash: Vec<u64>,
    pub id: ArrayRef,
    pub touched_at: ArrayRef,
    pub channel: ArrayRef,
    pub source: ArrayRef,
    pub campaign: ArrayRef,
    /// Bytes of memory held.
    pub size: usize,
}

impl TouchBatch {
    pub fn try_new(batch: &RecordBatch) -> Result<Self> {
        let id = without_nulls(batch, "touch_id", &DataType::Utf8)?;
        let mut id_hash = vec![0; id.len()];
        create_hashes([&id], &RandomState::with_seed(0), &mut id_hash)?;
        let kind = optional_text(batch, "kind")?;
        Ok(Self {
            customer: text(batch, "customer_id")?,
            at: instants(batch, "touched_at")?,
            view: kind.as_string::<i32>().iter().map(|kind| kind == Some("view")).collect(),
            id_hash,
            id,
            touched_at: required(batch, "touched_at", &instant_type())?,
            channel: channel_names(&optional_text(batch, "channel")?),
            source: optional_text(batch, "source")?,
            campaign: optional_text(batch, "campaign")?,
            size: batch.get_array_memory_size(),
        })
    }

    /// The one row that stands for "no touch".
    pub fn unattributed() -> Self {
        let null = || Arc::new(StringArray::new_null(1)) as ArrayRef;
        let one = |name: &str| Arc::new(StringArray::from(vec![name])) as ArrayRef;
        Self {
            customer: StringArray::new_null(1),
            at: vec![0],
            view: vec![false],
            id_hash: vec![0],
            id: one(""),
            touched_at: arrow::array::new_null_array(&instant_type(), 1),
            channel: one(UNATTRIBUTED),
            source: null(),
            campaign: null(),
            size: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.at.len()
    }
}

impl TouchText for Vec<Arc<TouchBatch>> {
    fn id(&self, place: Place) -> &str {
        self[place.0].id.as_string::<i32>().value(place.1)
    }

    fn compare(&self, a: Place, b: Place) -> Ordering {
        let written = |place: Place| {
            let batch = &self[place.0];
            [&batch.channel, &batch.source, &batch.campaign].map(|column| {
                let column = column.as_string::<i32>();
                column.is_valid(place.1).then(|| column.value(place.1))
            })
        };
        written(a).cmp(&written(b))
    }
}

/// Orders, sorted by customer, instant and id.
#[derive(Debug)]
pub struct OrderBatch {
    pub customer: StringArray,
    pub at: Vec<i64>,
    pub id: StringArray,
    pub ordered_at: ArrayRef,
    pub currency: ArrayRef,
    pub minor_unit: Vec<i64>,
    pub amount: Vec<i64>,
    pub profit: Vec<Option<i64>>,
    /// Why the order gets no credit; `CREDITED` where it does.
    pub refused: Vec<Reason>,
}

impl OrderBatch {
    /// Reads a batch; an order whose revenue is not known counts as one of 0.00.
    pub fn try_new(batch: &RecordBatch, reasons: &mut Reasons) -> Result<Self> {
        let amount: Vec<i64> = money(batch, "revenue")?.into_iter().map(Option::unwrap_or_default).collect();
        let profit = match batch.column_by_name("cost_of_goods") {
            Some(_) => profits(&amount, &money(batch, "cost_of_goods")?)?,
            None => vec![None; amount.len()],
        };
        let currency = optional_text(batch, "currency")?;
        let status = text(batch, "status")?;
        let refused = status.iter().map(|status| match status {
            Some("completed") => CREDITED,
            other => reasons.of_status(other),
        });
        Ok(Self {
            customer: text(batch, "customer_id")?,
            at: instants(batch, "ordered_at")?,
            id: without_nulls(batch, "order_id", &DataType::Utf8)?.as_string::<i32>().clone(),
            ordered_at: required(batch, "ordered_at", &instant_type())?,
            minor_unit: currency.as_string::<i32>().iter().map(minor_unit).collect(),
            currency,
            amount,
            profit,
            refused: refused.collect(),
        })
    }

    /// The one row that stands for "no such order".
    pub fn unknown() -> Self {
        let null = || Arc::new(StringArray::new_null(1)) as ArrayRef;
        Self {
            customer: StringArray::new_null(1),
            at: vec![0],
            id: StringArray::from(vec![""]),
            ordered_at: arrow::array::new_null_array(&instant_type(), 1),
            currency: null(),
            minor_unit: vec![100],
            amount: vec![0],
            profit: vec![None],
            refused: vec![CREDITED],
        }
    }

    pub fn len(&self) -> usize {
        self.at.len()
    }
}

fn profits(amounts: &[i64], costs: &[Option<i64>]) -> Result<Vec<Option<i64>>> {
    let profit = |(amount, cost): (&i64, &Option<i64>)| match cost {
        None => Ok(None),
        Some(cost) => match amount.checked_sub(*cost) {
            Some(profit) => Ok(Some(profit)),
            None => exec_err!("journeys: revenue less cost_of_goods is more than money can hold"),
        },
    };
    amounts.iter().zip(costs).map(profit).collect()
}

/// Refunds, sorted by order, instant and id.
#[derive(Debug)]
pub struct RefundRows {
    pub id: ArrayRef,
    pub order_id: ArrayRef,
    pub refunded_at: Vec<i64>,
    pub amount: Vec<i64>,
    pub currency: ArrayRef,
}

impl RefundRows {
    /// Reads the refunds; one whose amount is not known counts as one of 0.00.
    pub fn try_new(batch: &RecordBatch) -> Result<Self> {
        Ok(Self {
            id: without_nulls(batch, "refund_id", &DataType::Utf8)?,
            order_id: without_nulls(batch, "order_id", &DataType::Utf8)?,
            refunded_at: instants(batch, "refunded_at")?,
            amount: money(batch, "amount")?.into_iter().map(Option::unwrap_or_default).collect(),
            currency: optional_text(batch, "currency")?,
        })
    }
}
