//! How much a call will make, from its arguments, before it is made.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;

/// How the result of a function grows with its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Growth {
    /// The first argument as often as the second says.
    Times,
    /// As long as the second argument says.
    Length,
    /// An element for each step from the first argument to the second.
    Steps,
    /// The second argument as often as the first one's values are, or as the first says.
    Elements,
    /// No more than the arguments together.
    Sum,
    /// The third argument wherever the second is in the first.
    Replace,
    /// A pattern is looked for: time, not memory, is what may be too much.
    Pattern,
    /// The same, and the third argument is put wherever it is.
    PatternReplace,
}

const NAMES: [(&str, Growth); 24] = [
    ("repeat", Growth::Times),
    ("array_repeat", Growth::Elements),
    ("lpad", Growth::Length),
    ("rpad", Growth::Length),
    ("array_resize", Growth::Length),
    ("range", Growth::Steps),
    ("generate_series", Growth::Steps),
    ("concat", Growth::Sum),
    ("concat_ws", Growth::Sum),
    ("overlay", Growth::Sum),
    ("make_array", Growth::Sum),
    ("array_append", Growth::Sum),
    ("array_prepend", Growth::Sum),
    ("array_concat", Growth::Sum),
    ("array_union", Growth::Sum),
    ("arrays_zip", Growth::Sum),
    ("map", Growth::Sum),
    ("named_struct", Growth::Sum),
    ("array_to_string", Growth::Replace),
    ("replace", Growth::Replace),
    ("regexp_replace", Growth::PatternReplace),
    ("regexp_like", Growth::Pattern),
    ("regexp_match", Growth::Pattern),
    ("regexp_count", Growth::Pattern),
];

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().map(|(name, _)| name)
}

impl Growth {
    pub fn of(name: &str) -> Option<Self> {
        NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, growth)| growth)
    }

    /// Whether a call is computed on parts of a batch where the bound over the whole is far from what it makes.
    pub fn is_cut(self) -> bool {
        matches!(self, Growth::Replace | Growth::Pattern | Growth::PatternReplace)
    }

    /// Whether it is computed for each batch, and not once while the query is planned: a list that is a constant of
    /// the plan is written out for each row, whatever it is used for.
    pub fn is_never_constant(self) -> bool {
        matches!(self, Growth::Steps | Growth::Elements)
    }

    /// The bytes of each row in which a pattern is looked for.
    pub fn searched_bytes(self, args: &[ColumnarValue], rows: usize) -> Result<Vec<u64>> {
        match (self, args.first()) {
            (Growth::Pattern | Growth::PatternReplace, Some(text)) => lengths(text, rows),
            _ => Ok(vec![0; rows]),
        }
    }

    /// The most bytes that each of the rows can become.
    pub fn bytes(self, args: &[ColumnarValue], rows: usize) -> Result<Vec<u64>> {
        let lengths = |place: usize| match args.get(place) {
            Some(value) => lengths(value, rows),
            None => Ok(vec![0; rows]),
        };
        let numbers = |place: usize| match args.get(place) {
            Some(value) => numbers(value, rows),
            None => Ok(vec![0; rows]),
        };
        Ok(match self {
            Growth::Times => zip(&lengths(0)?, &numbers(1)?, u64::saturating_mul),
            Growth::Elements => {
                zip(&lengths(0)?, &numbers(1)?, |length, count| length.max(8).saturating_mul(count))
            }
            Growth::Length => {
                let filled =
                    zip(&numbers(1)?, &lengths(2)?, |count, fill| count.saturating_mul(fill.clamp(4, 64)));
                zip(&filled, &lengths(0)?, u64::saturating_add)
            }
            Growth::Steps => steps(args, rows)?,
            Growth::Sum => {
                let mut sums = vec![0_u64; rows];
                for place in 0..args.len() {
                    sums = zip(&sums, &lengths(place)?, u64::saturating_add);
                }
                sums
            }
            Growth::Pattern => lengths(0)?,
            Growth::Replace => {
                // An empty text to look for is found before each character.
                let places = zip(&lengths(0)?, &lengths(1)?, |text, sought| text / sought.max(1) + 1);
                let by = if args.len() > 2 { lengths(2)? } else { lengths(1)? };
                zip(&zip(&places, &by, u64::saturating_mul), &lengths(0)?, u64::saturating_add)
            }
            // What is put in may name what was found, as often as it has characters.
            Growth::PatternReplace => {
                zip(&lengths(0)?, &lengths(2)?, |text, by| (text + 1).saturating_mul(by + 1))
            }
        })
    }
}

fn zip(left: &[u64], right: &[u64], join: impl Fn(u64, u64) -> u64) -> Vec<u64> {
    left.iter().zip(right).map(|(left, right)| join(*left, *right)).collect()
}

/// The bytes of each row's value.
fn lengths(value: &ColumnarValue, rows: usize) -> Result<Vec<u64>> {
    match value {
        ColumnarValue::Scalar(scalar) => {
            let length = lengths_of(&scalar.to_array()?)?.first().copied().unwrap_or(0);
            Ok(vec![length; rows])
        }
        ColumnarValue::Array(array) => lengths_of(array),
    }
}

