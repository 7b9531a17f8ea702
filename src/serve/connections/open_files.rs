//! Open files: each connection takes one, and so does each file of a table that is read.

/// Files that are kept for tables, at least.
const LEAST_KEPT: u64 = 256;

/// Raises the process's limit of open files as far as the system lets it.
pub fn raise_limit() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

/// Returns the connections that may be open at once: those that are wanted, if the limit of open files leaves a quarter of
/// them for tables.
pub(super) fn room_for(wanted: usize) -> usize {
    let Some(limit) = limit() else { return wanted };
    let room = wanted.min(without_kept(limit));
    if room < wanted {
        tracing::warn!(
            "{room} connections at once are taken, not {wanted}: a process may have {limit} open files (ulimit -n)"
        );
    }
    room
}

fn without_kept(limit: u64) -> usize {
    let kept = (limit / 4).max(LEAST_KEPT).min(limit / 2);
    usize::try_from(limit - kept).unwrap_or(usize::MAX)
}

/// `None` if the system does not tell.
fn limit() -> Option<u64> {
    #[cfg(target_os = "linux")]
    return rlimit::Resource::NOFILE.get_soft().ok();
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_left_for_tables() {
        assert_eq!(without_kept(1_024), 768);
        assert_eq!(without_kept(400), 200);
        assert_eq!(without_kept(20_000), 15_000);
        assert_eq!(room_for(1), 1);
    }
}
