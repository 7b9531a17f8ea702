//! The log: every entry and checkpoint can be read, and none is missing that something needs.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::finding::{Finding, Fsck};
use crate::error::Result;
use crate::lake::LakeTable;
use crate::lake::log::version_in_name;
use crate::lake::purge::unanswered;

const POINTER: &str = "_delta_log/_last_checkpoint";
const SET_ASIDE: &str = "set aside";

/// The files of a log, by version; of a checkpoint the first file.
#[derive(Default)]
pub(super) struct LogFiles {
    pub(super) entries: BTreeMap<u64, Path>,
    checkpoints: BTreeMap<u64, Path>,
    has_pointer: bool,
}

impl LakeTable {
    pub(super) async fn fsck_log(&self, repair: bool) -> Result<Fsck> {
        let files = self.log_files().await?;
        let mut fsck =
            Fsck { log_files: (files.entries.len() + files.checkpoints.len()) as u64, ..Fsck::default() };
        let mut broken_checkpoints = Vec::new();
        for (version, path) in &files.checkpoints {
            if !self.reader().has_checkpoint(*version).await {
                broken_checkpoints.push(path.clone());
            }
        }
        let is_sound = |path: &Path| !broken_checkpoints.contains(path);
        let base =
            files.checkpoints.iter().rev().find(|(_, path)| is_sound(path)).map(|(version, _)| *version);
        let newest = files.entries.keys().next_back().copied().max(base);
        let mut is_readable = true;
        let needed = base.map_or(0, |version| version + 1)..=newest.unwrap_or_default();
        for version in needed.clone().filter(|_| newest.is_some()) {
            if !files.entries.contains_key(&version) {
                let name = format!("_delta_log/{version:020}.json");
                let problem =
                    "the entry is missing, and no checkpoint stands for it: restore it from a backup";
                fsck.findings.push(self.of_log(&name, problem.to_owned()));
                is_readable = false;
            }
        }
        let mut replaced = Vec::new();
        for (version, path) in &files.entries {
            if self.reader().entry(*version).await.is_ok() {
                continue;
            }
            let is_needed = needed.contains(version);
            is_readable &= !is_needed;
            let problem = if is_needed {
                "the entry cannot be read, and no checkpoint stands for it: restore it from a backup"
            } else {
                "the entry cannot be read; versions before the next checkpoint cannot be read either"
            };
            fsck.findings.push(self.of_log(path.as_ref(), problem.to_owned()));
            if !is_needed {
                replaced.push((fsck.findings.len() - 1, path.clone()));
            }
        }
        for path in broken_checkpoints {
            let problem = "the checkpoint cannot be read; older log files stand for it";
            fsck.findings.push(self.of_log(path.as_ref(), problem.to_owned()));
            replaced.push((fsck.findings.len() - 1, path));
        }
        if files.has_pointer && !self.points_at_a_checkpoint(&files).await {
            let problem = "it does not name a checkpoint: readers look at the whole log instead";
            fsck.findings.push(self.of_log(POINTER, problem.to_owned()));
            replaced.push((fsck.findings.len() - 1, Path::from(POINTER)));
        }
        // Only a log that can be read without them is left without its broken files.
        if repair && is_readable && !replaced.is_empty() {
            for (finding, path) in replaced {
                self.set_log_file_aside(&path).await?;
                fsck.findings[finding].repaired = Some(SET_ASIDE);
            }
            self.checkpoint().await?;
        }
        Ok(fsck)
    }

    pub(super) async fn log_files(&self) -> Result<LogFiles> {
        let found: Vec<ObjectMeta> = self.entries().await?;
        let mut files = LogFiles::default();
        for object in found {
            let Some(name) = object.location.filename() else { continue };
            files.has_pointer |= object.location.as_ref() == POINTER;
            let Some(version) = version_in_name(name) else { continue };
            match name.split('.').skip(1).collect::<Vec<_>>()[..] {
                ["json"] => drop(files.entries.insert(version, object.location)),
                ["checkpoint", "parquet"] => drop(files.checkpoints.insert(version, object.location)),
                _ => {}
            }
        }
        Ok(files)
    }

    async fn points_at_a_checkpoint(&self, files: &LogFiles) -> bool {
        let version = self.reader().last_checkpoint().await;
        version.is_some_and(|version| files.checkpoints.contains_key(&version))
    }

    /// Moves a log file to where no reader looks for it.
    async fn set_log_file_aside(&self, path: &Path) -> Result<()> {
        let folder = self.folder();
        let aside = Path::from(format!("_set_aside/{path}"));
        folder.copy(path, &aside).await.map_err(unanswered)?;
        folder.delete(path).await.map_err(unanswered)
    }

    fn of_log(&self, file: &str, problem: String) -> Finding {
        let table = self.spec.name.clone();
        Finding { table, store: None, month: None, file: file.to_owned(), problem, repaired: None }
    }
}

impl LakeTable {
    /// The objects of the log's folder.
    pub(in crate::lake) async fn entries(&self) -> Result<Vec<ObjectMeta>> {
        self.folder().list(Some(&Path::from("_delta_log"))).try_collect().await.map_err(unanswered)
    }
}
