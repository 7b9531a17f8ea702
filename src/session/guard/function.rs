//! A function that looks at its arguments before it is called.

use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use super::growth::Growth;
use super::{CALL_BYTES, CONSTANT_BYTES};
use crate::error::Error;
use crate::session::interruption::Interruption;

/// Bytes of text that are searched before it is looked whether anybody still waits.
const SEARCHED_BYTES: u64 = 1 << 20;
/// The longest pattern that is looked for: the time that a text takes grows with it.
const PATTERN_BYTES: usize = 1_000;

/// A function and what bounds it.
#[derive(Debug)]
pub(super) struct Guarded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
    signature: Signature,
    interruption: Arc<Interruption>,
}

impl Guarded {
    pub fn wrap(inner: Arc<ScalarUDF>, growth: Growth, interruption: &Arc<Interruption>) -> ScalarUDF {
        let mut signature = inner.signature().clone();
        if growth.is_never_constant() {
            signature.volatility = Volatility::Volatile;
        }
        ScalarUDF::from(Self { inner, growth, signature, interruption: Arc::clone(interruption) })
    }

    pub fn is(function: &ScalarUDF) -> bool {
        let inner: &dyn std::any::Any = function.inner().as_ref();
        inner.is::<Self>()
    }

    fn too_large(&self, bytes: u64) -> Error {
        Error::limit(format!(
            "{} would make more than {} KB of {}: make it shorter, or spread it over rows",
            self.inner.name(),
            bytes >> 10,
            if bytes == CONSTANT_BYTES { "one constant" } else { "one batch of rows" },
        ))
    }

    /// Computes the rows part by part; each is made before the next is looked at, so that the bound over the whole
    /// batch, which no text comes near, refuses nothing.
    fn invoke_in_parts(&self, args: &ScalarFunctionArgs, parts: Vec<Range<usize>>) -> Result<ColumnarValue> {
        let mut made: Vec<ArrayRef> = Vec::with_capacity(parts.len());
        let mut bytes = 0;
        for part in parts {
            self.interruption.check()?;
            let values = args.args.iter().map(|value| match value {
                ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(part.start, part.len())),
                scalar @ ColumnarValue::Scalar(_) => scalar.clone(),
            });
            let call = ScalarFunctionArgs { args: values.collect(), number_rows: part.len(), ..args.clone() };
            let array = self.inner.invoke_with_args(call)?.into_array(part.len())?;
            bytes += array.to_data().get_slice_memory_size().unwrap_or_default() as u64;
            if bytes > CALL_BYTES {
                return Err(self.too_large(CALL_BYTES).into());
            }
            made.push(array);
        }
        let made: Vec<&dyn Array> = made.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(arrow::compute::concat(&made)?))
    }

    fn check_pattern(&self, args: &[ColumnarValue]) -> Result<()> {
        let is_long = match args.get(1) {
            Some(ColumnarValue::Scalar(pattern)) => {
                pattern.try_as_str().flatten().is_some_and(|pattern| pattern.len() > PATTERN_BYTES)
            }
            Some(ColumnarValue::Array(patterns)) => match patterns.data_type() {
                DataType::Utf8View => {
                    patterns.as_string_view().lengths().any(|length| length as usize > PATTERN_BYTES)
                }
                DataType::Utf8 => is_any_long(patterns.as_string::<i32>().iter()),
                DataType::LargeUtf8 => is_any_long(patterns.as_string::<i64>().iter()),
                _ => false,
            },
            None => false,
        };
        if is_long {
            let message = format!("{}: a pattern is longer than {PATTERN_BYTES} bytes", self.inner.name());
            return Err(Error::limit(message).into());
        }
        Ok(())
    }
}

fn is_any_long<'a>(mut patterns: impl Iterator<Item = Option<&'a str>>) -> bool {
    patterns.any(|pattern| pattern.is_some_and(|pattern| pattern.len() > PATTERN_BYTES))
}

/// Cuts rows into parts of which none is bound to be larger than `most`; a row alone may be.
fn parts(bytes: &[u64], most: u64) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let (mut start, mut sum) = (0, 0_u64);
    for (row, bytes) in bytes.iter().enumerate() {
        sum = sum.saturating_add(*bytes);
        if sum > most && row > start {
            parts.push(start..row);
            (start, sum) = (row, *bytes);
        }
    }
    parts.push(start..bytes.len());
    parts
}

impl ScalarUDFImpl for Guarded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if matches!(self.growth, Growth::Pattern | Growth::PatternReplace) {
            self.check_pattern(&args.args)?;
        }
        let is_constant = args.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        if is_constant {
            let bytes = self.growth.bytes(&args.args, 1)?.first().copied().unwrap_or(0);
            let is_list = matches!(args.return_type(), DataType::List(_) | DataType::LargeList(_));
            // A list may be made anew for each batch, and is then written out for its rows.
            let (bytes, most) = if is_list {
                (bytes.saturating_mul(args.number_rows as u64), CALL_BYTES)
            } else {
                (bytes, CONSTANT_BYTES)
            };
            if bytes > most && self.growth != Growth::Pattern {
                return Err(self.too_large(most).into());
            }
            return self.inner.invoke_with_args(args);
        }
        let bytes = self.growth.bytes(&args.args, args.number_rows)?;
        if !self.growth.is_cut() {
            if sum(&bytes) > CALL_BYTES {
                return Err(self.too_large(CALL_BYTES).into());
            }
            return self.inner.invoke_with_args(args);
        }
        if self.growth != Growth::Pattern && bytes.iter().any(|bytes| *bytes > CALL_BYTES) {
            return Err(self.too_large(CALL_BYTES).into());
        }
        let searched = self.growth.searched_bytes(&args.args, args.number_rows)?;
        let weights: Vec<u64> = bytes
            .iter()
            .zip(&searched)
            .map(|(made, searched)| (made / (CALL_BYTES / SEARCHED_BYTES)).max(*searched))
            .collect();
        if sum(&weights) <= SEARCHED_BYTES {
            return self.inner.invoke_with_args(args);
        }
        self.invoke_in_parts(&args, parts(&weights, SEARCHED_BYTES))
    }
}

fn sum(bytes: &[u64]) -> u64 {
    bytes.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes))
}

impl PartialEq for Guarded {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl Eq for Guarded {}

impl Hash for Guarded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_where_they_become_too_many() {
        assert_eq!(parts(&[6, 6, 3, 20, 1], 10), [0..1, 1..3, 3..4, 4..5]);
        assert_eq!(parts(&[u64::MAX, u64::MAX], 10), [0..1, 1..2]);
    }
}
