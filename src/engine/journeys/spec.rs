//! The table's columns: those of the function.

use tributary_udfs::journeys_schema;

use super::JOURNEYS;
use crate::engine::nightly::column_kind;
use crate::error::{Error, Result};
use crate::schema::{ColumnSpec, MonthPartition, STORE_COLUMN, TableSpec};

/// The table `journeys`: several rows an order, which are replaced together.
pub fn journeys_table() -> Result<TableSpec> {
    let schema = journeys_schema();
    let fields = schema.fields().iter().filter(|field| field.name() != STORE_COLUMN);
    let columns = fields
        .map(|field| {
            let kind = column_kind(field.data_type())
                .ok_or_else(|| Error::internal(format!("column {} cannot be kept", field.name())))?;
            let name = field.name().clone();
            let person = name == "customer_id";
            let (required, values, default, doc) = (false, vec![], None, String::new());
            Ok(ColumnSpec { name, kind, required, values, person, default, doc })
        })
        .collect::<Result<_>>()?;
    let text = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    Ok(TableSpec {
        name: JOURNEYS.to_owned(),
        summary: "Every order's journey under the standard rules: each touch's weight and credit under every model, or why it got none."
            .to_owned(),
        grain: "one row per entry (an order, or one of its refunds) and touch, credited or refused".to_owned(),
        key: text(&["order_id"]),
        sort: text(&["customer_id"]),
        month: Some(MonthPartition { name: "booked_month".to_owned(), of: "booked_at".to_owned() }),
        derived: true,
        group_marker: Some("entry_id".to_owned()),
        lookup_columns: text(&["entry_id", "order_id", "touch_id"]),
        columns,
    })
}
