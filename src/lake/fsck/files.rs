//! Data files: each is there, has the size that the log says, and can be read.

use std::sync::Arc;

use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::finding::{Finding, Fsck, LookedAt, Repairs};
use super::rows::{KeysOfStores, check_rows};
use crate::error::Result;
use crate::lake::LakeTable;
use crate::lake::log::{BLOCKS_TAG, Change, DataFile, Operation, Snapshot};
use crate::lake::newest::read_metadata;
use crate::lake::purge::unanswered;
use crate::lake::verified::BlockSums;
use crate::schema::STORE_COLUMN;

impl LakeTable {
    pub(super) async fn fsck_files(
        &self,
        snapshot: &Snapshot,
        deep: bool,
        repairs: Repairs,
        looked: &LookedAt,
    ) -> Result<Fsck> {
        let mut fsck = Fsck::default();
        let mut keys = KeysOfStores::default();
        for file in snapshot.files() {
            fsck.data_files += 1;
            let problem = match self.problem_of(file).await? {
                Some(problem) => Some(problem),
                None if deep => match check_rows(self, file, &mut keys).await {
                    Ok(rows) => {
                        fsck.rows += rows;
                        None
                    }
                    Err(problem) => Some(problem),
                },
                None => None,
            };
            looked(file.size_bytes);
            let Some(problem) = problem else { continue };
            let mut finding = self.of_file(file, problem);
            if repairs.set_files_aside {
                self.set_data_file_aside(file).await?;
                finding.repaired = Some("set aside: the table answers without its rows");
            }
            fsck.findings.push(finding);
        }
        Ok(fsck)
    }

    /// Looks at the files that only older versions have: whether their bytes are those that the log noted.
    pub(super) async fn fsck_older_files(&self, newest: &Snapshot) -> Result<Fsck> {
        let mut fsck = Fsck::default();
        for version in self.log_files().await?.entries.into_keys() {
            // An entry that cannot be read is a finding of its own.
            let Ok(Some(entry)) = self.reader().entry(version).await else { continue };
            for added in entry.added {
                let sums = added.tags.get(BLOCKS_TAG).and_then(Option::as_ref);
                let store = added.partition_values.get(STORE_COLUMN).cloned().flatten().unwrap_or_default();
                let Some(sums) = sums.filter(|_| !newest.has(&store, &added.path)) else { continue };
                let bytes = match self.folder().get(&Path::from(added.path.as_str())).await {
                    Ok(found) => found.bytes().await.map_err(unanswered)?,
                    // It was vacuumed.
                    Err(object_store::Error::NotFound { .. }) => continue,
                    Err(error) => return Err(unanswered(error)),
                };
                fsck.data_files += 1;
                if BlockSums::of(&bytes).to_text() != *sums {
                    fsck.findings.push(Finding {
                        table: self.spec.name.clone(),
                        month: self
                            .spec
                            .month
                            .as_ref()
                            .and_then(|month| added.partition_values.get(&month.name).cloned().flatten()),
                        store: Some(store),
                        file: added.path,
                        problem:
                            "the file is not as it was written; only older versions have it, until the vacuum"
                                .to_owned(),
                        repaired: None,
                    });
                }
            }
        }
        Ok(fsck)
    }

    /// What is wrong with a file from outside, and with its footer.
    async fn problem_of(&self, file: &DataFile) -> Result<Option<String>> {
        let size = match self.storage.store.head(&self.file_path(file)?).await {
            Ok(object) => object.size,
            Err(object_store::Error::NotFound { .. }) => return Ok(Some("the file is missing".to_owned())),
            Err(error) => return Err(unanswered(error)),
        };
        if size != file.size_bytes {
            return Ok(Some(format!("the file has {size} bytes, and the log says {}", file.size_bytes)));
        }
        let Ok(metadata) = read_metadata(self, file).await else {
            return Ok(Some("the file's footer cannot be read".to_owned()));
        };
        let rows = metadata.file_metadata().num_rows().unsigned_abs();
        let is_right = rows == file.row_count;
        Ok((!is_right).then(|| format!("the file has {rows} rows, and the log says {}", file.row_count)))
    }

    /// Takes a file out of the table. What there is of it is moved beside the store's other files.
    async fn set_data_file_aside(&self, file: &Arc<DataFile>) -> Result<()> {
        let mut change = Change::new(Operation::Erase);
        change.removes.push(file.clone());
        self.commit(change).await?;
        let (store, rest) = file.path.split_once('/').unwrap_or(("", &file.path));
        let aside = Path::from(format!("{store}/_set_aside/{rest}"));
        let path = Path::from(file.path.as_str());
        match self.folder().copy(&path, &aside).await {
            Ok(()) => self.folder().delete(&path).await.map_err(unanswered),
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(unanswered(error)),
        }
    }

    fn of_file(&self, file: &DataFile, problem: String) -> Finding {
        Finding {
            table: self.spec.name.clone(),
            store: Some(file.store.clone()),
            month: file.month.clone(),
            file: file.path.clone(),
            problem,
            repaired: None,
        }
    }
}
