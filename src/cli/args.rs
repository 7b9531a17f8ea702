//! The grammar of the command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::check::CheckArgs;
use super::demo::DemoArgs;
use super::doctor::DoctorArgs;
use super::erase::EraseArgs;
use super::exit::{EXIT_CODES, Failure, Outcome};
use super::fsck::FsckArgs;
use super::functions::FunctionsArgs;
use super::keys::KeysArgs;
use super::land::LandArgs;
use super::nightly::NightlyArgs;
use super::query::QueryArgs;
use super::read_rows::ReadRowsArgs;
use super::serve::ServeArgs;
use super::sql::SqlArgs;
use super::tables::TablesArgs;
use super::vacuum::VacuumArgs;
use crate::config::Overrides;

const AFTER_HELP: &str = "\
Settings come from ./tributary.toml (or --config), then from TRIBUTARY_* variables
(TRIBUTARY_LIMITS_THREADS=4 is `threads` of `[limits]`), then from flags; the later wins.

Examples:
  tributary demo
  tributary land orders orders.csv --store my-shop
  tributary sql --store my-shop
  tributary sql -c 'select count(*) from orders' --store my-shop
  tributary query attribution/by_channel --param model=linear --store my-shop";

/// Lands marketing data, attributes revenue to channels to the cent, and serves the answers.
#[derive(Debug, Parser)]
#[command(name = "tributary", version, propagate_version = true, after_help = AFTER_HELP)]
#[command(after_long_help = format!("{AFTER_HELP}\n\n{EXIT_CODES}"))]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Where the tables are: a folder, s3://, gs://, az:// or memory:// [default: ./tributary-data]
    #[arg(long, global = true, value_name = "URL")]
    data: Option<String>,
    /// The file of settings [default: ./tributary.toml where there is one]
    #[arg(long, global = true, value_name = "FILE", env = "TRIBUTARY_CONFIG")]
    pub config: Option<PathBuf>,
    /// A folder of further <topic>/<name>.sql files, each a named query
    #[arg(long, global = true, value_name = "FOLDER")]
    queries_folder: Option<PathBuf>,
    /// Threads that one query may use [default: one a core]
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Demo(DemoArgs),
    Serve(ServeArgs),
    Land(LandArgs),
    Sql(SqlArgs),
    Query(QueryArgs),
    Nightly(NightlyArgs),
    Erase(EraseArgs),
    Tables(TablesArgs),
    Vacuum(VacuumArgs),
    Fsck(FsckArgs),
    Doctor(DoctorArgs),
    Functions(FunctionsArgs),
    Check(CheckArgs),
    Keys(KeysArgs),
    #[command(hide = true)]
    ReadRows(ReadRowsArgs),
}

impl Cli {
    /// Refuses flags that contradict each other.
    pub fn verify(&self) -> Outcome {
        match &self.command {
            Command::Sql(sql) if sql.names_server() && self.global.data.is_some() => {
                Err(Failure::usage("--data is a lake here and --server one elsewhere: give one of them"))
            }
            _ => Ok(()),
        }
    }

    /// The settings that were given as flags.
    pub fn overrides(&self) -> Overrides {
        let mut overrides = Overrides {
            data: self.global.data.clone(),
            queries_folder: self.global.queries_folder.clone(),
            threads: self.global.threads,
            ..Overrides::default()
        };
        if let Command::Serve(serve) = &self.command {
            overrides.listen.clone_from(&serve.listen);
            overrides.flight.clone_from(&serve.flight);
            overrides.postgres.clone_from(&serve.postgres);
            overrides.tls_cert.clone_from(&serve.tls_cert);
            overrides.tls_key.clone_from(&serve.tls_key);
            overrides.require_tls = serve.require_tls;
        }
        overrides
    }
}

/// Splits `name=value`.
pub fn parse_param(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write a parameter as name=value".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_grammar_is_sound_and_every_command_has_examples() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        let shown = |sub: &&clap::Command| sub.get_name() != "help" && !sub.is_hide_set();
        for sub in command.get_subcommands().filter(shown) {
            let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("tributary"), "{} has no examples", sub.get_name());
        }
    }

    #[test]
    fn a_parameter_keeps_what_follows_its_first_equals_sign() {
        assert_eq!(parse_param("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(parse_param("a").is_err());
        assert!(parse_param("=b").is_err());
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for line in [["tributary", "--data", "x", "tables"], ["tributary", "tables", "--data", "x"]] {
            assert_eq!(Cli::parse_from(line).overrides().data.as_deref(), Some("x"));
        }
    }
}
