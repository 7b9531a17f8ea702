//! An object store that fails as real ones do, by a seed: before it does what was asked, after it, slowly, or half; for
//! want of room, or because too much is asked of it.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::drill::Figures;

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Nothing was done.
    Before,
    /// It was done, and the answer was lost.
    After,
    /// It takes a while.
    Delay,
    /// Half of what was asked for comes.
    Half,
    /// There is no room left.
    Full,
    /// The list lacks what was written last.
    Old,
    /// Nothing was done, and the next calls fail as well.
    Throttled,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Fault::Before => "failures before",
            Fault::After => "failures after",
            Fault::Delay => "delays",
            Fault::Half => "halves",
            Fault::Full => "disks without room",
            Fault::Old => "old lists",
            Fault::Throttled => "throttled calls",
        }
    }

    /// The error that its caller gets instead of an answer.
    fn error(self) -> Error {
        let source = match self {
            Fault::Full => io::Error::from(io::ErrorKind::StorageFull).into(),
            Fault::Throttled => "429 Too Many Requests".into(),
            _ => "503 Slow Down".into(),
        };
        Error::Generic { store: "FaultyStore", source }
    }

    fn is_refusal(self) -> bool {
        matches!(self, Fault::Before | Fault::Full | Fault::Throttled)
    }
}

/// Draws the fates of calls.
#[derive(Debug)]
struct Faults {
    random: Mutex<ChaCha8Rng>,
    /// Of so many calls one goes wrong.
    one_in: AtomicU32,
    is_faulty: AtomicBool,
    /// Calls that are yet to be throttled.
    throttled: Mutex<u32>,
    figures: Mutex<Figures>,
}

impl Faults {
    fn next(&self, kinds: &[Fault]) -> Option<Fault> {
        if !self.is_faulty.load(Relaxed) {
            return None;
        }
        let mut throttled = self.throttled.lock().unwrap();
        let fault = if *throttled > 0 {
            *throttled -= 1;
            Some(Fault::Throttled)
        } else {
            let mut random = self.random.lock().unwrap();
            let is_due = random.random_ratio(1, self.one_in.load(Relaxed));
            // A fault more than the call's own kinds: a storm of refusals.
            let kind = is_due.then(|| random.random_range(0..=kinds.len()));
            let fault = kind.map(|kind| kinds.get(kind).copied().unwrap_or(Fault::Throttled));
            if fault == Some(Fault::Throttled) {
                *throttled = random.random_range(1..8);
            }
            fault
        };
        if let Some(fault) = fault {
            self.figures.lock().unwrap().add(fault.name(), 1);
        }
        fault
    }

    /// Draws the fault of a call that is not refused at once.
    async fn begin(&self, kinds: &[Fault]) -> Result<Option<Fault>> {
        let fault = self.next(kinds);
        if fault == Some(Fault::Delay) {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        match fault.filter(|fault| fault.is_refusal()) {
            Some(refusal) => Err(refusal.error()),
            None => Ok(fault),
        }
    }
}

/// Loses an answer.
fn end<T>(fault: Option<Fault>, answer: Result<T>) -> Result<T> {
    if fault == Some(Fault::After) { answer.and(Err(Fault::After.error())) } else { answer }
}

#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    faults: Arc<Faults>,
}

impl FaultyStore {
    pub fn new(inner: Arc<dyn ObjectStore>, seed: u64, one_in: u32) -> Self {
        let faults = Faults {
            random: Mutex::new(ChaCha8Rng::seed_from_u64(seed)),
            one_in: AtomicU32::new(one_in),
            is_faulty: AtomicBool::new(true),
            throttled: Mutex::default(),
            figures: Mutex::default(),
        };
        Self { inner, faults: Arc::new(faults) }
    }

    /// Lets one of so many calls go wrong from now on.
    pub fn set_one_in(&self, one_in: u32) {
        self.faults.one_in.store(one_in, Relaxed);
    }

