//! Typed columns of the inputs' batches: money, instants, and names as dictionaries.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, StringArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int32Type, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use datafusion::common::{DataFusionError, HashMap, Result, exec_err};

use super::rules::NameFilter;
use super::touches::{DIRECT, FILTERED};

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
pub fn column(batch: &RecordBatch, name: &str, as_type: &DataType) -> Result<Option<ArrayRef>> {
    let Some(array) = batch.column_by_name(name) else { return Ok(None) };
    Ok(Some(if array.data_type() == as_type { Arc::clone(array) } else { cast(array, as_type)? }))
}

pub fn required(batch: &RecordBatch, name: &str, as_type: &DataType) -> Result<ArrayRef> {
    let Some(array) = column(batch, name, as_type)? else {
        return exec_err!("journeys: a column {name} is missing in the input");
    };
    Ok(array)
}

pub fn without_nulls(batch: &RecordBatch, name: &str, as_type: &DataType) -> Result<ArrayRef> {
    let array = required(batch, name, as_type)?;
    if array.null_count() > 0 {
        return exec_err!("journeys: {name} is null in some row, and must not be");
    }
    Ok(array)
}

pub fn instants(batch: &RecordBatch, name: &str) -> Result<Vec<i64>> {
    let array = without_nulls(batch, name, &instant_type())?;
    Ok(array.as_primitive::<TimestampMicrosecondType>().values().to_vec())
}

/// Returns amounts in ten-thousandths; an amount that is not known is none.
pub fn money(batch: &RecordBatch, name: &str) -> Result<Vec<Option<i64>>> {
    let array = required(batch, name, &MONEY)?;
    let amounts = array.as_primitive::<Decimal128Type>().iter();
    amounts.map(|amount| amount.map(|amount| narrow(amount, name)).transpose()).collect()
}

/// Returns amounts in ten-thousandths; an amount that is not known counts as 0.00.
pub fn amounts(batch: &RecordBatch, name: &str) -> Result<Vec<i64>> {
    let array = required(batch, name, &MONEY)?;
    let array = array.as_primitive::<Decimal128Type>();
    if array.null_count() > 0 {
        return Ok(money(batch, name)?.into_iter().map(Option::unwrap_or_default).collect());
    }
    array.values().iter().map(|&amount| narrow(amount, name)).collect()
}

fn narrow(amount: i128, name: &str) -> Result<i64> {
    i64::try_from(amount).map_err(|error| {
        DataFusionError::Execution(format!("journeys: {name} has more than 18 digits in some row: {error}"))
    })
}

/// The type of names of which there are few: channels, sources, campaigns.
pub fn name_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// Returns a column of names, where the batch has it.
pub fn optional_names(batch: &RecordBatch, name: &str) -> Result<Option<DictionaryArray<Int32Type>>> {
    Ok(column(batch, name, &name_type())?.map(|array| array.as_dictionary().clone()))
}

/// Returns a column of names, all null where the batch does not have it.
pub fn names(batch: &RecordBatch, name: &str) -> Result<DictionaryArray<Int32Type>> {
    let null = || new_null_array(&name_type(), batch.num_rows()).as_dictionary().clone();
    Ok(optional_names(batch, name)?.unwrap_or_else(null))
}

/// Returns the customers' ids: sorted, so that a dictionary has each about once.
pub fn ids(batch: &RecordBatch) -> Result<DictionaryArray<Int32Type>> {
    Ok(required(batch, "customer_id", &name_type())?.as_dictionary().clone())
}

/// The name of a row.
pub fn name_of(names: &DictionaryArray<Int32Type>, row: usize) -> Option<&str> {
    let values = names.values().as_string::<i32>();
    names.key(row).filter(|&key| values.is_valid(key)).map(|key| values.value(key))
}

/// Shows an empty channel as (unknown), and trims the others.
pub fn channel_names(channels: DictionaryArray<Int32Type>) -> DictionaryArray<Int32Type> {
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

/// What the rules want to know of a touch's channel.
#[derive(Debug, Clone, Default)]
pub struct ChannelMarks {
    /// Channels that are direct, in lower case; empty where nobody asks.
    pub direct: Vec<String>,
    pub filter: NameFilter,
}

/// Numbers of channels; 0 is no touch.
#[derive(Debug)]
pub struct ChannelCodes {
    codes: HashMap<String, u32>,
    pub names: Vec<String>,
    marks: ChannelMarks,
    /// By number: the least number of a channel that is spelled alike but for its case.
    keys: Vec<u32>,
    key_codes: HashMap<String, u32>,
    flags: Vec<u8>,
}

impl ChannelCodes {
    pub fn new(marks: ChannelMarks) -> Self {
        let (codes, key_codes) = (HashMap::new(), HashMap::new());
        let (names, keys, flags) = (Vec::new(), Vec::new(), Vec::new());
        let mut known = Self { codes, names, marks, keys, key_codes, flags };
        known.code(UNATTRIBUTED);
        known
    }

    fn code(&mut self, name: &str) -> u32 {
        if let Some(&code) = self.codes.get(name) {
            return code;
        }
        let code = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.codes.insert(name.to_owned(), code);
        let key = name.to_lowercase();
        let is_direct = self.marks.direct.contains(&key);
        let is_filtered = !self.marks.filter.is_empty() && !self.marks.filter.passes(Some(&key));
        self.flags.push((u8::from(is_direct) * DIRECT) | (u8::from(is_filtered) * FILTERED));
        self.keys.push(*self.key_codes.entry(key).or_insert(code));
        code
    }

    /// The number of each row's channel.
    pub fn of_rows(&mut self, channels: &DictionaryArray<Int32Type>) -> Vec<u32> {
        let values = channels.values().as_string::<i32>();
        let codes: Vec<u32> = values.iter().map(|name| self.code(name.unwrap_or(UNKNOWN_CHANNEL))).collect();
        channels.keys().values().iter().map(|&key| codes[key as usize]).collect()
    }

    /// The number of a channel in whatever spelling.
    pub fn key(&self, code: u32) -> u32 {
        self.keys[code as usize]
    }

    /// What the rules want to know of a channel; none where they ask nothing.
    pub fn flags(&self) -> Option<&[u8]> {
        (!self.marks.direct.is_empty() || !self.marks.filter.is_empty()).then_some(&*self.flags)
    }
}

/// Computes something for every row, once for each name.
pub fn of_names<T: Clone>(
    names: &DictionaryArray<Int32Type>,
    mut of: impl FnMut(Option<&str>) -> T,
) -> Vec<T> {
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
