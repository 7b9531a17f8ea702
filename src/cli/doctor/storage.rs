//! The storage: does it answer, does it honour conditional puts, and does its clock agree with this machine's?

use std::time::Duration;

use chrono::TimeDelta;

use super::report::Check;
use crate::engine::Engine;
use crate::lake::Probe;

/// A small put that takes longer than this makes every landing slow.
const SLOW: Duration = Duration::from_secs(1);
/// Clocks that differ by more make it hard to say what came first.
const CLOCK_WARNING: TimeDelta = TimeDelta::minutes(1);
/// S3 refuses requests of a clock that differs by more.
const CLOCK_FAILURE: TimeDelta = TimeDelta::minutes(15);

/// The checks of a storage, made from its answers.
pub struct Answers {
    pub checks: Vec<Check>,
    pub is_reachable: bool,
}

/// Puts a small file into the lake's folder, looks at it and deletes it again.
pub async fn checks(engine: &Engine) -> Answers {
    let probe = match engine.probe_storage().await {
        Ok(probe) => probe,
        Err(error) => {
            return Answers { checks: vec![Check::failed("storage", &error)], is_reachable: false };
        }
    };
    let conditional = match engine.probe_conditional_puts().await {
        Err(error) => Check::failed("conditional_puts", &error),
        Ok(()) => conditional_puts(&probe),
    };
    let checks =
        vec![round_trip(&engine.storage_name(), probe.round_trip), conditional, clock(probe.clock_ahead)];
    Answers { checks, is_reachable: true }
}

fn round_trip(name: &str, took: Duration) -> Check {
    let found = format!("{name} took a small file in {} ms", took.as_millis());
    if took > SLOW {
        let advice = "look at the network and at how busy the storage is, or move the lake nearer";
        return Check::warn("storage", found, advice);
    }
    Check::ok("storage", found)
}

fn conditional_puts(probe: &Probe) -> Check {
    const NAME: &str = "conditional_puts";
    if !probe.refuses_second_create {
        let found = "a second put of a file that is there was not refused (If-None-Match)";
        let advice = "two writers would overwrite each other: use a store that honours conditional puts";
        return Check::fail(NAME, found, advice);
    }
    match probe.refuses_wrong_etag {
        Some(false) => Check::fail(
            NAME,
            "a put over another version of a file was not refused (If-Match)",
            "two changes of the API keys at once could lose one: use a store that honours conditional puts",
        ),
        Some(true) => Check::ok(NAME, "puts over what is there are refused, as they have to be"),
        None => Check::ok(NAME, "a new file never replaces one, as it has to be"),
    }
}

fn clock(ahead: TimeDelta) -> Check {
    const NAME: &str = "clock";
    let side = if ahead > TimeDelta::zero() { "ahead of" } else { "behind" };
    let found = format!("this machine is {} s {side} the storage", ahead.num_seconds().abs());
    let advice = "set the clock of this machine, for example by NTP";
    match ahead.abs() {
        apart if apart > CLOCK_FAILURE => {
            Check::fail(NAME, found, format!("S3 refuses such requests: {advice}"))
        }
        apart if apart > CLOCK_WARNING => Check::warn(NAME, found, advice),
        apart if apart > TimeDelta::zero() => Check::ok(NAME, found),
        _ => Check::ok(NAME, "this machine agrees with the storage"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::*;

    #[test]
    fn clocks_apart_are_warned_of_and_fail_where_s3_refuses_them() {
        let verdict = |seconds| clock(TimeDelta::seconds(seconds)).status;
        assert_eq!([verdict(0), verdict(60), verdict(-61)], [Verdict::Ok, Verdict::Ok, Verdict::Warn]);
        assert_eq!(
            [verdict(900), verdict(901), verdict(-901)],
            [Verdict::Warn, Verdict::Fail, Verdict::Fail]
        );
        assert!(clock(TimeDelta::seconds(-70)).found.contains("70 s behind"));
    }

    #[test]
    fn a_store_that_ignores_conditions_fails() {
        let probe = |create, etag| Probe {
            round_trip: Duration::ZERO,
            clock_ahead: TimeDelta::zero(),
            refuses_second_create: create,
            refuses_wrong_etag: etag,
        };
        let verdicts =
            [probe(true, Some(true)), probe(true, None), probe(false, None), probe(true, Some(false))]
                .map(|probe| conditional_puts(&probe).status);
        assert_eq!(verdicts, [Verdict::Ok, Verdict::Ok, Verdict::Fail, Verdict::Fail]);
    }
}
