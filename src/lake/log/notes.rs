//! Numbers that commits noted under names, such as a batch's idempotency key. A table forgets them after a time.

use std::collections::HashMap;

use chrono::Utc;

use super::entry::Noted;

/// Notes below this number are not worth looking through for those that are forgotten.
const FEW: usize = 1_024;

#[derive(Debug, Default)]
pub struct Notes {
    by_name: HashMap<String, Number>,
    /// The number of notes that stayed when forgotten ones were last removed.
    left: usize,
}

#[derive(Debug, Clone, Copy)]
struct Number {
    number: i64,
    /// In milliseconds since 1970.
    noted_at_ms: Option<i64>,
}

impl Number {
    fn is_forgotten(self, retention_ms: Option<i64>, now_ms: i64) -> bool {
        let age_ms = self.noted_at_ms.map(|at_ms| now_ms.saturating_sub(at_ms));
        age_ms.zip(retention_ms).is_some_and(|(age_ms, retention_ms)| age_ms > retention_ms)
    }
}

impl Notes {
    /// The number under a name; `None` if there is none, or if it is older than notes are kept for.
    pub fn get(&self, name: &str, retention_ms: Option<i64>) -> Option<u64> {
        let found = self.by_name.get(name)?;
        let is_forgotten = found.is_forgotten(retention_ms, Utc::now().timestamp_millis());
        (!is_forgotten).then_some(found.number.cast_unsigned())
    }

    /// Takes numbers in place of those of the same names. Removes what is forgotten each time that there is twice as
    /// much as before, so that a process which runs for months holds no more than that.
    pub fn add(&mut self, noted: Vec<Noted>, retention_ms: Option<i64>) {
        let number =
            |noted: Noted| (noted.app_id, Number { number: noted.version, noted_at_ms: noted.last_updated });
        self.by_name.extend(noted.into_iter().map(number));
        if self.by_name.len() > 2 * self.left.max(FEW) {
            let now_ms = Utc::now().timestamp_millis();
            self.by_name.retain(|_, number| !number.is_forgotten(retention_ms, now_ms));
            self.by_name.shrink_to(2 * self.by_name.len());
            self.left = self.by_name.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn noted(name: String, version: i64, age_ms: i64) -> Noted {
        Noted { app_id: name, version, last_updated: Some(Utc::now().timestamp_millis() - age_ms) }
    }

    #[test]
    fn a_note_is_found_until_it_is_too_old() {
        let mut notes = Notes::default();
        let old = noted("old".into(), 1, 2 * HOUR_MS);
        notes.add(vec![old, noted("new".into(), 2, 0)], None);
        assert_eq!((notes.get("old", None), notes.get("old", Some(HOUR_MS))), (Some(1), None));
        assert_eq!((notes.get("new", Some(HOUR_MS)), notes.get("none", None)), (Some(2), None));
        notes.add(vec![noted("old".into(), 3, 0)], Some(HOUR_MS));
        assert_eq!(notes.get("old", Some(HOUR_MS)), Some(3));
    }

    #[test]
    fn what_is_forgotten_does_not_pile_up() {
        let mut notes = Notes::default();
        for number in 0..20_000 {
            let age_ms = if number % 10 == 0 { 0 } else { 2 * HOUR_MS };
            notes.add(vec![noted(format!("key-{number}"), number, age_ms)], Some(HOUR_MS));
        }
        assert!(notes.by_name.len() < 5_000, "{}", notes.by_name.len());
        let kept = (0..20_000)
            .step_by(10)
            .filter(|number| notes.get(&format!("key-{number}"), Some(HOUR_MS)) == Some(*number));
        assert_eq!(kept.count(), 2_000);
    }
}
