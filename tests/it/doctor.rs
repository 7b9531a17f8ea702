//! `tributary doctor` over a local lake: what it finds, and that it leaves everything as it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const ORDERS: &str = "\
order_id,customer_id,ordered_at,status,currency,revenue
o1,ada,2026-03-04T09:00:00Z,completed,USD,100.01
";

struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with_orders() -> Self {
        let machine = Self::new();
        std::fs::write(machine.0.path().join("orders.csv"), ORDERS).unwrap();
        let landed = machine.run(&["land", "orders", "orders.csv", "--store", "shop"]);
        assert!(landed.status.success(), "{}", String::from_utf8_lossy(&landed.stderr));
        machine
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
        command.env_clear().current_dir(self.0.path()).args(arguments).stdin(Stdio::null());
        command.env("TRIBUTARY_SERVE_LISTEN", "127.0.0.1:0").output().unwrap()
    }

    /// The exit code, and each check by its name.
    fn doctor(&self) -> (i32, BTreeMap<String, Value>) {
        let output = self.run(&["doctor", "--json"]);
        let lines = String::from_utf8(output.stdout).unwrap();
        let checks = lines.lines().map(|line| {
            let check: Value = serde_json::from_str(line).unwrap();
            (check["check"].as_str().unwrap().to_owned(), check)
        });
        (output.status.code().unwrap(), checks.collect())
    }

    /// Every file and folder, with the size of its bytes.
    fn files(&self) -> Vec<(PathBuf, u64)> {
        fn walk(folder: &Path, found: &mut Vec<(PathBuf, u64)>) {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let data = entry.metadata().unwrap();
                found.push((entry.path(), if data.is_dir() { 0 } else { data.len() }));
                if data.is_dir() {
                    walk(&entry.path(), found);
                }
            }
        }
        let mut found = Vec::new();
        walk(self.0.path(), &mut found);
        found.sort();
        found
    }
}

#[test]
fn a_sound_lake_is_sound_and_left_as_it_was() {
    let machine = Machine::with_orders();
    let before = machine.files();
    let (code, checks) = machine.doctor();
    assert_eq!(code, 0, "{checks:?}");
    for name in
        ["settings", "data_folder", "storage", "conditional_puts", "clock", "keys", "files", "landings"]
    {
        assert_eq!(checks[name]["status"], "ok", "{:?}", checks[name]);
    }
    for name in
        ["threads", "memory", "spill_folder", "port", "disk_space", "checkpoints", "vacuum", "open_files"]
    {
        assert!(checks.contains_key(name), "no check {name}");
    }
    assert_eq!(machine.files(), before);
    let text = String::from_utf8(machine.run(&["doctor"]).stdout).unwrap();
    assert!(text.lines().any(|line| line.starts_with("ok    storage ")), "{text}");
}

#[test]
fn a_lake_that_is_not_there_is_warned_of_and_not_made() {
    let machine = Machine::new();
    let (code, checks) = machine.doctor();
    assert_eq!((code, &checks["data_folder"]["status"]), (0, &"warn".into()), "{checks:?}");
    assert!(machine.files().is_empty());
}

#[test]
fn a_damaged_log_fails_and_names_the_file() {
    let machine = Machine::with_orders();
    let entry = machine.0.path().join("tributary-data/orders/_delta_log/00000000000000000001.json");
    std::fs::write(entry, "").unwrap();
    let (code, checks) = machine.doctor();
    assert_eq!((code, &checks["files"]["status"]), (1, &"fail".into()), "{checks:?}");
    assert!(checks["files"]["found"].as_str().unwrap().contains("00000000000000000001.json"), "{checks:?}");
    assert!(checks["files"]["advice"].as_str().unwrap().contains("tributary fsck"), "{checks:?}");
}

#[test]
fn settings_that_are_wrong_fail_and_the_machine_is_looked_at_all_the_same() {
    let machine = Machine::new();
    std::fs::write(machine.0.path().join("tributary.toml"), "[limits]\ntreads = 2\n").unwrap();
    let (code, checks) = machine.doctor();
    assert_eq!((code, &checks["settings"]["status"]), (1, &"fail".into()), "{checks:?}");
    let found = checks["settings"]["found"].as_str().unwrap();
    assert!(found.contains("did you mean limits.threads?"), "{found}");
    assert!(checks["settings"]["advice"].as_str().unwrap().contains("tributary.toml"), "{checks:?}");
    assert!(checks.contains_key("open_files"));
}

#[test]
fn refused_rows_are_warned_of() {
    let machine = Machine::with_orders();
    std::fs::write(machine.0.path().join("bad.csv"), ORDERS.replace("100.01", "a lot")).unwrap();
    machine.run(&["land", "orders", "bad.csv", "--store", "shop", "--on-error", "quarantine"]);
    let (code, checks) = machine.doctor();
    assert_eq!((code, &checks["refused_rows"]["status"]), (0, &"warn".into()), "{checks:?}");
    assert!(checks["refused_rows"]["found"].as_str().unwrap().starts_with("1 in"), "{checks:?}");
}
