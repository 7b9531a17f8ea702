//! `tributary keys`: who may do what.

use std::io::Write as _;

use clap::Subcommand;
use secrecy::ExposeSecret as _;

use super::exit::Outcome;
use crate::config::Config;
use crate::error::Error;
use crate::serve::keys::{self, Freshness, Scope};

/// Makes, lists and revokes API keys. A key is kept as a hash only and shown once.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The keys are kept with the lake, as `keys.json` in its folder or bucket. Every server of the lake reads them there.

Examples:
  tributary keys create --store my-shop --scope land
  tributary keys create --store my-shop --scope query --scope land
  tributary keys list
  tributary keys revoke ID")]
pub struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Makes a key for one store and prints it, this once
    #[command(after_help = "Example:\n  tributary keys create --store my-shop --scope query")]
    Create {
        /// The store that the key opens
        #[arg(long, env = "TRIBUTARY_STORE")]
        store: String,
        /// What the key allows; may be repeated
        #[arg(long, required = true, value_enum)]
        scope: Vec<KeyScope>,
    },
    /// Lists keys by their ids, without their secrets
    #[command(after_help = "Example:\n  tributary keys list")]
    List,
    /// Revokes a key: servers refuse it from the next request on, or within 3 seconds if the lake is in a bucket
    #[command(after_help = "Example:\n  tributary keys revoke ID")]
    Revoke {
        /// The id, as `tributary keys list` shows it
        id: String,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum KeyScope {
    /// Land rows
    Land,
    /// Ask queries and SQL
    Query,
    /// Everything, the nightly batch among it
    Admin,
}

impl From<KeyScope> for Scope {
    fn from(scope: KeyScope) -> Self {
        match scope {
            KeyScope::Land => Scope::Land,
            KeyScope::Query => Scope::Query,
            KeyScope::Admin => Scope::Admin,
        }
    }
}

/// Says when servers refuse a key that is revoked now.
fn refused_from(freshness: Freshness) -> String {
    match freshness {
        Freshness::AtOnce => "servers refuse the key from the next request on".to_owned(),
        Freshness::Within { usual, outage } => format!(
            "servers refuse the key within {} seconds; a server that cannot read the bucket meanwhile, within {} seconds",
            usual.as_secs(),
            outage.as_secs()
        ),
    }
}

pub async fn run(config: &Config, args: KeysArgs) -> Outcome {
    let data = &config.storage.data;
    let mut out = std::io::stdout();
    match args.command {
        KeysCommand::Create { store, scope } => {
            let scopes: Vec<Scope> = scope.into_iter().map(Scope::from).collect();
            let secret = keys::create(data, &store, &scopes).await?;
            eprintln!("keep this key: it is not shown again");
            writeln!(out, "{}", secret.expose_secret())?;
        }
        KeysCommand::List => {
            for key in keys::list(data).await? {
                let line = serde_json::to_string(&key)
                    .map_err(|error| Error::internal("the list cannot be written").with_source(error))?;
                writeln!(out, "{line}")?;
            }
        }
        KeysCommand::Revoke { id } => {
            eprintln!("revoked: {}", refused_from(keys::revoke(data, &id).await?));
        }
    }
    Ok(())
}
