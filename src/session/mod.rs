//! The one place that builds a DataFusion session. In: a lake and a store. Out: a read-only session over that
//! store's tables, with our functions and limits. This room never sees a query's text.

mod builder;
mod listed_view;
mod interruption;
mod pinned_table;
mod watched;

pub use builder::{CATALOG, Limits, Only, Pins, SCHEMA, Sessions};
pub use listed_view::listed_views;
pub use interruption::{Interruption, Waiting};
