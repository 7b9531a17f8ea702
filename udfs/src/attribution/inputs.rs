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
    ChannelCodes, UNATTRIBUTED, amounts, channel_names, column, ids, instant_type, instants, money, name_of,
    name_type, names, of_names, optional_names, without_nulls,
};
use super::currency::minor_unit;
use super::customer::Order;
use super::customer_ids::CustomerGroups;
use super::exchange::Exchange;
use super::held::Held;
use super::rates::Reporting;
use super::rows::{CREDITED, Reason, Reasons};
use super::rules::NameFilter;
use super::touches::{FILTERED, MILESTONE, Place, TouchText, VIEW};

/// Touches, sorted by customer, instant and id.
#[derive(Debug)]
pub struct TouchBatch {
    pub customers: CustomerGroups,
    pub at: ScalarBuffer<i64>,
    /// What is known of each touch; empty where nothing is of any.
    pub flags: Vec<u8>,
    /// The number of each channel in whatever spelling; empty where no rule needs it.
    pub key: Vec<u32>,
    /// Of each id; empty where ids are known to differ.
    pub id_hash: Vec<u64>,
    /// The number of each channel, for totals.
    pub code: Vec<u32>,
    /// None where the input does not have it.
    pub id: Option<StringViewArray>,
    pub touched_at: ArrayRef,
    pub channel: DictionaryArray<Int32Type>,
    /// None where the input does not have it.
    pub source: Option<DictionaryArray<Int32Type>>,
    pub campaign: Option<DictionaryArray<Int32Type>>,
    /// Bytes of memory held.
    pub size: usize,
}

impl TouchBatch {
    /// Reads a batch; no id can be there twice where `ids_differ`.
    pub fn try_new(batch: &RecordBatch, ids_differ: bool, channels: &mut TouchChannels) -> Result<Self> {
        let id = match column(batch, "touch_id", &DataType::Utf8View)? {
            Some(id) if id.null_count() > 0 => return exec_err!("journeys: touch_id is null in some row"),
            None if !ids_differ => {
                return exec_err!("journeys: a column touch_id is missing in the input");
            }
            id => id,
        };
        let mut id_hash = Vec::new();
        if let (Some(id), false) = (&id, ids_differ) {
            id_hash.resize(id.len(), 0);
            create_hashes([id], &RandomState::with_seed(0), &mut id_hash)?;
        }
        let touched_at = without_nulls(batch, "touched_at", &instant_type())?;
        let channel = channel_names(names(batch, "channel")?);
        let campaign = optional_names(batch, "campaign")?;
        let code = if channels.wants_codes { channels.codes.of_rows(&channel) } else { Vec::new() };
        let keys = |code: &Vec<u32>| code.iter().map(|&code| channels.codes.key(code)).collect();
        Ok(Self {
            customers: CustomerGroups::new(ids(batch)?),
            at: touched_at.as_primitive::<TimestampMicrosecondType>().values().clone(),
            flags: flags(batch, &code, campaign.as_ref(), channels)?,
            key: if channels.wants_keys { keys(&code) } else { Vec::new() },
            id_hash,
            code,
            id: id.map(|id| id.as_string_view().clone()),
            touched_at,
            channel,
            source: optional_names(batch, "source")?,
            campaign,
            size: batch.get_array_memory_size(),
        })
    }

    /// The one row that stands for "no touch".
    pub fn unattributed() -> Self {
        let null = || new_null_array(&name_type(), 1).as_dictionary().clone();
        Self {
            customers: CustomerGroups::new(null()),
            at: vec![0].into(),
            flags: Vec::new(),
            key: Vec::new(),
            id_hash: Vec::new(),
            code: vec![0],
            id: Some(StringViewArray::from(vec![""])),
            touched_at: new_null_array(&instant_type(), 1),
            channel: std::iter::once(UNATTRIBUTED).collect(),
            source: None,
            campaign: None,
            size: 0,
        }
    }
}

