//! Calendar: instants become days in a store's time zone.

mod local_day;

pub use local_day::LocalDay;
