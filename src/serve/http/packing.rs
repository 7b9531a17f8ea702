//! How the bytes of an answer are packed: as the client takes them, if it is worth it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::{self, Write as _};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, header};
use axum::response::Response;
use tower_http::compression::Compression;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_service::Service;

/// Shorter answers are sent as they are: a packet has as much.
const LEAST_BYTES: usize = 1_024;
/// Answers that are kept are packed once.
const ZSTD_LEVEL: i32 = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    /// The packing that the client likes best; of two that it likes alike, the denser one.
    pub fn choose(headers: &HeaderMap) -> Self {
        let accepted =
            headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let weighted = accepted.flat_map(|value| value.split(',')).filter_map(|item| {
            let (name, weight) = item.split_once(';').unwrap_or((item, "q=1"));
            let packing = match name.trim() {
                name if name.eq_ignore_ascii_case("zstd") => Self::Zstd,
                name if name.eq_ignore_ascii_case("gzip") => Self::Gzip,
                _ => return None,
            };
            let weight: f32 = weight.trim().strip_prefix("q=")?.trim().parse().ok()?;
            (weight > 0.0).then_some((weight, packing))
        });
        let best = weighted.max_by(|(a, this), (b, other)| {
            a.total_cmp(b).then_with(|| (*this == Self::Zstd).cmp(&(*other == Self::Zstd)))
        });
        best.map_or(Self::Plain, |(_, packing)| packing)
    }

    /// As `Content-Encoding` names it; `None` for plain bytes.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// Names the packed bytes of an answer with a validator.
    pub fn key(self, etag: &str) -> String {
        format!("{etag}-{}", self.name().unwrap_or_default())
    }

    /// Packs bytes, if they are enough. Returns how they are packed, too.
    pub fn pack(self, bytes: Vec<u8>) -> io::Result<(Vec<u8>, Self)> {
        if bytes.len() < LEAST_BYTES {
            return Ok((bytes, Self::Plain));
        }
        let packed = match self {
            Self::Plain => bytes,
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(&bytes)?;
                encoder.finish()?
            }
            Self::Zstd => zstd::bulk::compress(&bytes, ZSTD_LEVEL)?,
        };
        Ok((packed, self))
    }
}

/// The packings that the client of a request takes.
pub struct AcceptedPackings(Vec<HeaderValue>);

impl AcceptedPackings {
    pub fn of(headers: &HeaderMap) -> Self {
        Self(headers.get_all(header::ACCEPT_ENCODING).iter().cloned().collect())
    }

    /// Packs an answer as it is sent, unless it is packed, or not worth it.
    pub async fn pack(self, response: Response) -> Response {
        if self.0.is_empty() || response.headers().contains_key(header::CONTENT_ENCODING) {
            return response;
        }
        // Arrow and Parquet answers are packed by themselves, or fast because they are not.
        let worth_it = SizeAbove::new(LEAST_BYTES as u16)
            .and(NotForContentType::const_new("application/vnd.apache"))
            .and(NotForContentType::const_new("application/vnd.openxmlformats"))
            .and(NotForContentType::IMAGES)
            .and(NotForContentType::SSE);
        let mut request = Request::new(());
        let headers = self.0.into_iter().map(|value| (header::ACCEPT_ENCODING, value));
        request.headers_mut().extend(headers);
        let packing = Compression::new(Made(Some(response))).compress_when(worth_it).call(request);
        packing.await.unwrap_or_else(|never: Infallible| match never {}).map(Body::new)
    }
}

/// A service whose answer is made already.
struct Made(Option<Response>);

impl Service<Request<()>> for Made {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(self.0.take().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_packing_is_what_the_client_likes_best() {
        for (accepted, packing) in [
            ("gzip, deflate, br, zstd", Packing::Zstd),
            ("zstd;q=0.5, gzip", Packing::Gzip),
            ("GZIP;q=0.1", Packing::Gzip),
            ("zstd;q=0, br", Packing::Plain),
            ("gzip;q=x", Packing::Plain),
            ("", Packing::Plain),
        ] {
            let headers =
                HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
            assert_eq!(Packing::choose(&headers), packing, "{accepted}");
        }
        assert_eq!(Packing::choose(&HeaderMap::new()), Packing::Plain);
    }

    #[test]
    fn a_short_answer_is_not_packed() {
        assert_eq!(Packing::Gzip.pack(vec![7; 1_023]).unwrap().1, Packing::Plain);
        let (packed, packing) = Packing::Zstd.pack(vec![7; 2_000]).unwrap();
        assert_eq!(packing, Packing::Zstd);
        assert_eq!(zstd::bulk::decompress(&packed, 10_000).unwrap(), vec![7; 2_000]);
    }
}
