//! Answers out: HTTP now; Flight SQL and the Postgres protocol beside it later. This room translates
//! between wire and engine, and decides nothing about data.
#![allow(unused_variables, clippy::unused_async)]

use std::future::Future;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::engine::Engine;
use crate::error::Result;

#[derive(Debug, Clone)]
pub struct ServeOptions {
    pub data: String,
    pub open: bool,
}

pub async fn verify(options: &ServeOptions, address: SocketAddr) -> Result<()> {
    todo!()
}

pub async fn serve(
    engine: Engine,
    options: ServeOptions,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    todo!()
}

pub mod encode {
    use arrow::array::RecordBatch;
    use arrow::datatypes::SchemaRef;

    use crate::error::Result;

    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum Format {
        Json,
        Ndjson,
        Csv,
        Arrow,
        Parquet,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum Numbers {
        #[default]
        Exact,
        Float,
    }

    #[derive(Debug, Clone, Default)]
    pub struct EncodeOptions {
        pub numbers: Numbers,
        pub data_version: String,
    }

    pub struct Encoder;

    impl Encoder {
        pub fn new(format: Format, schema: &SchemaRef, options: &EncodeOptions) -> Result<Self> {
            todo!()
        }

        pub fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
            todo!()
        }

        pub fn finish(self, out: &mut Vec<u8>) -> Result<()> {
            todo!()
        }
    }
}

pub mod keys {
    use secrecy::SecretString;

    use crate::error::Result;

    #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Scope {
        Land,
        Query,
        Admin,
    }

    #[derive(Debug, Clone, serde::Serialize)]
    pub struct KeyInfo {
        pub id: String,
        pub store: String,
        pub scopes: Vec<Scope>,
    }

    pub async fn create(data: &str, store: &str, scopes: &[Scope]) -> Result<SecretString> {
        todo!()
    }

    pub async fn list(data: &str) -> Result<Vec<KeyInfo>> {
        todo!()
    }

    pub async fn revoke(data: &str, id: &str) -> Result<()> {
        todo!()
    }
}
