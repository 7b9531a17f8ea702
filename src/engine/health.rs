//! The health of an engine's lake, for its operator: the storage's answers, and the needs of the tables.

use super::open::Engine;
use crate::error::Result;
use crate::lake::{DiskSpace, Health, Probe};

impl Engine {
    /// Puts a small file into the lake's folder, looks at it and deletes it again.
    pub async fn probe_storage(&self) -> Result<Probe> {
        self.inner.lake.storage.probe().await
    }

    /// Refuses a storage on which two writers would overwrite each other.
    pub async fn probe_conditional_puts(&self) -> Result<()> {
        self.inner.lake.storage.require_conditional_puts().await
    }

    /// The room on the disk of a local lake; `None` for a bucket.
    pub fn disk_space(&self) -> Result<Option<DiskSpace>> {
        self.inner.lake.storage.disk_space()
    }

    /// The storage as errors name it.
    pub fn storage_name(&self) -> String {
        self.inner.lake.storage.name()
    }

    /// The condition of every table that something was landed in.
    pub async fn health(&self) -> Result<Vec<Health>> {
        let keep = self.inner.options.keep_versions_for;
        let mut tables = Vec::new();
        for table in self.inner.lake.tables() {
            tables.extend(table.health(keep).await?);
        }
        Ok(tables)
    }
}