    /// Fails no more; gives what went wrong.
    pub fn mend(&self) -> Figures {
        self.faults.is_faulty.store(false, Relaxed);
        std::mem::take(&mut self.faults.figures.lock().unwrap())
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

fn half(bytes: &Bytes) -> Bytes {
    bytes.slice(..bytes.len() / 2)
}

/// A list that may end with an error, or be old.
async fn listed(
    faults: Arc<Faults>,
    kinds: &'static [Fault],
    list: BoxStream<'static, Result<ObjectMeta>>,
) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
    let fault = faults.begin(kinds).await?;
    let mut listed: Vec<ObjectMeta> = list.try_collect().await?;
    match fault {
        Some(Fault::Half) => {
            listed.truncate(listed.len() / 2);
            let cut = stream::iter([Err(Fault::Half.error())]);
            Ok(stream::iter(listed.into_iter().map(Ok)).chain(cut).boxed())
        }
        Some(Fault::Old) => {
            listed.sort_by(|a, b| a.location.cmp(&b.location));
            listed.pop();
            Ok(stream::iter(listed.into_iter().map(Ok)).boxed())
        }
        _ => Ok(stream::iter(listed.into_iter().map(Ok)).boxed()),
    }
}

const WRITES: [Fault; 4] = [Fault::Before, Fault::After, Fault::Delay, Fault::Full];
const READS: [Fault; 3] = [Fault::Before, Fault::Delay, Fault::Half];
const DELETES: [Fault; 3] = [Fault::Before, Fault::After, Fault::Delay];

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let fault = self.faults.begin(&WRITES).await?;
        end(fault, self.inner.put_opts(location, payload, opts).await)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.faults.begin(&WRITES).await?;
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(FaultyUpload { inner, faults: self.faults.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let is_head = options.head;
        let fault = self.faults.begin(&READS).await?;
        let found = self.inner.get_opts(location, options).await?;
        if fault != Some(Fault::Half) || is_head {
            return Ok(found);
        }
        let (meta, range, attributes) = (found.meta.clone(), found.range.clone(), found.attributes.clone());
        let bytes = half(&found.bytes().await?);
        // A client of HTTP notices that fewer bytes came than were announced.
        let cut = [Ok(bytes), Err(Fault::Half.error())];
        let payload = GetResultPayload::Stream(stream::iter(cut).boxed());
        Ok(GetResult { payload, meta, range, attributes })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let fault = self.faults.begin(&READS).await?;
        let found = self.inner.get_ranges(location, ranges).await?;
        // Nobody notices halves but who checks what comes.
        if fault == Some(Fault::Half) { Ok(found.iter().map(half).collect()) } else { Ok(found) }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (faults, inner) = (self.faults.clone(), self.inner.clone());
        let delete = move |location: Result<Path>| {
            let (faults, inner) = (faults.clone(), inner.clone());
            async move {
                let location = location?;
                let fault = faults.begin(&DELETES).await?;
                end(fault, inner.delete(&location).await.map(|()| location))
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = listed(self.faults.clone(), &READS, self.inner.list(prefix));
        stream::once(listed).try_flatten().boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        const KINDS: [Fault; 4] = [Fault::Before, Fault::Delay, Fault::Half, Fault::Old];
        let listed = listed(self.faults.clone(), &KINDS, self.inner.list_with_offset(prefix, offset));
        stream::once(listed).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.faults.begin(&[Fault::Before, Fault::Delay]).await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let fault = self.faults.begin(&WRITES).await?;
        end(fault, self.inner.copy_opts(from, to, options).await)
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    faults: Arc<Faults>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (faults, part) = (self.faults.clone(), self.inner.put_part(data));
        Box::pin(async move {
            let fault = faults.begin(&WRITES).await?;
            end(fault, part.await)
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let fault = self.faults.begin(&WRITES).await?;
        end(fault, self.inner.complete().await)
    }

    async fn abort(&mut self) -> Result<()> {
        self.faults.begin(&DELETES).await?;
        self.inner.abort().await
    }
}
