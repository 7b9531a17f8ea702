//! A server elsewhere, asked over HTTP; rows come as an Arrow stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::error::ArrowError;
use arrow_ipc::reader::StreamDecoder;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::{Client, RequestBuilder, Response, header, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use url::{Host, Url};

use super::{Reading, Reply};
use crate::engine::{QueryInfo, TableInfo};
use crate::error::{Error, ErrorKind, Place, Result};
use crate::query::Params;
use crate::serve::TableSheet;
use crate::serve::encode::Format;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The most of a refusal, or of a list, that is read.
const DOCUMENT_BYTES: usize = 8 << 20;
/// How an Arrow stream ends.
const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// A server, and the key that opens it.
pub struct Remote {
    client: Client,
    /// Ends with a slash, so that paths are put behind it.
    base: Url,
    host: String,
    key: Option<SecretString>,
    store: Option<String>,
}

/// An error as the server writes it.
#[derive(serde::Deserialize)]
struct Refusal {
    code: String,
    detail: String,
    request_id: Option<String>,
    place: Option<Place>,
}

impl Remote {
    pub fn open(server: &str, key: Option<SecretString>, store: Option<String>) -> Result<Self> {
        let base = base_of(server)?;
        let host = match (base.host_str(), base.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let is_loopback = match base.host() {
            Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        // The key goes to this server and to no other.
        let client = Client::builder().redirect(redirect::Policy::none()).connect_timeout(CONNECT_TIMEOUT);
        let client = if is_loopback { client.no_proxy() } else { client };
        let client = client
            .build()
            .map_err(|error| Error::internal("the HTTP client cannot start").with_source(error))?;
        Ok(Self { client, base, host, key, store })
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub async fn sql(&self, text: &str, params: &Params) -> Result<Reply> {
        let question = serde_json::json!({ "sql": text, "params": params });
        let request = self.client.post(self.url(&["v1", "sql"])?);
        let request = request.header(header::CONTENT_TYPE, "application/json").body(question.to_string());
        self.rows(request).await
    }

    pub async fn named(&self, name: &str, params: &Params) -> Result<Reply> {
        let mut url = self.url(&["v1", "queries"])?;
        extend(&mut url, name.split('/'))?;
        url.query_pairs_mut().extend_pairs(params);
        self.rows(self.client.get(url)).await
    }

    pub async fn tables(&self) -> Result<Vec<TableInfo>> {
        #[derive(serde::Deserialize)]
        struct Tables {
            tables: Vec<TableInfo>,
        }
        Ok(self.document::<Tables>(&["v1", "tables"]).await?.tables)
    }

    pub async fn table(&self, name: &str) -> Result<TableSheet> {
        self.document(&["v1", "tables", name]).await
    }

    pub async fn queries(&self) -> Result<Vec<QueryInfo>> {
        #[derive(serde::Deserialize)]
        struct Queries {
            queries: Vec<QueryInfo>,
        }
        Ok(self.document::<Queries>(&["v1", "queries"]).await?.queries)
    }

    fn url(&self, path: &[&str]) -> Result<Url> {
        let mut url = self.base.clone();
        extend(&mut url, path.iter().copied())?;
        if let Some(store) = &self.store {
            url.query_pairs_mut().append_pair("store", store);
        }
        Ok(url)
    }

    async fn document<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T> {
        let response = self.send(self.client.get(self.url(path)?)).await?;
        let body = body(response).await?;
        serde_json::from_slice(&body).map_err(|error| not_ours().with_source(error))
    }

    async fn rows(&self, request: RequestBuilder) -> Result<Reply> {
        let request = request.header(header::ACCEPT, Format::Arrow.content_type());
        let response = self.send(request).await?;
        let data_version = response.headers().get("tributary-data-version");
        let data_version =
            data_version.and_then(|version| version.to_str().ok()).unwrap_or_default().to_owned().into();
        let received = Arc::new(Received::default());
        let counted = Arc::clone(&received);
        let body = response.bytes_stream().map_err(|error| cut().with_source(error.without_url()));
        let body = body.inspect_ok(move |bytes| {
            counted.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        });
        let mut decoding = Decoding::of(body.boxed());
        // The schema comes first, and with it all that is needed to begin.
        let first = decoding.next().await?;
        let schema = decoding.decoder.schema().ok_or_else(not_ours)?;
        let counted = Arc::clone(&received);
        let batches = futures::stream::iter(first.map(Ok))
            .chain(futures::stream::try_unfold(decoding, |mut decoding| async move {
                Ok(decoding.next().await?.map(|batch| (batch, decoding)))
            }))
            .inspect_ok(move |batch| {
                counted.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            });
        let reading = move || Reading {
            rows: received.rows.load(Ordering::Relaxed),
            bytes: received.bytes.load(Ordering::Relaxed),
        };
        Ok(Reply { schema, batches: batches.boxed(), data_version, reading: Box::new(reading) })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let request = match &self.key {
            Some(key) => request.bearer_auth(key.expose_secret()),
            None => request,
        };
        let response = request.send().await.map_err(|error| no_answer(&self.host, error))?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
    }
}

/// Says what keeps a server from answering.
fn no_answer(host: &str, error: reqwest::Error) -> Error {
    // What encrypting failed of is told by the text of an inner error alone.
    let cause = if format!("{error:?}").contains("InvalidCertificate") {
        "has a certificate that is not trusted here: name the file of its authority in SSL_CERT_FILE"
    } else {
        "does not answer: is `tributary serve` running there, and is it https:// or http://?"
    };
    Error::unavailable(format!("the server at {host} {cause}")).with_source(error.without_url())
}

/// What has come in so far.
#[derive(Default)]
struct Received {
    rows: AtomicU64,
    bytes: AtomicU64,
}

/// Turns pieces of a body into batches.
struct Decoding {
    body: BoxStream<'static, Result<Bytes>>,
    decoder: StreamDecoder,
    left: Buffer,
    /// The last bytes that came.
    tail: Vec<u8>,
}

impl Decoding {
    fn of(body: BoxStream<'static, Result<Bytes>>) -> Self {
        let left = Buffer::from(Vec::<u8>::new());
        Self { body, decoder: StreamDecoder::new(), left, tail: Vec::new() }
    }

    /// The next batch; an answer that was cut is an error, never an end.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let unreadable = |error: ArrowError| not_ours().with_source(error);
            if let Some(batch) = self.decoder.decode(&mut self.left).map_err(unreadable)? {
                return Ok(Some(batch));
            }
            let Some(bytes) = self.body.try_next().await? else {
                // The decoder takes an end between two batches for the end of all.
                return if self.tail.ends_with(&END) { Ok(None) } else { Err(cut()) };
            };
            self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(END.len())..]);
            self.tail.drain(..self.tail.len().saturating_sub(END.len()));
            self.left = Buffer::from(bytes);
        }
    }
}