fn lengths_of(array: &ArrayRef) -> Result<Vec<u64>> {
    let rows = 0..array.len();
    Ok(match array.data_type() {
        DataType::Utf8 => rows.map(|row| array.as_string::<i32>().value_length(row) as u64).collect(),
        DataType::LargeUtf8 => rows.map(|row| array.as_string::<i64>().value_length(row) as u64).collect(),
        // The low half of a view is the length.
        DataType::Utf8View => array.as_string_view().lengths().map(u64::from).collect(),
        DataType::BinaryView => array.as_binary_view().lengths().map(u64::from).collect(),
        DataType::Binary => rows.map(|row| array.as_binary::<i32>().value_length(row) as u64).collect(),
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let element = element_bytes(lists.values());
            lists.offsets().windows(2).map(|ends| (ends[1] - ends[0]) as u64 * element).collect()
        }
        DataType::LargeList(_) => {
            let lists = array.as_list::<i64>();
            let element = element_bytes(lists.values());
            lists.offsets().windows(2).map(|ends| (ends[1] - ends[0]) as u64 * element).collect()
        }
        DataType::Dictionary(_, values) => {
            lengths_of(&cast_with_options(array, values, &CastOptions::default())?)?
        }
        data_type => {
            let each = data_type.primitive_width().unwrap_or_else(|| element_bytes(array) as usize);
            vec![each as u64; array.len()]
        }
    })
}

/// The bytes of an element, on average.
fn element_bytes(array: &ArrayRef) -> u64 {
    let bytes = array.to_data().get_slice_memory_size().unwrap_or_default();
    (bytes / array.len().max(1)).max(1) as u64
}

/// Each row's whole number; 0 where there is none, and what is below 0.
fn numbers(value: &ColumnarValue, rows: usize) -> Result<Vec<u64>> {
    Ok(integers(value, rows)?
        .into_iter()
        .map(|number| u64::try_from(number.unwrap_or(0)).unwrap_or(0))
        .collect())
}

fn integers(value: &ColumnarValue, rows: usize) -> Result<Vec<Option<i64>>> {
    let array = match value {
        ColumnarValue::Scalar(scalar) => scalar.to_array()?,
        ColumnarValue::Array(array) => array.clone(),
    };
    // Days and instants are compared in microseconds.
    let instant = DataType::Timestamp(TimeUnit::Microsecond, None);
    let array = match array.data_type() {
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => {
            cast_with_options(&array, &instant, &CastOptions::default())?
        }
        _ => array,
    };
    let integers = cast_with_options(&array, &DataType::Int64, &CastOptions::default())?;
    let integers: Vec<_> = integers.as_primitive::<Int64Type>().iter().collect();
    match value {
        ColumnarValue::Scalar(_) => Ok(vec![integers.first().copied().flatten(); rows]),
        ColumnarValue::Array(_) => Ok(integers),
    }
}

/// Eight bytes for each step.
fn steps(args: &[ColumnarValue], rows: usize) -> Result<Vec<u64>> {
    let zero = || ColumnarValue::Scalar(ScalarValue::Int64(Some(0)));
    let (from, to) = match args {
        [to] => (zero(), to.clone()),
        [from, to, ..] => (from.clone(), to.clone()),
        [] => return Ok(vec![0; rows]),
    };
    let (from, to) = (integers(&from, rows)?, integers(&to, rows)?);
    let step = match args.get(2) {
        Some(step) => step_widths(step, rows)?,
        None => vec![1; rows],
    };
    let count = |((from, to), step): ((&Option<i64>, &Option<i64>), &u64)| match (from, to) {
        (Some(from), Some(to)) => (from.abs_diff(*to) / step.max(&1) + 1).saturating_mul(8),
        _ => 0,
    };
    Ok(from.iter().zip(&to).zip(&step).map(count).collect())
}

/// The least that a step moves: days of months that are short.
fn step_widths(step: &ColumnarValue, rows: usize) -> Result<Vec<u64>> {
    const DAY_US: u64 = 86_400_000_000;
    let array = match step {
        ColumnarValue::Scalar(scalar) => scalar.to_array()?,
        ColumnarValue::Array(array) => array.clone(),
    };
    let widths: Vec<u64> = match array.data_type() {
        DataType::Interval(_) => {
            let parts = DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano);
            let array = cast_with_options(&array, &parts, &CastOptions::default())?;
            let width = |step: arrow::datatypes::IntervalMonthDayNano| {
                let months = u64::from(step.months.unsigned_abs()) * 28 * DAY_US;
                let days = u64::from(step.days.unsigned_abs()) * DAY_US;
                months + days + step.nanoseconds.unsigned_abs() / 1_000
            };
            array
                .as_primitive::<IntervalMonthDayNanoType>()
                .iter()
                .map(|step| step.map_or(1, width))
                .collect()
        }
        _ => {
            return Ok(integers(step, rows)?
                .into_iter()
                .map(|step| step.unwrap_or(1).unsigned_abs())
                .collect());
        }
    };
    match step {
        ColumnarValue::Scalar(_) => Ok(vec![widths.first().copied().unwrap_or(1); rows]),
        ColumnarValue::Array(_) => Ok(widths),
    }
}
