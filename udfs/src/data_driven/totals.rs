//! What a set of journeys came to.

use super::paths::Paths;

/// What is to be shared out among the channels, and what is not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Totals {
    pub conversions: f64,
    pub value: f64,
    pub unattributed_conversions: f64,
    pub unattributed_value: f64,
}

impl Totals {
    /// Adds up the paths; those without a touch are unattributed.
    pub fn of(paths: &Paths) -> Self {
        let mut totals =
            Self { conversions: 0.0, value: 0.0, unattributed_conversions: 0.0, unattributed_value: 0.0 };
        for path in paths.iter() {
            let (conversions, value) = if path.channels.is_empty() {
                (&mut totals.unattributed_conversions, &mut totals.unattributed_value)
            } else {
                (&mut totals.conversions, &mut totals.value)
            };
            *conversions += path.conversions as f64;
            *value += path.value;
        }
        totals
    }
}
