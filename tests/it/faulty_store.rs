//! An object store that fails as real ones do, by a seed: before it does what was asked, after it, slowly, or half.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Nothing was done.
    Before,
    /// It was done, and the answer was lost.
    After,
    /// It takes a while.
    Delay,
    /// Half of the bytes come.
    Truncated,
}

#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    random: Mutex<ChaCha8Rng>,
    /// Of so many calls one goes wrong.
    one_in: u32,
    pub is_faulty: AtomicBool,
}

impl FaultyStore {
    pub fn new(inner: Arc<dyn ObjectStore>, seed: u64, one_in: u32) -> Self {
        let random = Mutex::new(ChaCha8Rng::seed_from_u64(seed));
        Self { inner, random, one_in, is_faulty: AtomicBool::new(true) }
    }

    async fn fault(&self, kinds: &[Fault]) -> Option<Fault> {
        let fault = {
            let mut random = self.random.lock().unwrap();
            let is_due = random.random_ratio(1, self.one_in) && self.is_faulty.load(Relaxed);
            is_due.then(|| kinds[random.random_range(0..kinds.len())])
        };
        if fault == Some(Fault::Delay) {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        fault
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

fn failed() -> Error {
    Error::Generic { store: "FaultyStore", source: "503 Slow Down".into() }
}

fn half(bytes: &Bytes) -> Bytes {
    bytes.slice(..bytes.len() / 2)
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let fault = self.fault(&[Fault::Before, Fault::After, Fault::Delay]).await;
        if fault == Some(Fault::Before) {
            return Err(failed());
        }
        let put = self.inner.put_opts(location, payload, opts).await;
        if fault == Some(Fault::After) { Err(failed()) } else { put }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let is_head = options.head;
        let fault = self.fault(&[Fault::Before, Fault::Delay, Fault::Truncated]).await;
        if fault == Some(Fault::Before) {
            return Err(failed());
        }
        let found = self.inner.get_opts(location, options).await?;
        if fault != Some(Fault::Truncated) || is_head {
            return Ok(found);
        }
        let (meta, range, attributes) = (found.meta.clone(), found.range.clone(), found.attributes.clone());
        let bytes = half(&found.bytes().await?);
        // A client of HTTP notices that fewer bytes came than were announced.
        let cut = [Ok(bytes), Err(failed())];
        let payload = GetResultPayload::Stream(stream::iter(cut).boxed());
        Ok(GetResult { payload, meta, range, attributes })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match self.fault(&[Fault::Before, Fault::Delay, Fault::Truncated]).await {
            Some(Fault::Before) => Err(failed()),
            // Nobody notices this but who checks what comes.
            Some(Fault::Truncated) => {
                let found = self.inner.get_ranges(location, ranges).await?;
                Ok(found.iter().map(half).collect())
            }
            _ => self.inner.get_ranges(location, ranges).await,
        }
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
        // A list may be old: what was written last is not in it yet.
        let is_old = {
            let mut random = self.random.lock().unwrap();
            random.random_ratio(1, self.one_in) && self.is_faulty.load(Relaxed)
        };
        let listed = self.inner.list_with_offset(prefix, offset);
        if !is_old {
            return listed;
        }
        let older = async move {
            let mut listed: Vec<ObjectMeta> = listed.try_collect().await?;
            listed.sort_by(|a, b| a.location.cmp(&b.location));
            listed.pop();
            Ok::<_, Error>(stream::iter(listed.into_iter().map(Ok)))
        };
        stream::once(older).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
