//! Reads the settings from their three places and checks them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::providers::{Env, Format as _, Serialized, Toml};
use figment::value::Uncased;
use figment::{Figment, Provider};
use serde::{Deserialize, Serialize};

use super::{Lake, Limits, Queries, Serve, Storage, ranges};
use crate::drills::VARIABLES;
use crate::engine::EngineOptions;
use crate::error::{Error, Result, nearest};

/// The file that is read where `--config` names none.
const DEFAULT_FILE: &str = "tributary.toml";
const ENV_PREFIX: &str = "TRIBUTARY_";
/// Variables that are flags of the command line, not keys of the file.
const FLAG_VARIABLES: [&str; 3] = ["config", "key", "store"];

/// Every setting of the program.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub storage: Storage,
    pub lake: Lake,
    pub serve: Serve,
    pub limits: Limits,
    /// What one request, and one key, may use.
    pub requests: crate::serve::Limits,
    pub queries: Queries,
}

/// What the flags say; `None` leaves the setting to the environment and the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub data: Option<String>,
    pub queries_folder: Option<PathBuf>,
    pub threads: Option<usize>,
    pub listen: Option<String>,
    pub flight: Option<String>,
    pub postgres: Option<String>,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub require_tls: Option<bool>,
}

impl Config {
    /// The part that the engine takes.
    pub fn engine_options(&self) -> EngineOptions {
        EngineOptions {
            queries_folder: self.queries.folder.clone(),
            query_memory_bytes: self.limits.query_memory_bytes,
            memory_per_query_bytes: self.limits.memory_per_query_bytes,
            process_memory_bytes: self.limits.process_memory_bytes,
            cache_memory_bytes: self.limits.cache_memory_bytes,
            threads: self.limits.threads,
            query_timeout_ms: self.limits.query_timeout_ms,
            result_rows: self.limits.result_rows,
            result_bytes: self.limits.result_bytes,
            spill_folder: self.limits.spill_folder.clone(),
            spill_bytes: self.limits.spill_bytes,
            landing_bytes: self.limits.landing_bytes,
            keep_versions_for: self.lake.keep_versions_for,
            compact_after: self.lake.compact_after,
            ..EngineOptions::default()
        }
    }

    /// Refuses values that no engine could run with.
    fn verify(&self) -> Result<()> {
        ranges::check(self)?;
        if self.serve.tls_cert.is_some() != self.serve.tls_key.is_some() {
            return Err(Error::invalid(
                "configuration keys serve.tls_cert and serve.tls_key belong together",
            ));
        }
        if self.serve.require_tls == Some(true) && self.serve.tls_cert.is_none() {
            return Err(Error::invalid(
                "configuration key serve.require_tls needs a certificate: set serve.tls_cert and serve.tls_key",
            ));
        }
        if self.storage.data.is_empty() {
            return Err(Error::invalid("configuration key storage.data must name a folder or a URL"));
        }
        Ok(())
    }
}

/// Reads the file (the one named, or `tributary.toml` where there is one), the environment and the flags.
pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Config> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if let Some(text) = read_file(file)? {
        figment = figment.merge(Toml::string(&text));
    }
    let unknown = unknown_variables();
    if !unknown.is_empty() {
        tracing::warn!("not a setting, and left out: {}", unknown.join(", "));
    }
    extract(figment.merge(environment()), overrides)
}

fn extract(mut figment: Figment, overrides: &Overrides) -> Result<Config> {
    if let Some(data) = &overrides.data {
        figment = figment.merge(Serialized::default("storage.data", data));
    }
    if let Some(folder) = &overrides.queries_folder {
        figment = figment.merge(Serialized::default("queries.folder", folder));
    }
    if let Some(threads) = overrides.threads {
        figment = figment.merge(Serialized::default("limits.threads", threads));
    }
    if let Some(listen) = &overrides.listen {
        figment = figment.merge(Serialized::default("serve.listen", listen));
    }
    if let Some(flight) = &overrides.flight {
        figment = figment.merge(Serialized::default("serve.flight", flight));
    }
    if let Some(postgres) = &overrides.postgres {
        figment = figment.merge(Serialized::default("serve.postgres", postgres));
    }
    if let Some(file) = &overrides.tls_cert {
        figment = figment.merge(Serialized::default("serve.tls_cert", file));
    }
    if let Some(file) = &overrides.tls_key {
        figment = figment.merge(Serialized::default("serve.tls_key", file));
    }
    if let Some(require_tls) = overrides.require_tls {
        figment = figment.merge(Serialized::default("serve.require_tls", require_tls));
    }
    let config: Config = figment.extract().map_err(refusal)?;
    config.verify()?;
    Ok(config)
}

