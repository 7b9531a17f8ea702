//! What fsck finds.

use crate::error::Result;
use crate::lake::LakeTable;

/// What fsck may change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Log files that something else stands for are set aside, and a checkpoint is written anew.
    pub log: bool,
    /// Broken data files are taken out of the table, so that the rest of it answers again.
    pub set_files_aside: bool,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    pub table: String,
    /// Whose rows it touches; `None` if it is the log's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month: Option<String>,
    /// Relative to the table's folder.
    pub file: String,
    pub problem: String,
    /// What was done about it; `None` if it is as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repaired: Option<&'static str>,
}

/// Is told the bytes of a file.
pub type LookedAt = dyn Fn(u64) + Send + Sync;

/// What was looked at, and what is wrong with it.
#[derive(Debug, Clone, Default)]
pub struct Fsck {
    pub log_files: u64,
    pub data_files: u64,
    pub rows: u64,
    pub findings: Vec<Finding>,
}

impl Fsck {
    pub fn add(&mut self, other: Self) {
        self.log_files += other.log_files;
        self.data_files += other.data_files;
        self.rows += other.rows;
        self.findings.extend(other.findings);
    }
}

impl LakeTable {
    /// Looks at the log and at every file of the newest version; reads every row if it is to go `deep`. Says the bytes of
    /// each file that it has looked at.
    pub async fn fsck(&self, deep: bool, repairs: Repairs, looked: &LookedAt) -> Result<Fsck> {
        let mut fsck = self.fsck_log(repairs.log).await?;
        match self.reader().load().await {
            Ok(Some(whole)) => {
                let newest = &whole.state.snapshot;
                fsck.add(self.fsck_files(newest, deep, repairs, looked).await?);
                if deep {
                    fsck.add(self.fsck_older_files(newest).await?);
                }
            }
            // The log's findings say why; without it nobody knows which files there are.
            Err(error) if fsck.findings.is_empty() => return Err(error),
            Ok(None) | Err(_) => {}
        }
        Ok(fsck)
    }
}
