//! A small S3 server on this machine, over a store in memory: it can ignore conditional puts, and refuse as S3 does.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion,
};

pub const BUCKET: &str = "lake";

/// The way in which the server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As S3 does.
    Sound,
    /// `If-None-Match` and `If-Match` of puts are ignored, as old versions of some servers do.
    IgnoresConditions,
    /// Every request is refused by this status and code.
    Refuses(StatusCode, &'static str),
}

#[derive(Debug)]
struct Served {
    store: InMemory,
    manner: Manner,
}

/// A server that ends with the runtime that it was started on.
pub struct FakeS3 {
    address: SocketAddr,
    served: Arc<Served>,
}

impl FakeS3 {
    pub async fn start(manner: Manner) -> Self {
        let served = Arc::new(Served { store: InMemory::new(), manner });
        let router = Router::new().fallback(answer).with_state(served.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, served }
    }

    /// The environment in which a process finds the server.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        environment(self.address)
    }

    /// The names of all objects.
    pub async fn names(&self) -> Vec<String> {
        let objects: Vec<ObjectMeta> = self.served.store.list(None).try_collect().await.unwrap();
        objects.into_iter().map(|object| object.location.to_string()).collect()
    }
}

pub fn environment(address: SocketAddr) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL", format!("http://{address}")),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "tributary".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "tributary-secret".to_owned()),
    ]
}

async fn answer(
    State(served): State<Arc<Served>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Manner::Refuses(status, code) = served.manner {
        return refusal(status, code);
    }
    let key = uri.path().trim_start_matches('/').strip_prefix(BUCKET).unwrap_or_default();
    let key = Path::from_url_path(key).unwrap();
    let query = uri.query().unwrap_or_default();
    let answered = match method {
        Method::GET if query.contains("list-type=2") => list(&served.store, query).await,
        Method::POST if query.contains("delete") => delete_all(&served.store, &body).await,
        Method::PUT => put(&served, &key, &headers, body).await,
        Method::DELETE => served.store.delete(&key).await.map(|()| StatusCode::NO_CONTENT.into_response()),
        _ => get(&served.store, &key, &method, &headers).await,
    };
    answered.unwrap_or_else(|error| match error {
        Error::NotFound { .. } => refusal(StatusCode::NOT_FOUND, "NoSuchKey"),
        Error::AlreadyExists { .. } | Error::Precondition { .. } => {
            refusal(StatusCode::PRECONDITION_FAILED, "PreconditionFailed")
        }
        Error::NotModified { .. } => StatusCode::NOT_MODIFIED.into_response(),
        error => panic!("{method} {uri}: {error}"),
    })
}

/// An error as S3 writes it.
fn refusal(status: StatusCode, code: &str) -> Response {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code></Error>");
    (status, [(header::CONTENT_TYPE, "application/xml")], text).into_response()
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().unwrap().to_owned())
}

/// The store keeps etags without quotes.
fn unquoted(e_tag: &str) -> String {
    e_tag.trim_matches('"').to_owned()
}

fn described(meta: &ObjectMeta) -> [(HeaderName, String); 2] {
    let modified = meta.last_modified.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    [(header::ETAG, format!("\"{}\"", meta.e_tag.as_deref().unwrap())), (header::LAST_MODIFIED, modified)]
}

async fn put(
    served: &Served,
    key: &Path,
    headers: &HeaderMap,
    body: Bytes,
) -> object_store::Result<Response> {
    let mode = match (text(headers, header::IF_NONE_MATCH), text(headers, header::IF_MATCH)) {
        _ if served.manner == Manner::IgnoresConditions => PutMode::Overwrite,
        (Some(_), _) => PutMode::Create,
        (None, Some(e_tag)) => {
            PutMode::Update(UpdateVersion { e_tag: Some(unquoted(&e_tag)), version: None })
        }
        (None, None) => PutMode::Overwrite,
    };
    let put = served.store.put_opts(key, PutPayload::from(body), mode.into()).await?;
    Ok([(header::ETAG, format!("\"{}\"", put.e_tag.unwrap()))].into_response())
}

async fn get(
    store: &InMemory,
    key: &Path,
    method: &Method,
    headers: &HeaderMap,
) -> object_store::Result<Response> {
    let range = text(headers, header::RANGE).map(|range| {
        let (from, to) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        match (from.parse::<u64>(), to.parse::<u64>()) {
            (Ok(from), Ok(to)) => GetRange::Bounded(from..to + 1),
            (Ok(from), Err(_)) => GetRange::Offset(from),
            (Err(_), to) => GetRange::Suffix(to.unwrap()),
        }
    });
    let if_none_match = text(headers, header::IF_NONE_MATCH).map(|e_tag| unquoted(&e_tag));
    let is_part = range.is_some();
    let found = store.get_opts(key, GetOptions { range, if_none_match, ..GetOptions::default() }).await?;
    let (meta, range) = (found.meta.clone(), found.range.clone());
    let mut answer = if method == Method::HEAD {
        [(header::CONTENT_LENGTH, meta.size.to_string())].into_response()
    } else {
        found.bytes().await?.into_response()
    };
    if is_part {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        let of = format!("bytes {}-{}/{}", range.start, range.end - 1, meta.size);
        answer.headers_mut().insert(header::CONTENT_RANGE, of.parse().unwrap());
    }
    for (name, value) in described(&meta) {
        answer.headers_mut().insert(name, value.parse().unwrap());
    }
    Ok(answer)
}

async fn list(store: &InMemory, query: &str) -> object_store::Result<Response> {
    let parameter = |name: &str| {
        let found = url::form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name);
        found.map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let (prefix, after) = (parameter("prefix"), parameter("start-after"));
    let objects: Vec<ObjectMeta> = store.list(None).try_collect().await?;
    let entries: String = objects
        .iter()
        .filter(|object| object.location.as_ref().starts_with(&prefix) && object.location.as_ref() > after.as_str())
        .map(|object| {
            let modified = object.last_modified.to_rfc3339();
            let e_tag = object.e_tag.as_deref().unwrap();
            format!(
                "<Contents><Key>{}</Key><LastModified>{modified}</LastModified><ETag>{e_tag}</ETag><Size>{}</Size></Contents>",
                object.location, object.size
            )
        })
        .collect();
    let text = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>");
    Ok(([(header::CONTENT_TYPE, "application/xml")], text).into_response())
}

async fn delete_all(store: &InMemory, body: &Bytes) -> object_store::Result<Response> {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let mut deleted = String::new();
    for key in text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next()) {
        match store.delete(&Path::from(key)).await {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        deleted.extend(["<Deleted><Key>", key, "</Key></Deleted>"]);
    }
    let text = format!("<DeleteResult>{deleted}</DeleteResult>");
    Ok(([(header::CONTENT_TYPE, "application/xml")], text).into_response())
}
