//! What tables are. In: `data/tables/<name>/table.toml`, embedded. Out: typed columns, keys, orders and
//! partitions. This room holds no row and opens no file of a lake.

mod store_name;
mod table_spec;

pub use store_name::check_store;
pub use table_spec::{
    BATCH_ID_COLUMN, ColumnKind, ColumnSpec, EXTRAS_COLUMN, INGESTED_AT_COLUMN, MONEY_PRECISION, MONEY_SCALE,
    MonthPartition, RATE_PRECISION, RATE_SCALE, SOURCE_UPDATED_AT_COLUMN, STORE_COLUMN, TableSpec, tables,
};
