//! An object store that checks what it reads of data files, so that a damaged byte is an error and not another number.
//!
//! Parquet can keep a checksum of each page, but the library does not write it. So the log keeps a checksum of every
//! block of a file, and whatever is read is read in whole blocks.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use twox_hash::XxHash64;

const STORE: &str = "Verified";
/// Small enough that a page is read with little around it, large enough that the log stays short.
const BLOCK_BYTES: u64 = 128 << 10;
/// Files that are remembered before those are forgotten that no snapshot has.
const FEW_FILES: usize = 4096;

/// The checksums of a file's blocks: the lower half of each block's XXH64.
#[derive(Debug, PartialEq, Eq)]
pub struct BlockSums {
    size_bytes: u64,
    sums: Vec<u32>,
}

impl BlockSums {
    pub fn of(bytes: &[u8]) -> Self {
        let sums = bytes.chunks(BLOCK_BYTES as usize).map(sum).collect();
        Self { size_bytes: bytes.len() as u64, sums }
    }

    /// The checksums as the log keeps them.
    pub fn to_text(&self) -> String {
        let bytes: Vec<u8> = self.sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        STANDARD_NO_PAD.encode(bytes)
    }

    /// Reads what the log keeps of a file; `None` if it does not fit the file's size.
    pub fn from_text(text: &str, size_bytes: u64) -> Option<Self> {
        let bytes = STANDARD_NO_PAD.decode(text).ok()?;
        let (sums, rest) = bytes.as_chunks::<4>();
        let sums: Vec<u32> = sums.iter().map(|sum| u32::from_le_bytes(*sum)).collect();
        let is_whole = rest.is_empty() && sums.len() as u64 == size_bytes.div_ceil(BLOCK_BYTES);
        is_whole.then_some(Self { size_bytes, sums })
    }

    /// The whole blocks around a range.
    fn around(&self, range: &Range<u64>) -> Range<u64> {
        let start = range.start / BLOCK_BYTES * BLOCK_BYTES;
        start..(range.end.div_ceil(BLOCK_BYTES) * BLOCK_BYTES).min(self.size_bytes)
    }

    /// Whether the bytes are those of the blocks that begin at a place.
    fn are_of(&self, start: u64, bytes: &[u8]) -> bool {
        let first = (start / BLOCK_BYTES) as usize;
        let blocks = bytes.chunks(BLOCK_BYTES as usize);
        blocks.enumerate().all(|(at, block)| self.sums.get(first + at) == Some(&sum(block)))
    }

    fn resolve(&self, range: Option<&GetRange>) -> Range<u64> {
        match range {
            None => 0..self.size_bytes,
            Some(GetRange::Bounded(range)) => range.start..range.end.min(self.size_bytes),
            Some(GetRange::Offset(start)) => *start..self.size_bytes,
            Some(GetRange::Suffix(length)) => self.size_bytes.saturating_sub(*length)..self.size_bytes,
        }
    }
}

fn sum(block: &[u8]) -> u32 {
    XxHash64::oneshot(0, block) as u32
}

/// The checksums of the files that some snapshot has, by their places in the store.
#[derive(Debug, Default)]
pub struct KnownSums(RwLock<HashMap<Path, Weak<BlockSums>>>);

impl KnownSums {
    /// Has a file checked from now on, for as long as somebody holds what this returns.
    pub fn add(&self, path: Path, sums: BlockSums) -> Arc<BlockSums> {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = known.get(&path).and_then(Weak::upgrade).filter(|held| **held == sums) {
            return held;
        }
        if known.len() >= FEW_FILES && known.len() == known.capacity() {
            known.retain(|_, sums| sums.strong_count() > 0);
        }
        let sums = Arc::new(sums);
        known.insert(path, Arc::downgrade(&sums));
        sums
    }

    fn get(&self, path: &Path) -> Option<Arc<BlockSums>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(path)?.upgrade()
    }
}

#[derive(Debug)]
pub struct Verified {
    inner: Arc<dyn ObjectStore>,
    known: Arc<KnownSums>,
}

impl Verified {
    pub fn new(inner: Arc<dyn ObjectStore>, known: Arc<KnownSums>) -> Self {
        Self { inner, known }
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{STORE}({})", self.inner)
    }
}

