//! `tributary sql`: any read-only SQL, once or in a shell.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use super::args::parse_param;
use super::exit::{Failure, Outcome};
use super::output::OutputArgs;
use super::progress::Waiting;
use super::shell;
use super::source::{Source, SourceArgs};
use crate::config::Config;
use crate::query::Params;

/// Runs read-only SQL over the tables of one store; a shell where no SQL is given.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without FILE and -c, on a terminal, a shell reads statements: Tab completes, \\? lists its commands, \\q leaves.
With --server the same is asked of a running `tributary serve`, and the answers are the same.

Examples:
  tributary sql --store my-shop
  tributary sql --server https://analytics.example.com --key $KEY
  tributary sql -c 'select channel, sum(cost) from touchpoints group by channel' --store my-shop
  tributary sql report.sql --param start=2026-01-01 --format csv > report.csv
  tributary sql -c 'select * from orders' --format parquet -o orders.parquet
  echo 'select 1' | tributary sql --format json")]
pub struct SqlArgs {
    /// A file of SQL, or - for standard input, which is read as well where neither file nor -c is given
    #[arg(value_name = "FILE", conflicts_with = "command")]
    file: Option<PathBuf>,
    /// The SQL itself
    #[arg(long, short, value_name = "TEXT")]
    command: Option<String>,
    #[command(flatten)]
    source: SourceArgs,
    /// A value for $name, bound and never pasted; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parse_param)]
    params: Vec<(String, String)>,
    #[command(flatten)]
    output: OutputArgs,
}

impl SqlArgs {
    /// Whether a server is asked, not the lake at hand.
    pub fn names_server(&self) -> bool {
        self.source.server.is_some()
    }

    /// Whether somebody sits there and has not said what to ask.
    fn is_shell(&self) -> bool {
        let has_text = self.file.is_some() || self.command.is_some() || self.output.is_file();
        !has_text && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
    }
}

pub async fn run(config: &Config, args: SqlArgs) -> Outcome {
    args.output.verify()?;
    let is_shell = args.is_shell();
    let text = if is_shell { String::new() } else { read_text(&args)? };
    let params: Params = args.params.into_iter().collect();
    let source = Source::open(config, args.source).await?;
    if is_shell {
        return shell::run(source, params, &args.output).await;
    }
    let waiting = Waiting::start(source.verb());
    let reply = source.sql(&text, &params).await.map_err(|error| Failure::in_text(error, &text))?;
    waiting.look_at(reply.reading);
    let mut out = waiting.before(std::io::stdout());
    args.output.write_over(&mut out, reply.schema, reply.batches, reply.data_version).await
}

fn read_text(args: &SqlArgs) -> Outcome<String> {
    if let Some(text) = &args.command {
        return Ok(text.clone());
    }
    let unreadable = |error: std::io::Error| {
        Failure::usage(format!("the SQL cannot be read: {error}; give a file, -c TEXT or standard input"))
    };
    match args.file.as_deref().filter(|file| *file != Path::new("-")) {
        Some(file) => std::fs::read_to_string(file).map_err(unreadable),
        None if std::io::stdin().is_terminal() => {
            Err(Failure::usage("no SQL was given: name a file, add -c TEXT or pipe it in"))
        }
        None => {
            let mut text = String::new();
            std::io::stdin().lock().read_to_string(&mut text).map_err(unreadable)?;
            Ok(text)
        }
    }
}
