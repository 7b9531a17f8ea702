//! The command and the order of its checks.

use super::report::{Check, Report};
use super::{data_folder, lake, machine, settings, storage};
use crate::cli::args::GlobalArgs;
use crate::cli::exit::Outcome;
use crate::config::Config;
use crate::engine::{Engine, EngineOptions};
use crate::error::Result;

/// Looks whether everything that a lake needs is as it has to be, and says what to do.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Looks at the settings, this machine, the storage and the tables. Prints a line for each check: `ok`, `warn` or `FAIL`, what \
was looked at, and what to do. Ends with exit code 1 if anything is broken; warnings do not count. It changes nothing, and \
deletes what it wrote in order to look. Run it as the user that the server runs as, with the same settings.

Examples:
  tributary doctor
  tributary doctor --json
  tributary --data s3://lake/tributary doctor")]
pub struct DoctorArgs {
    /// Prints one line of JSON for each check
    #[arg(long)]
    json: bool,
}

/// Runs the checks; later ones are left out if they need what an earlier one found broken.
pub async fn run(global: &GlobalArgs, config: Result<Config>, args: &DoctorArgs) -> Outcome {
    let mut report = Report::new(args.json);
    report.add(&settings::check(global.config.as_deref(), &config))?;
    report.add(&machine::open_files())?;
    if let Ok(config) = &config {
        report.add_all(settings::limits(config))?;
        report.add(&machine::spill_folder(config))?;
        report.add_all(machine::ports(config))?;
        lake_checks(config, &mut report).await?;
    }
    report.finish()
}

async fn lake_checks(config: &Config, report: &mut Report) -> Outcome {
    let data = &config.storage.data;
    let folder = data_folder::check(data);
    report.add_all(folder.check)?;
    if !folder.is_usable {
        return Ok(());
    }
    let options =
        EngineOptions { background_compaction: false, spill_folder: None, ..config.engine_options() };
    let engine = match Engine::open_with(data, options).await {
        Ok(engine) => engine,
        Err(error) => return report.add(&Check::failed("lake", &error)),
    };
    let outcome = open_lake_checks(&engine, data, report).await;
    engine.close().await?;
    outcome
}

async fn open_lake_checks(engine: &Engine, data: &str, report: &mut Report) -> Outcome {
    let answers = storage::checks(engine).await;
    let is_reachable = answers.is_reachable;
    report.add_all(answers.checks)?;
    if !is_reachable {
        return Ok(());
    }
    report.add_all(data_folder::keys(data).await)?;
    report.add(&lake::files(engine).await)?;
    match engine.health().await {
        Ok(tables) => {
            report.add_all(lake::room(engine, &tables))?;
            report.add_all(lake::upkeep(&tables))?;
            report.add_all(lake::landings(&tables))?;
            report.add_all(lake::refused_rows(engine, &tables).await)
        }
        Err(error) => report.add(&Check::failed("tables", &error)),
    }
}
