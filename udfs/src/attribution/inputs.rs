//! Batches of the three inputs, with the columns that attribution needs.

use std::cmp::Ordering;
use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, StringViewArray, new_null_array};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, Int32Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::{Result, exec_err};

use super::columns::{
    ChannelCodes, UNATTRIBUTED, channel_names, column, ids, instant_type, instants, money, name_of,
    name_type, names, of_names, optional_names, without_nulls,
};
use super::currency::minor_unit;
use super::customer::Order;
use super::customer_ids::CustomerGroups;
use super::held::Held;
use super::rows::{CREDITED, Reason, Reasons};
use super::touches::{Place, TouchText};

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

    /// The instants of some orders.
    pub fn of(&self, ids: &HashSet<String>) -> impl Iterator<Item = i64> {
        let is_known = move |row: &usize| ids.contains(self.id.value(*row));
        (0..self.ordered_at.len()).filter(is_known).map(|row| self.ordered_at[row])
    }
}
