//! Whom SQL is put to: the lake at hand, or a server elsewhere. In: a text, or a named query, with parameters. Out: a
//! stream of rows, and what there is to ask about. Both answer alike, so that whoever asks need not know which it is.

mod local;
mod remote;
#[cfg(test)]
pub mod tests;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::BoxStream;
use secrecy::SecretString;

use self::local::Local;
use self::remote::Remote;
use super::exit::{Failure, Outcome};
use crate::config::Config;
use crate::engine::{QueryInfo, TableInfo};
use crate::error::Result;
use crate::query::{DataVersion, Params};
use crate::serve::TableSheet;

/// Where to ask.
#[derive(Debug, clap::Args)]
pub struct SourceArgs {
    /// The store; may be left out where there is only one, and where a key names it
    #[arg(long, env = "TRIBUTARY_STORE")]
    store: Option<String>,
    /// Ask a running `tributary serve` instead of the lake at hand
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// The key that the server asks for
    #[arg(long, value_name = "KEY", env = "TRIBUTARY_KEY", hide_env_values = true)]
    key: Option<SecretString>,
}

/// Who answers.
pub enum Source {
    Local(Local),
    Remote(Remote),
}

/// Rows that were read for an answer so far, and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    pub rows: u64,
    pub bytes: u64,
}

/// An answer that is still coming in.
pub struct Reply {
    pub schema: SchemaRef,
    pub batches: BoxStream<'static, Result<RecordBatch>>,
    pub data_version: DataVersion,
    /// What was read for it so far.
    pub reading: Box<dyn Fn() -> Reading + Send + Sync>,
}

impl Source {
    pub async fn open(config: &Config, args: SourceArgs) -> Outcome<Self> {
        Ok(match args.server {
            Some(server) => {
                Source::Remote(Remote::open(&server, args.key, args.store).map_err(Failure::Usage)?)
            }
            None => Source::Local(Local::open(config, args.store).await?),
        })
    }

    /// What the prompt calls it.
    pub fn name(&self) -> &str {
        match self {
            Source::Local(local) => local.store(),
            Source::Remote(remote) => remote.host(),
        }
    }

    /// What happens to the rows that progress counts.
    pub fn verb(&self) -> &'static str {
        match self {
            Source::Local(_) => "read",
            Source::Remote(_) => "received",
        }
    }

    pub async fn sql(&self, text: &str, params: &Params) -> Result<Reply> {
        match self {
            Source::Local(local) => local.sql(text, params).await,
            Source::Remote(remote) => remote.sql(text, params).await,
        }
    }

    /// Asks a named query.
    pub async fn named(&self, name: &str, params: &Params) -> Result<Reply> {
        match self {
            Source::Local(local) => local.named(name, params).await,
            Source::Remote(remote) => remote.named(name, params).await,
        }
    }

    /// Every table, with its rows.
    pub async fn tables(&self) -> Result<Vec<TableInfo>> {
        match self {
            Source::Local(local) => local.tables().await,
            Source::Remote(remote) => remote.tables().await,
        }
    }

    /// One table's columns.
    pub async fn table(&self, name: &str) -> Result<TableSheet> {
        match self {
            Source::Local(local) => local.table(name),
            Source::Remote(remote) => remote.table(name).await,
        }
    }

    /// Every named query.
    pub async fn queries(&self) -> Result<Vec<QueryInfo>> {
        match self {
            Source::Local(local) => Ok(local.queries()),
            Source::Remote(remote) => remote.queries().await,
        }
    }
}
