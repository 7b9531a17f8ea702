//! `local_day(ts, tz)`: the calendar day of an instant in a time zone.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Date32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use chrono_tz::Tz;
use datafusion::common::utils::take_function_args;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_macros::user_doc;

use super::local_days::LocalDays;

#[user_doc(
    doc_section(label = "calendar"),
    description = "Returns the calendar day of an instant in a time zone, right across daylight saving.",
    syntax_example = "local_day(ts, tz)",
    sql_example = "select local_day(timestamp '2025-03-30T22:30:00Z', 'Europe/Berlin')",
    argument(name = "ts", description = "An instant; one without zone is UTC."),
    argument(name = "tz", description = "An IANA time zone, such as Europe/Berlin.")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct LocalDay {
    signature: Signature,
}

impl Default for LocalDay {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for LocalDay {
    fn name(&self) -> &'static str {
        "local_day"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Date32)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        if arg_types.len() != 2 {
            return plan_err!("local_day takes an instant and a time zone");
        }
        Ok(vec![DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), DataType::Utf8])
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let [instants, zones] = take_function_args(self.name(), args.args)?;
        let zones = cast(&zones.into_array(rows)?, &DataType::Utf8)?;
        let zones = zones.as_string::<i32>();
        let instants = instants.into_array(rows)?;
        let instants = instants.as_primitive::<TimestampMicrosecondType>();
        let mut zone: Option<(&str, LocalDays)> = None;
        let mut days = Vec::with_capacity(rows);
        for row in 0..rows {
            if instants.is_null(row) || zones.is_null(row) {
                days.push(None);
                continue;
            }
            let name = zones.value(row);
            if zone.as_ref().is_none_or(|(known, _)| *known != name) {
                zone = Some((name, LocalDays::new(parse_zone(name)?)));
            }
            days.push(zone.as_mut().map(|(_, zone)| zone.day(instants.value(row))));
        }
        Ok(ColumnarValue::Array(Arc::new(Date32Array::from(days))))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

fn parse_zone(name: &str) -> Result<Tz> {
    match name.parse() {
        Ok(tz) => Ok(tz),
        Err(_) => exec_err!("local_day: unknown time zone; use an IANA name such as Europe/Berlin"),
    }
}