/// What is wanted of the channels of touches, and their numbers.
#[derive(Debug)]
pub struct TouchChannels {
    pub codes: ChannelCodes,
    /// Whether each touch's number is.
    pub wants_codes: bool,
    /// Whether the number of its channel in whatever spelling is; then its number is too.
    pub wants_keys: bool,
    pub campaigns: NameFilter,
}

/// What is known of each row; empty where nothing is of any.
fn flags(
    batch: &RecordBatch,
    code: &[u32],
    campaign: Option<&DictionaryArray<Int32Type>>,
    channels: &TouchChannels,
) -> Result<Vec<u8>> {
    let mut flags = Vec::new();
    let mut add = |of_rows: Vec<u8>| {
        if of_rows.iter().any(|&flag| flag != 0) {
            flags.resize(of_rows.len(), 0);
            flags.iter_mut().zip(of_rows).for_each(|(flags, flag)| *flags |= flag);
        }
    };
    if let Some(kinds) = optional_names(batch, "kind")? {
        add(of_names(&kinds, |kind| u8::from(kind == Some("view")) * VIEW));
    }
    if let Some(milestones) = optional_names(batch, "milestone")? {
        let is_named = |name: Option<&str>| name.is_some_and(|name| !name.trim().is_empty());
        add(of_names(&milestones, |name| u8::from(is_named(name)) * MILESTONE));
    }
    if let Some(of_channel) = channels.codes.flags() {
        add(code.iter().map(|&code| of_channel[code as usize]).collect());
    }
    if !channels.campaigns.is_empty() {
        let of_name = |name: Option<&str>| u8::from(!channels.campaigns.passes(name)) * FILTERED;
        match campaign {
            Some(campaigns) => add(of_names(campaigns, of_name)),
            None => add(vec![of_name(None); batch.num_rows()]),
        }
    }
    Ok(flags)
}

impl TouchText for Held<TouchBatch> {
    fn id(&self, place: Place) -> &str {
        self[place.0].id.as_ref().map_or("", |id| id.value(place.1))
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
    /// Empty where the input does not have what the goods cost.
    profit: Vec<Option<i64>>,
    /// How each order's currency becomes the one that is reported; empty where none is asked for.
    exchange: Vec<Option<Exchange>>,
    /// Why the order gets no credit; `CREDITED` where it does.
    pub refused: Vec<Reason>,
}

impl OrderBatch {
    /// Reads a batch; an order whose revenue is not known counts as one of 0.00.
    pub fn try_new(
        batch: &RecordBatch,
        reasons: &mut Reasons,
        reporting: Option<&mut Reporting>,
    ) -> Result<Self> {
        let amount = amounts(batch, "revenue")?;
        let profit = match batch.column_by_name("cost_of_goods") {
            Some(_) => profits(&amount, &money(batch, "cost_of_goods")?)?,
            None => Vec::new(),
        };
        let currency = names(batch, "currency")?;
        let ordered_at = without_nulls(batch, "ordered_at", &instant_type())?;
        let customer = ids(batch)?;
        let instants = ordered_at.as_primitive::<TimestampMicrosecondType>().values();
        let exchange = reporting.map(|reporting| {
            let of_row = |row: usize| reporting.exchange(name_of(&currency, row), instants[row]);
            (0..currency.len()).map(of_row).collect()
        });
        Ok(Self {
            customers: CustomerGroups::new(customer.clone()),
            exchange: exchange.unwrap_or_default(),
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
            profit: Vec::new(),
            exchange: Vec::new(),
            refused: vec![CREDITED],
        }
    }

    /// An order of the batch, held under a number.
    pub fn order(&self, number: usize, row: usize) -> Order {
        let exchange = self.exchange.get(row).copied().flatten();
        Order {
            place: (number, row),
            at: self.at[row],
            amount: self.amount[row],
            profit: self.profit.get(row).copied().flatten(),
            minor_unit: exchange.map_or(self.minor_unit[row], |exchange| exchange.minor_unit),
            exchange,
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
            amount: amounts(batch, "amount")?,
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
