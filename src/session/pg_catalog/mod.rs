//! What Postgres's clients ask of their catalog: `pg_catalog` and `information_schema` over the lake's tables. In: the
//! tables' specs and the named queries, which are the same for every store. Out: tables in memory and functions, to be put beside a store's own
//! tables. No row, file or other store is named here.

mod build;
mod functions;
mod information;
mod rows;
mod shape;

#[cfg(test)]
mod tests;

pub use build::{PgCatalog, View, Views};
