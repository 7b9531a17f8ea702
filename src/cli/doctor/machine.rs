//! This machine: memory, open files, the folder of temporary files and ports.

use std::path::Path;

use super::report::{Check, bytes};
use crate::config::Config;
use crate::lake::disk_space;

/// The least limit of open files: a connection and a file of a table take one each.
const LEAST_OPEN_FILES: u64 = 1024;
/// The least limit that a process may raise its own to.
const LEAST_OPEN_FILES_HARD: u64 = 4096;
/// The least room for what queries spill.
const LEAST_SPILL_BYTES: u64 = 1 << 30;

pub fn open_files() -> Check {
    let text = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    match open_file_limits(&text) {
        Some((soft, hard)) => open_files_check(soft, hard),
        None => Check::ok("open_files", "this system does not tell its limit; `ulimit -n` does"),
    }
}

/// The soft and the hard limit; a limit of its own word is unlimited.
fn open_file_limits(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut limits = line.split_whitespace().map(|limit| limit.parse().unwrap_or(u64::MAX));
    Some((limits.next()?, limits.next()?))
}

fn open_files_check(soft: u64, hard: u64) -> Check {
    let found = format!("a process may have {soft}, and up to {hard} if it asks");
    if soft < LEAST_OPEN_FILES || hard < LEAST_OPEN_FILES_HARD {
        let advice = "raise the limit to 65536, by `ulimit -n 65536` or by LimitNOFILE= of the systemd unit";
        return Check::warn("open_files", found, advice);
    }
    Check::ok("open_files", found)
}

/// The folder of what does not fit into memory.
pub fn spill_folder(config: &Config) -> Check {
    const NAME: &str = "spill_folder";
    let folder = config.limits.spill_folder.clone().unwrap_or_else(std::env::temp_dir);
    if !folder.exists() {
        return Check::ok(NAME, format!("{} is not there yet and will be made", folder.display()));
    }
    if let Err(error) = tempfile::tempfile_in(&folder) {
        let found = format!("{} cannot be written: {error}", folder.display());
        return Check::fail(NAME, found, "set limits.spill_folder to another folder");
    }
    let (allowed, free) = (config.limits.spill_bytes, free_bytes(&folder));
    let found = match free {
        Some(free) => format!(
            "{} can be written and has {} free; queries may spill {}",
            folder.display(),
            bytes(free),
            bytes(allowed)
        ),
        None => format!("{} can be written", folder.display()),
    };
    if free.is_some_and(|free| free < LEAST_SPILL_BYTES.min(allowed)) {
        return Check::warn(
            NAME,
            found,
            "free some room, or set limits.spill_folder to a folder on another disk",
        );
    }
    Check::ok(NAME, found)
}

fn free_bytes(folder: &Path) -> Option<u64> {
    disk_space(folder).ok().flatten().map(|space| space.free_bytes)
}

/// The addresses that `tributary serve` would listen on.
pub fn ports(config: &Config) -> Vec<Check> {
    let serve = &config.serve;
    let addresses = [
        (Some(&serve.listen), "serve.listen"),
        (serve.flight.as_ref(), "serve.flight"),
        (serve.postgres.as_ref(), "serve.postgres"),
    ];
    addresses.iter().filter_map(|(address, key)| Some(port((*address)?, key))).collect()
}

fn port(address: &str, key: &str) -> Check {
    match std::net::TcpListener::bind(address) {
        Ok(_) => Check::ok("port", format!("{address} of {key} is free")),
        Err(error) => {
            let advice =
                format!("this is right if the server runs already; else set {key} to another address");
            Check::warn("port", format!("{address} of {key} cannot be taken: {error}"), advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::*;

    #[test]
    fn few_open_files_are_warned_of() {
        let text =
            "Limit  Soft Limit  Hard Limit  Units\nMax open files            256       unlimited    files\n";
        assert_eq!(open_file_limits(text), Some((256, u64::MAX)));
        let verdicts =
            [(256, 9999), (1024, 4096), (1024, 1024)].map(|(soft, hard)| open_files_check(soft, hard).status);
        assert_eq!(verdicts, [Verdict::Warn, Verdict::Ok, Verdict::Warn]);
    }

    #[test]
    fn a_port_in_use_is_warned_of() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let check = port(&address, "serve.listen");
        assert_eq!(check.status, Verdict::Warn);
        assert!(check.advice.unwrap().contains("serve.listen"));
        drop(taken);
        assert_eq!(port(&address, "serve.listen").status, Verdict::Ok);
    }

    #[test]
    fn a_spill_folder_that_cannot_be_written_fails() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a-file");
        std::fs::write(&file, "").unwrap();
        let mut config = Config::default();
        config.limits.spill_folder = Some(file);
        let check = spill_folder(&config);
        assert_eq!(check.status, Verdict::Fail);
        assert!(check.advice.unwrap().contains("limits.spill_folder"));
        config.limits.spill_folder = Some(folder.path().to_owned());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
