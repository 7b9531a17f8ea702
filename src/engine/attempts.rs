//! Work that another writer overtakes is tried again on the newest version.

use crate::error::Result;

/// The attempts before the caller is told.
pub(super) const MOST_ATTEMPTS: usize = 20;

/// Tries again while another writer was faster.
pub(super) async fn unless_overtaken<T, F: Future<Output = Result<T>>>(attempt: impl Fn() -> F) -> Result<T> {
    let mut attempts = 1;
    loop {
        match attempt().await {
            Err(error) if error.is_overtaken() && attempts < MOST_ATTEMPTS => attempts += 1,
            done => return done,
        }
    }
}
