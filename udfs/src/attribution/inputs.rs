//! Batches of the three inputs, with the columns that attribution needs, typed.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, StringArray, StringViewArray, new_null_array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int32Type, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::{DataFusionError, HashMap, Result, exec_err};

use super::currency::minor_unit;
use super::customer::Order;
use super::customer_ids::CustomerGroups;
use super::held::Held;
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

/// The type of names of which there are few: channels, sources, campaigns.
pub fn name_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// Returns a column of names, where the batch has it.
fn optional_names(batch: &RecordBatch, name: &str) -> Result<Option<DictionaryArray<Int32Type>>> {
    Ok(column(batch, name, &name_type())?.map(|array| array.as_dictionary().clone()))
}

/// Returns a column of names, all null where the batch does not have it.
fn names(batch: &RecordBatch, name: &str) -> Result<DictionaryArray<Int32Type>> {
    let null = || new_null_array(&name_type(), batch.num_rows()).as_dictionary().clone();
    Ok(optional_names(batch, name)?.unwrap_or_else(null))
}

/// Returns the customers' ids: sorted, so that a dictionary has each about once.
fn ids(batch: &RecordBatch) -> Result<DictionaryArray<Int32Type>> {
    Ok(required(batch, "customer_id", &name_type())?.as_dictionary().clone())
}

/// The name of a row.
pub fn name_of(names: &DictionaryArray<Int32Type>, row: usize) -> Option<&str> {
    let values = names.values().as_string::<i32>();
    names.key(row).filter(|&key| values.is_valid(key)).map(|key| values.value(key))
}

/// Shows an empty channel as (unknown), and trims the others.
fn channel_names(channels: DictionaryArray<Int32Type>) -> DictionaryArray<Int32Type> {
    let values = channels.values().as_string::<i32>();
    let is_clean = |name: Option<&str>| name.is_some_and(|name| !name.is_empty() && name.trim() == name);
    if channels.null_count() == 0 && values.iter().all(is_clean) {
        return channels;
    }
    let clean = |name: Option<&str>| -> String {
        let name = name.unwrap_or_default().trim();
        if name.is_empty() { UNKNOWN_CHANNEL.into() } else { name.into() }
    };
    if channels.null_count() == 0 {
        return channels.with_values(Arc::new(StringArray::from_iter_values(values.iter().map(clean))));
    }
    let rows: Vec<String> = (0..channels.len()).map(|row| clean(name_of(&channels, row))).collect();
    rows.iter().map(String::as_str).collect()
}

/// Numbers of channels; 0 is no touch.
#[derive(Debug)]
pub struct ChannelCodes {
    codes: HashMap<String, u32>,
    pub names: Vec<String>,
}

impl Default for ChannelCodes {
    fn default() -> Self {
        let names = vec![UNATTRIBUTED.to_owned()];
        Self { codes: names.iter().cloned().zip(0..).collect(), names }
    }
}

impl ChannelCodes {
    fn code(&mut self, name: &str) -> u32 {
        if let Some(&code) = self.codes.get(name) {
            return code;
        }
        let code = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.codes.insert(name.to_owned(), code);
        code
    }

    /// The number of each row's channel.
    fn of_rows(&mut self, channels: &DictionaryArray<Int32Type>) -> Vec<u32> {
        let values = channels.values().as_string::<i32>();
        let codes: Vec<u32> = values.iter().map(|name| self.code(name.unwrap_or(UNKNOWN_CHANNEL))).collect();
        channels.keys().values().iter().map(|&key| codes[key as usize]).collect()
    }
}

/// Touches, sorted by customer, instant and id.
#[derive(Debug)]
pub struct TouchBatch {
    pub customers: CustomerGroups,
    pub at: ScalarBuffer<i64>,
    /// Whether each touch is a view; empty where none is.
    pub view: Vec<bool>,
    /// Of each id; empty where ids are known to differ.
    pub id_hash: Vec<u64>,
    /// The number of each channel, for totals.
    pub code: Vec<u32>,
    /// Null where the input does not have it.
    pub id: StringViewArray,
    pub touched_at: ArrayRef,
    pub channel: DictionaryArray<Int32Type>,
    /// None where the input does not have it.
    pub source: Option<DictionaryArray<Int32Type>>,
    pub campaign: Option<DictionaryArray<Int32Type>>,
    /// Bytes of memory held.
    pub size: usize,
}