fn damaged() -> Error {
    Error::Generic { store: STORE, source: "a block of the file is not as it was written".into() }
}

#[async_trait]
impl ObjectStore for Verified {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let Some(sums) = self.known.get(location).filter(|_| !options.head) else {
            return self.inner.get_opts(location, options).await;
        };
        let range = sums.resolve(options.range.as_ref());
        let whole = sums.around(&range);
        let options = GetOptions { range: Some(GetRange::Bounded(whole.clone())), ..options };
        let found = self.inner.get_opts(location, options).await?;
        let (meta, attributes) = (found.meta.clone(), found.attributes.clone());
        let bytes = found.bytes().await?;
        if bytes.len() as u64 != whole.end - whole.start || !sums.are_of(whole.start, &bytes) {
            return Err(damaged());
        }
        let wanted = cut(&bytes, &whole, &range);
        let payload = GetResultPayload::Stream(stream::once(async { Ok(wanted) }).boxed());
        Ok(GetResult { payload, meta, range, attributes })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let Some(sums) = self.known.get(location) else {
            return self.inner.get_ranges(location, ranges).await;
        };
        let mut wholes: Vec<Range<u64>> = ranges.iter().map(|range| sums.around(range)).collect();
        wholes.sort_unstable_by_key(|whole| whole.start);
        wholes.dedup_by(|next, last| {
            let touches = next.start <= last.end;
            if touches {
                last.end = last.end.max(next.end);
            }
            touches
        });
        let found = self.inner.get_ranges(location, &wholes).await?;
        for (whole, bytes) in wholes.iter().zip(&found) {
            if bytes.len() as u64 != whole.end - whole.start || !sums.are_of(whole.start, bytes) {
                return Err(damaged());
            }
        }
        let wanted = ranges.iter().map(|range| {
            let at = wholes.partition_point(|whole| whole.start <= range.start).checked_sub(1)?;
            (range.end <= wholes[at].end).then(|| cut(&found[at], &wholes[at], range))
        });
        wanted.map(|bytes| bytes.ok_or_else(damaged)).collect()
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A part of the bytes that were read.
fn cut(bytes: &Bytes, read: &Range<u64>, wanted: &Range<u64>) -> Bytes {
    bytes.slice((wanted.start - read.start) as usize..(wanted.end - read.start) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    #[tokio::test]
    async fn what_is_read_is_what_was_written_or_an_error() {
        let written: Vec<u8> = (0..400_000_u32).map(|at| (at % 251) as u8).collect();
        let known = Arc::new(KnownSums::default());
        let (inner, path) = (Arc::new(InMemory::new()), Path::from("a.parquet"));
        let store = Verified::new(inner.clone(), known.clone());
        let sums = known.add(path.clone(), BlockSums::of(&written));
        assert!(Arc::ptr_eq(&sums, &known.add(path.clone(), BlockSums::of(&written))));
        assert_eq!(BlockSums::from_text(&sums.to_text(), 400_000).as_ref(), Some(&*sums));
        assert_eq!(BlockSums::from_text(&sums.to_text(), 4_000_000), None);

        inner.put(&path, written.clone().into()).await.unwrap();
        let ranges = [390_000..400_000, 0..4, 131_000..131_080, 262_144..262_145];
        let read = store.get_ranges(&path, &ranges).await.unwrap();
        for (range, bytes) in ranges.iter().zip(read) {
            assert_eq!(bytes, written[range.start as usize..range.end as usize]);
        }
        let tail =
            store.get_opts(&path, GetOptions { range: Some(GetRange::Suffix(8)), ..Default::default() });
        assert_eq!(tail.await.unwrap().bytes().await.unwrap(), written[399_992..]);
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), written);

        let mut damaged = written.clone();
        damaged[200_000] ^= 1;
        for (bytes, place) in [(damaged, 150_000..150_010), (written[..399_999].to_vec(), 399_000..399_010)] {
            inner.put(&path, bytes.into()).await.unwrap();
            assert!(store.get_range(&path, place).await.is_err());
            assert!(store.get(&path).await.is_err());
            assert_eq!(store.get_range(&path, 5..7).await.unwrap(), written[5..7]);
        }
    }
}