/// The file that the settings are read from: the one named, or `tributary.toml` if it is there.
pub fn settings_file(named: Option<&Path>) -> Option<PathBuf> {
    let default = || Path::new(DEFAULT_FILE);
    named.map(Path::to_owned).or_else(|| default().exists().then(|| default().to_owned()))
}

/// The text of the file; no file is fine, unless it was asked for by name.
fn read_file(file: Option<&Path>) -> Result<Option<String>> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::invalid(format!(
            "the configuration file {} cannot be read; name another by --config",
            path.display()
        ))
        .with_source(error)),
    }
}

/// The variables that name a setting. Others may be about something else: Kubernetes sets `TRIBUTARY_PORT` where a
/// service is called so.
fn environment() -> impl Provider {
    let known = known_keys();
    variables().filter_map(move |name| {
        let key = key_of(name.as_str());
        known.contains(&key).then(|| Uncased::from_owned(key))
    })
}

/// The variables that begin as settings do, and are none; each with the setting that was perhaps meant.
pub fn unknown_variables() -> Vec<String> {
    unknown_among(variables().iter().map(|(name, _)| name.into_string()))
}

fn unknown_among(names: impl Iterator<Item = String>) -> Vec<String> {
    let known = known_keys();
    let keys = names.map(|name| key_of(&name)).filter(|key| !known.contains(key));
    let shown = keys.map(|key| match nearest(&key, known.iter().map(String::as_str)) {
        Some(meant) => format!("{} (did you mean {}?)", variable_of(&key), variable_of(meant)),
        None => variable_of(&key),
    });
    shown.collect()
}

fn variables() -> Env {
    Env::prefixed(ENV_PREFIX).ignore(&FLAG_VARIABLES).ignore(VARIABLES)
}

/// `TRIBUTARY_LIMITS_THREADS` is `limits.threads`; `TRIBUTARY_DATA` is short for `TRIBUTARY_STORAGE_DATA`.
fn key_of(name: &str) -> String {
    if name.eq_ignore_ascii_case("data") {
        return "storage.data".to_owned();
    }
    name.to_ascii_lowercase().replacen('_', ".", 1)
}

fn variable_of(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.to_ascii_uppercase().replacen('.', "_", 1))
}

/// Every key, as `section.key`.
fn known_keys() -> BTreeSet<String> {
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let sections = defaults.as_object().into_iter().flatten();
    let keys = sections.flat_map(|(section, keys)| {
        keys.as_object()
            .into_iter()
            .flat_map(serde_json::Map::keys)
            .map(move |key| format!("{section}.{key}"))
    });
    keys.collect()
}

