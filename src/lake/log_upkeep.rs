//! The log itself: made with the first commit, given new columns, and summed up in checkpoints.

use deltalake_core::DeltaTable;
use deltalake_core::protocol::SaveMode;

use super::operation::delta_columns;
use super::table::LakeTable;
use crate::error::{Error, Result};

/// A held table slows down with every commit since its checkpoint (81 ms at 1,000), so one is made often.
const COMMITS_PER_CHECKPOINT: u64 = 20;
/// How long an idempotency key is remembered.
const TRANSACTION_RETENTION: &str = "interval 72 hours";

impl LakeTable {
    pub(super) async fn create_if_missing(&self, delta: &mut DeltaTable) -> Result<()> {
        self.refresh(delta).await?;
        if delta.state.is_some() {
            return Ok(());
        }
        // What a derived table was computed from is remembered until it is computed again.
        let retention = (!self.spec.derived).then_some(TRANSACTION_RETENTION);
        let configuration =
            retention.map(|retention| ("delta.setTransactionRetentionDuration", Some(retention)));
        let created = DeltaTable::new(self.log.clone())
            .create()
            .with_log_store(self.log.clone())
            .with_table_name(self.spec.name.clone())
            .with_comment(self.spec.summary.clone())
            .with_columns(delta_columns(&self.spec))
            .with_partition_columns(self.spec.partition_columns())
            .with_configuration(configuration)
            .with_raise_if_key_not_exists(false)
            .with_save_mode(SaveMode::Ignore)
            .await;
        if let Err(error) = created {
            tracing::debug!(table = %self.spec.name, %error, "another writer may have made the table");
        }
        self.refresh(delta).await?;
        if delta.state.is_none() {
            return Err(Error::unavailable(format!("table {} could not be made", self.spec.name)));
        }
        Ok(())
    }

    /// Tells the log of columns that the table has got since it was made. Files that were written before have nulls there.
    pub(super) async fn add_missing_columns(&self, delta: &mut DeltaTable) -> Result<()> {
        let state = delta.snapshot().map_err(|error| self.log_error(error))?;
        let known = state.schema();
        let missing: Vec<_> = delta_columns(&self.spec)
            .into_iter()
            .filter(|column| known.field(column.name()).is_none())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        if let Err(error) = delta.clone().add_columns().with_fields(missing).await {
            tracing::debug!(table = %self.spec.name, %error, "another writer may have added the columns");
        }
        self.refresh(delta).await.map(|_| ())
    }

    pub(super) fn checkpoint_in_background(&self, delta: &DeltaTable, version: u64) {
        if version == 0 || !version.is_multiple_of(COMMITS_PER_CHECKPOINT) {
            return;
        }
        let (table, name) = (delta.clone(), self.spec.name.clone());
        tokio::spawn(async move {
            if let Err(error) = deltalake_core::checkpoints::create_checkpoint(&table, None).await {
                tracing::warn!(table = %name, %error, "the checkpoint failed; the next one makes up for it");
            }
        });
    }
}