fn base_of(server: &str) -> Result<Url> {
    let wrong = || {
        Error::invalid(
            "--server has to be a URL such as https://analytics.example.com or http://127.0.0.1:8080",
        )
    };
    let mut url = Url::parse(server).map_err(|error| wrong().with_source(error))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::invalid("--server takes no password: give the key by --key or TRIBUTARY_KEY"));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// Puts parts behind a path.
fn extend<'a>(url: &mut Url, parts: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut path = url.path_segments_mut().map_err(|()| Error::internal("the server's URL has no path"))?;
    path.pop_if_empty().extend(parts);
    Ok(())
}

async fn body(response: Response) -> Result<Vec<u8>> {
    let mut stream = response.bytes_stream();
    let mut body = Vec::new();
    while let Some(bytes) = stream.try_next().await.map_err(|error| cut().with_source(error.without_url()))? {
        if body.len() + bytes.len() > DOCUMENT_BYTES {
            return Err(not_ours());
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

/// The error that the server tells of.
async fn refusal(response: Response) -> Error {
    let status = response.status();
    let document = match body(response).await {
        Ok(body) => serde_json::from_slice::<Refusal>(&body).ok(),
        Err(error) => return error,
    };
    let Some(document) = document else {
        return Error::unavailable(format!("the server answered {status}: is it tributary's?"));
    };
    let kind = ErrorKind::ALL.into_iter().find(|kind| kind.code() == document.code);
    let kind = kind.unwrap_or(ErrorKind::Unavailable);
    let message = match (kind, document.request_id) {
        (ErrorKind::Internal, Some(id)) => format!("the server failed; its log has the details under {id}"),
        _ => document.detail,
    };
    Error::new(kind, message).with_place(document.place)
}

fn cut() -> Error {
    Error::unavailable("the answer was cut before its end: ask again")
}

fn not_ours() -> Error {
    Error::unavailable("the server's answer cannot be read: is it tributary's, and of this version?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_a_url_without_secrets() {
        let remote = Remote::open("http://127.0.0.1:8080/lake", None, Some("my shop".into())).unwrap();
        assert_eq!(remote.host(), "127.0.0.1:8080");
        assert_eq!(
            remote.url(&["v1", "tables", "a/b"]).unwrap().as_str(),
            "http://127.0.0.1:8080/lake/v1/tables/a%2Fb?store=my+shop"
        );
        for wrong in ["127.0.0.1:8080", "ftp://x", "", "http://"] {
            let error = Remote::open(wrong, None, None).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{wrong}");
        }
        let error = Remote::open("http://me:hush@x/", None, None).err().unwrap();
        assert!(error.message().contains("--key") && !error.message().contains("hush"), "{error}");
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_is_an_error_whatever_was_read_of_it() {
        let numbers: arrow::array::ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![1, 2, 3]));
        let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        let mut writer = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        let whole = writer.into_inner().unwrap();
        for length in 0..=whole.len() {
            // In small pieces, as a network brings them.
            let pieces: Vec<Result<Bytes>> =
                whole[..length].chunks(7).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            let mut decoding = Decoding::of(futures::stream::iter(pieces).boxed());
            let outcome = loop {
                match decoding.next().await {
                    Ok(Some(read)) => assert_eq!(read, batch),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            assert_eq!(outcome.is_ok(), length == whole.len(), "{length} of {} bytes", whole.len());
        }
    }
}