impl TouchBatch {
    /// Reads a batch; `codes` where totals are wanted, and `ids_differ` where no id can be there twice.
    pub fn try_new(batch: &RecordBatch, ids_differ: bool, codes: Option<&mut ChannelCodes>) -> Result<Self> {
        let id = match column(batch, "touch_id", &DataType::Utf8View)? {
            Some(id) if id.null_count() > 0 => return exec_err!("journeys: touch_id is null in some row"),
            Some(id) => id,
            None if ids_differ => new_null_array(&DataType::Utf8View, batch.num_rows()),
            None => return exec_err!("journeys: a column touch_id is missing in the input"),
        };
        let mut id_hash = Vec::new();
        if !ids_differ {
            id_hash.resize(id.len(), 0);
            create_hashes([&id], &RandomState::with_seed(0), &mut id_hash)?;
        }
        let touched_at = without_nulls(batch, "touched_at", &instant_type())?;
        let channel = channel_names(names(batch, "channel")?);
        Ok(Self {
            customers: CustomerGroups::new(ids(batch)?),
            at: touched_at.as_primitive::<TimestampMicrosecondType>().values().clone(),
            view: optional_names(batch, "kind")?.map(|kinds| views(&kinds)).unwrap_or_default(),
            id_hash,
            code: codes.map(|codes| codes.of_rows(&channel)).unwrap_or_default(),
            id: id.as_string_view().clone(),
            touched_at,
            channel,
            source: optional_names(batch, "source")?,
            campaign: optional_names(batch, "campaign")?,
            size: batch.get_array_memory_size(),
        })
    }

    /// The one row that stands for "no touch".
    pub fn unattributed() -> Self {
        let null = || new_null_array(&name_type(), 1).as_dictionary().clone();
        Self {
            customers: CustomerGroups::new(null()),
            at: vec![0].into(),
            view: Vec::new(),
            id_hash: Vec::new(),
            code: vec![0],
            id: StringViewArray::from(vec![""]),
            touched_at: new_null_array(&instant_type(), 1),
            channel: std::iter::once(UNATTRIBUTED).collect(),
            source: None,
            campaign: None,
            size: 0,
        }
    }
}

/// Which rows are views; empty where none is.
fn views(kinds: &DictionaryArray<Int32Type>) -> Vec<bool> {
    let values = kinds.values().as_string::<i32>();
    let is_view: Vec<bool> = values.iter().map(|kind| kind == Some("view")).collect();
    if !is_view.contains(&true) {
        return Vec::new();
    }
    kinds.keys().iter().map(|key| key.is_some_and(|key| is_view[key as usize])).collect()
}

impl TouchText for Held<TouchBatch> {
    fn id(&self, place: Place) -> &str {
        self[place.0].id.value(place.1)
    }

    fn compare(&self, a: Place, b: Place) -> Ordering {
        let written = |place: Place| {
            let batch = &self[place.0];
            [Some(&batch.channel), batch.source.as_ref(), batch.campaign.as_ref()]
                .map(|column| column.and_then(|column| name_of(column, place.1)))
        };
        written(a).cmp(&written(b))
    }
}