/// Says which key is wrong, where it stands, and the nearest that would be right.
fn refusal(error: figment::Error) -> Error {
    let key = error.path.join(".");
    let place = error.metadata.as_ref().map_or("the flags", |metadata| {
        if metadata.name.contains("TOML") { "the configuration file" } else { "the environment" }
    });
    let own = match &error.kind {
        Kind::UnknownField(name, known) => {
            let (section, leaf) = key.rsplit_once('.').map_or(("", name.as_str()), |(section, leaf)| {
                (section, if leaf.is_empty() { name.as_str() } else { leaf })
            });
            let prefix = if section.is_empty() { String::new() } else { format!("{section}.") };
            let known: Vec<String> = known.iter().map(|known| format!("{prefix}{known}")).collect();
            let unknown = Error::unknown(
                "configuration key",
                &format!("{prefix}{leaf}"),
                known.iter().map(String::as_str),
            );
            Error::invalid(format!("{unknown}, in {place}"))
        }
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) if !key.is_empty() => {
            Error::invalid(format!("configuration key {key}, in {place}, must be {expected}"))
        }
        _ if key.is_empty() => Error::invalid(format!("{place} cannot be read: {}", error.kind)),
        _ => Error::invalid(format!("configuration key {key}, in {place}: {}", error.kind)),
    };
    own.with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_toml(text: &str) -> Result<Config> {
        let figment = Figment::from(Serialized::defaults(Config::default())).merge(Toml::string(text));
        extract(figment, &Overrides::default())
    }

    #[test]
    fn an_empty_file_gives_the_engines_defaults() {
        let config = from_toml("").unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.engine_options().query_timeout_ms, EngineOptions::default().query_timeout_ms);
    }

    #[test]
    fn flags_win_over_the_file() {
        let figment = Figment::from(Serialized::defaults(Config::default()))
            .merge(Toml::string("[storage]\ndata = \"s3://lake\"\n[limits]\nthreads = 3\n"));
        let flags = Overrides { data: Some("memory://".into()), ..Overrides::default() };
        let config = extract(figment, &flags).unwrap();
        assert_eq!(config.storage.data, "memory://");
        assert_eq!(config.limits.threads, 3);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        let error = from_toml("[limits]\ntreads = 2\n").unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::InvalidRequest);
        assert!(error.message().contains("unknown configuration key limits.treads"), "{error}");
        assert!(error.message().contains("did you mean limits.threads?"), "{error}");
        let error = from_toml("[storge]\ndata = \"x\"\n").unwrap_err();
        assert!(
            error.message().contains("unknown configuration key storge, did you mean storage?"),
            "{error}"
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_names_its_key_and_not_its_value() {
        let error = from_toml("[limits]\nthreads = \"secret\"\n").unwrap_err();
        assert!(error.message().contains("limits.threads"), "{error}");
        assert!(!error.message().contains("secret"), "{error}");
    }

    #[test]
    fn a_time_needs_its_unit() {
        let config = from_toml("[lake]\nkeep_versions_for = \"12h\"\n").unwrap();
        assert_eq!(config.engine_options().keep_versions_for, std::time::Duration::from_hours(12));
        for wrong in ["7", "\"7\"", "\"soon\""] {
            let error = from_toml(&format!("[lake]\nkeep_versions_for = {wrong}\n")).unwrap_err();
            assert!(error.message().contains("lake.keep_versions_for"), "{error}");
            assert!(error.message().contains("7d"), "{error}");
        }
    }

    #[test]
    fn zero_threads_are_refused() {
        let error = from_toml("[limits]\nthreads = 0\n").unwrap_err();
        assert!(error.message().contains("limits.threads must be from 1 to 1024"), "{error}");
    }

    #[test]
    fn a_variable_that_is_no_setting_is_left_out() {
        let names = ["port", "lake", "limits_treads", "data", "limits_result_rows", "serve_flight"];
        let unknown = unknown_among(names.into_iter().map(str::to_owned));
        let meant = "TRIBUTARY_LIMITS_TREADS (did you mean TRIBUTARY_LIMITS_THREADS?)";
        assert_eq!(unknown, ["TRIBUTARY_PORT", "TRIBUTARY_LAKE", meant]);
    }

    #[test]
    fn a_time_beyond_reason_is_refused() {
        let error = from_toml("[lake]\nkeep_versions_for = \"11years\"\n").unwrap_err();
        assert!(error.message().contains("lake.keep_versions_for must be at most 9years"), "{error}");
    }

    #[test]
    fn what_a_request_may_use_can_be_set() {
        let config = from_toml("[requests]\njob_timeout_ms = 3600000\njobs_per_key = 1\n").unwrap();
        assert_eq!(config.requests.job_timeout, std::time::Duration::from_hours(1));
        assert_eq!(config.requests.jobs_per_key, 1);
        let error = from_toml("[requests]\nrequest_timeout_ms = 0\n").unwrap_err();
        assert!(error.message().contains("requests.request_timeout_ms must be from 1 to "), "{error}");
        let error = from_toml("[requests]\njob_timeout = 1\n").unwrap_err();
        assert!(error.message().contains("did you mean requests.job_timeout_ms?"), "{error}");
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let error = from_toml("[serve]\ntls_cert = \"a.pem\"\n").unwrap_err();
        assert!(error.message().contains("belong together"), "{error}");
        assert!(from_toml("[serve]\ntls_cert = \"a.pem\"\ntls_key = \"b.pem\"\n").is_ok());
        let error = from_toml("[serve]\nrequire_tls = true\n").unwrap_err();
        assert!(error.message().contains("needs a certificate"), "{error}");
    }

    #[test]
    fn a_missing_file_is_refused_only_where_it_was_named() {
        assert!(read_file(Some(Path::new("/nonexistent/tributary.toml"))).is_err());
    }
}
