//! From arguments to an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind as ClapErrorKind;

use super::args::{Cli, Command};
use super::exit::{Failure, Outcome, report};
use super::telemetry::{self, Verbosity};
use super::{
    check, demo, doctor, erase, fsck, functions, keys, land, nightly, query, read_rows, serve, sql, tables,
    vacuum,
};
use crate::config::{self, Config};
use crate::engine::{Engine, EngineOptions};
use crate::error::{Error, Result};

/// Planning recurses with the query's depth; the usual 2 MiB are too few for a long chain of operators.
const STACK_BYTES: usize = 16 << 20;

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    main_with(std::env::args_os())
}

/// Runs the program with these arguments, of which the first is its name. Starts a runtime: not to be called
/// from within one.
pub fn main_with(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return report_usage(&error),
    };
    if let Command::ReadRows(args) = &cli.command {
        return read_rows::run(args);
    }
    telemetry::start(match cli.command {
        Command::Serve(_) => Verbosity::Server,
        _ => Verbosity::Quiet,
    });
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

/// Help and the version are answers, not errors; clap knows where each is written.
fn report_usage(error: &clap::Error) -> ExitCode {
    // A reader that has gone wants no help.
    let _ = error.print();
    match error.kind() {
        ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(2),
    }
}

fn run(cli: Cli) -> Outcome {
    cli.verify()?;
    let config = config::load(cli.global.config.as_deref(), &cli.overrides());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()
        .map_err(|error| Error::internal("the runtime cannot start").with_source(error))?;
    // On a worker thread, for its stack: the main thread's is the shell's choice.
    let running = runtime.spawn(dispatch(cli, config));
    let outcome = runtime.block_on(running);
    outcome
        .unwrap_or_else(|error| Err(Error::internal("the command stopped short").with_source(error).into()))
}

async fn dispatch(cli: Cli, config: Result<Config>) -> Outcome {
    let Cli { global, command } = cli;
    let config = match (config, &command) {
        (Ok(config), _) => config,
        // It says what is wrong with the settings itself, and what is wrong besides.
        (error, Command::Doctor(args)) => return doctor::run(&global, error, args).await,
        (Err(error), _) => return Err(Failure::Usage(error)),
    };
    match command {
        Command::Functions(args) => functions::run(&args),
        Command::Check(args) => check::run(open(&config).await?, args).await,
        Command::Demo(args) => demo::run(open(&config).await?, &config, &args).await,
        Command::Doctor(args) => doctor::run(&global, Ok(config), &args).await,
        Command::Erase(args) => erase::run(open(&config).await?, args).await,
        Command::Keys(args) => keys::run(&config, args).await,
        Command::Land(args) => {
            // A landing ends when its rows are safe, and takes little memory; compaction may take more of both.
            let options = EngineOptions { background_compaction: false, ..options(&config) };
            land::run(Engine::open_with(&config.storage.data, options).await?, args).await
        }
        Command::Nightly(args) => nightly::run(open(&config).await?, args).await,
        Command::Query(args) => query::run(open(&config).await?, args).await,
        Command::Serve(args) => serve::run(open(&config).await?, &config, args).await,
        Command::Sql(args) => sql::run(&config, args).await,
        Command::Tables(args) => tables::run(open(&config).await?, args).await,
        Command::Fsck(args) => fsck::run(open(&config).await?, args).await,
        Command::ReadRows(_) => Ok(()),
        Command::Vacuum(args) => vacuum::run(open(&config).await?, args).await,
    }
}

pub(super) async fn open(config: &Config) -> Outcome<Engine> {
    Ok(Engine::open_with(&config.storage.data, options(config)).await?)
}

fn options(config: &Config) -> EngineOptions {
    EngineOptions { reader: read_rows::program(), ..config.engine_options() }
}