/// Orders, sorted by customer, instant and id.
#[derive(Debug)]
pub struct OrderBatch {
    pub customers: CustomerGroups,
    pub customer: DictionaryArray<Int32Type>,
    pub at: ScalarBuffer<i64>,
    pub id: StringViewArray,
    pub ordered_at: ArrayRef,
    pub currency: DictionaryArray<Int32Type>,
    minor_unit: Vec<i64>,
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
        let currency = names(batch, "currency")?;
        let ordered_at = without_nulls(batch, "ordered_at", &instant_type())?;
        let customer = ids(batch)?;
        Ok(Self {
            customers: CustomerGroups::new(customer.clone()),
            customer,
            at: ordered_at.as_primitive::<TimestampMicrosecondType>().values().clone(),
            id: without_nulls(batch, "order_id", &DataType::Utf8View)?.as_string_view().clone(),
            ordered_at,
            minor_unit: of_names(&currency, minor_unit),
            currency,
            amount,
            profit,
            refused: of_names(&names(batch, "status")?, |status| match status {
                Some("completed") => CREDITED,
                other => reasons.of_status(other),
            }),
        })
    }

    /// The one row that stands for "no such order".
    pub fn unknown() -> Self {
        let null = || new_null_array(&name_type(), 1).as_dictionary().clone();
        Self {
            customers: CustomerGroups::new(null()),
            customer: null(),
            at: vec![0].into(),
            id: StringViewArray::from(vec![""]),
            ordered_at: new_null_array(&instant_type(), 1),
            currency: null(),
            minor_unit: vec![100],
            amount: vec![0],
            profit: vec![None],
            refused: vec![CREDITED],
        }
    }

    /// An order of the batch, held under a number.
    pub fn order(&self, number: usize, row: usize) -> Order {
        Order {
            place: (number, row),
            at: self.at[row],
            amount: self.amount[row],
            profit: self.profit[row],
            minor_unit: self.minor_unit[row],
            refused: self.refused[row],
        }
    }
}

/// Computes something for every row, once for each name.
fn of_names<T: Clone>(names: &DictionaryArray<Int32Type>, mut of: impl FnMut(Option<&str>) -> T) -> Vec<T> {
    let values: Vec<T> = names.values().as_string::<i32>().iter().map(&mut of).collect();
    let mut null = None;
    let of_null = |null: &mut Option<T>, of: &mut dyn FnMut(Option<&str>) -> T| {
        null.get_or_insert_with(|| of(None)).clone()
    };
    names
        .keys()
        .iter()
        .map(|key| match key {
            Some(key) => values[key as usize].clone(),
            None => of_null(&mut null, &mut of),
        })
        .collect()
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
    pub id: StringViewArray,
    pub order_id: StringViewArray,
    pub refunded_at: Vec<i64>,
    pub amount: Vec<i64>,
    pub currency: DictionaryArray<Int32Type>,
}

impl RefundRows {
    /// Reads the refunds; one whose amount is not known counts as one of 0.00.
    pub fn try_new(batch: &RecordBatch) -> Result<Self> {
        Ok(Self {
            id: without_nulls(batch, "refund_id", &DataType::Utf8View)?.as_string_view().clone(),
            order_id: without_nulls(batch, "order_id", &DataType::Utf8View)?.as_string_view().clone(),
            refunded_at: instants(batch, "refunded_at")?,
            amount: money(batch, "amount")?.into_iter().map(Option::unwrap_or_default).collect(),
            currency: names(batch, "currency")?,
        })
    }
}

/// Which orders were refunded, and when.
#[derive(Debug)]
pub struct RefundedOrders {
    order_id: StringViewArray,
    refunded_at: Vec<i64>,
}

impl RefundedOrders {
    pub fn try_new(batch: &RecordBatch) -> Result<Self> {
        Ok(Self {
            order_id: without_nulls(batch, "order_id", &DataType::Utf8View)?.as_string_view().clone(),
            refunded_at: instants(batch, "refunded_at")?,
        })
    }

    /// The orders of the refunds from one instant up to before another.
    pub fn between(&self, from: i64, to: i64) -> impl Iterator<Item = &str> {
        let is_in = move |at: &i64| (from..to).contains(at);
        (0..self.refunded_at.len())
            .filter(move |&row| is_in(&self.refunded_at[row]))
            .map(|row| self.order_id.value(row))
    }
}

/// When orders were made.
#[derive(Debug)]
pub struct OrderInstants {
    id: StringViewArray,
    ordered_at: Vec<i64>,
}

impl OrderInstants {
    pub fn try_new(batch: &RecordBatch) -> Result<Self> {
        Ok(Self {
            id: without_nulls(batch, "order_id", &DataType::Utf8View)?.as_string_view().clone(),
            ordered_at: instants(batch, "ordered_at")?,
        })
    }

    /// The earliest instant of some orders.
    pub fn earliest(&self, ids: &HashSet<String>) -> Option<i64> {
        let known = |row: &usize| ids.contains(self.id.value(*row));
        (0..self.ordered_at.len()).filter(known).map(|row| self.ordered_at[row]).min()
    }
}
