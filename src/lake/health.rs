//! The health of a table: its size, its newest landing, its checkpoints, and the files that a vacuum would delete.

use std::collections::BTreeSet;
use std::time::Duration;

use super::table::LakeTable;
use super::vacuum::Vacuumed;
use crate::error::Result;

/// The condition of a table; nothing here is wrong by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub table: String,
    pub stores: BTreeSet<String>,
    /// Bytes of the files of the newest version.
    pub size_bytes: u64,
    /// The instant of the newest landing, in microseconds since 1970; `None` if nothing was landed.
    pub newest_landed_us: Option<i64>,
    /// Commits that whoever opens the table has to read one by one.
    pub commits_since_checkpoint: u64,
    /// Deletable files that no version within the retention needs.
    pub deletable: Vacuumed,
}

impl LakeTable {
    /// Looks at the log and lists the folder; changes nothing. Returns `None` if nothing was ever landed.
    pub async fn health(&self, keep: Duration) -> Result<Option<Health>> {
        let Some(whole) = self.reader().load().await? else { return Ok(None) };
        let (state, snapshot) = (&whole.state, &whole.state.snapshot);
        Ok(Some(Health {
            table: self.spec.name.clone(),
            stores: snapshot.stores().map(str::to_owned).collect(),
            size_bytes: snapshot.files().map(|file| file.size_bytes).sum(),
            newest_landed_us: Some(snapshot.newest_landed_us()).filter(|newest| *newest > 0),
            commits_since_checkpoint: state.version - state.checkpoint.unwrap_or(0).min(state.version),
            deletable: self.vacuum(keep, true).await?,
        }))
    }
}
