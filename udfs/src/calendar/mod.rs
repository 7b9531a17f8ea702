//! Calendar: instants become days in a store's time zone.

mod local_day;
mod local_days;

pub use local_day::LocalDay;
pub(crate) use local_days::LocalDays;
