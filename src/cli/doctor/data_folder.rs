//! The folder of a local lake, and the keys: may this user read and write them, and nobody else the keys?

use std::path::{Path, PathBuf};

use super::report::Check;
use crate::serve::keys::{KeyStore, keys_file};

const FOLDER: &str = "data_folder";
const KEYS: &str = "keys";

/// The check of a data folder, and its outcome.
pub struct DataFolder {
    /// `None` for a lake that is in no folder of this machine.
    pub check: Option<Check>,
    /// Returns true if there is something to look at further.
    pub is_usable: bool,
}

/// Looks at the folder of a local lake; never makes it.
pub fn check(data: &str) -> DataFolder {
    let Some(folder) = local_folder(data) else { return DataFolder { check: None, is_usable: true } };
    let shown = folder.display();
    if !folder.exists() {
        let advice = "the first landing makes it; if there should be tables, look at --data and storage.data";
        return DataFolder {
            check: Some(Check::warn(FOLDER, format!("{shown} is not there"), advice)),
            is_usable: false,
        };
    }
    let used = std::fs::read_dir(&folder)
        .map_err(|error| ("read", error))
        .and_then(|_| tempfile::tempfile_in(&folder).map_err(|error| ("written", error)));
    match used {
        Ok(_) => DataFolder {
            check: Some(Check::ok(FOLDER, format!("{shown} can be read and written{}", owner_of(&folder)))),
            is_usable: true,
        },
        Err((what, error)) => DataFolder {
            check: Some(Check::fail(
                FOLDER,
                format!("{shown} cannot be {what}: {error}{}", owner_of(&folder)),
                "run this as the owner of the folder, or give it to this user by chown",
            )),
            is_usable: false,
        },
    }
}

fn local_folder(data: &str) -> Option<PathBuf> {
    let local = data.strip_prefix("file://").unwrap_or(data);
    (!local.contains("://") && !local.starts_with("memory:")).then(|| PathBuf::from(local))
}

/// Says whose the folder is; nothing if the system does not tell.
fn owner_of(folder: &Path) -> String {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let user = |path: &Path| std::fs::metadata(path).ok().map(|data| data.uid());
        if let (Some(owner), Some(own)) = (user(folder), user(Path::new("/proc/self"))) {
            return format!(" (it belongs to user {owner}, and this process is user {own})");
        }
    }
    String::new()
}

/// Looks at the API keys, without changing anything.
pub async fn keys(data: &str) -> Vec<Check> {
    let read = async {
        let keys = KeyStore::of_lake(data)?;
        Ok((keys.read().await?, keys.old_file()?))
    };
    let (keys, old_file) = match read.await {
        Ok(read) => read,
        Err(error) => return vec![Check::failed(KEYS, &error)],
    };
    if let Some(file) = keys_file(data).filter(|file| others_can_read(file)) {
        let shown = file.display();
        return vec![Check::warn(
            KEYS,
            format!("others can read {shown}"),
            format!("run `chmod 600 {shown}`"),
        )];
    }
    if let Some(file) = old_file {
        let (found, advice) = if keys.is_empty() {
            ("are still in", "`tributary keys list` and the next server bring them into the lake")
        } else {
            (
                "were in",
                "they are in the lake now, and this file is not read: delete it if no other lake needs it",
            )
        };
        return vec![Check::warn(KEYS, format!("the keys of this lake {found} {}", file.display()), advice)];
    }
    let in_force = keys.infos().iter().filter(|key| key.revoked_at.is_none()).count();
    vec![if keys.is_empty() {
        let found = "there is none: `tributary serve` answers everybody on this machine and nobody else";
        Check::ok(KEYS, format!("{found}; `tributary keys create` makes one"))
    } else {
        Check::ok(KEYS, format!("{in_force} in force, {} revoked", keys.infos().len() - in_force))
    }]
}

fn others_can_read(file: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(file).is_ok_and(|data| data.permissions().mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_is_warned_of_and_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("lake");
        let found = check(data.to_str().unwrap());
        assert_eq!((found.check.unwrap().status, found.is_usable), (Verdict::Warn, false));
        assert!(!data.exists());
        let found = check(folder.path().to_str().unwrap());
        assert_eq!((found.check.unwrap().status, found.is_usable), (Verdict::Ok, true));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(check("s3://lake").check.is_none() && check("memory:").check.is_none());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn keys_that_others_can_read_are_warned_of() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_str().unwrap();
        assert!(keys(data).await[0].found.contains("there is none"));
        let store = KeyStore::of_lake(data).unwrap();
        store.create("shop", &[crate::serve::keys::Scope::Query]).await.unwrap();
        assert_eq!(keys(data).await[0], Check::ok(KEYS, "1 in force, 0 revoked"));
        let file = folder.path().join("keys.json");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let check = &keys(data).await[0];
        assert_eq!(check.status, Verdict::Warn);
        assert!(check.advice.as_ref().unwrap().contains("chmod 600"), "{check:?}");
    }
}
