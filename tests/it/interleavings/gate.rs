//! A store whose calls wait for leave. Each handle belongs to an actor, which stands for a process: the store is all
//! that actors share.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use tokio::sync::{Notify, oneshot};

/// Calls wait here.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
    /// A call has arrived, or an actor has finished.
    pub changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// An open gate lets every call pass.
    is_closed: bool,
    /// In the order of their arrival.
    waiting: Vec<Call>,
    arrivals: u64,
    has_finished: Vec<bool>,
}

/// A call that waits.
#[derive(Debug)]
pub struct Call {
    pub actor: usize,
    pub name: String,
    leave: oneshot::Sender<()>,
}

/// The kind of a call, as far as it matters for other actors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It reads a data file. Such a file never changes: all that matters is whether it is still there.
    ReadsData,
    /// It reads the log, or lists.
    Reads,
    Writes,
}

impl Call {
    pub fn kind(&self) -> Kind {
        match self.name.split(' ').next() {
            Some("get") if !self.name.contains("/_delta_log/") => Kind::ReadsData,
            Some("get" | "head" | "list") => Kind::Reads,
            _ => Kind::Writes,
        }
    }

    pub fn go(self) {
        // Its caller may have given it up.
        let _ = self.leave.send(());
    }
}

impl Gate {
    /// A handle of the store for one actor.
    pub fn handle(self: &Arc<Self>, inner: &Arc<dyn ObjectStore>, actor: usize) -> GatedStore {
        GatedStore { inner: inner.clone(), pass: Pass { gate: self.clone(), actor } }
    }

    pub fn close(&self, actors: usize) {
        let mut state = self.state();
        (state.is_closed, state.has_finished) = (true, vec![false; actors]);
    }

    /// Lets all go that wait, and all that come.
    pub fn open(&self) {
        let mut state = self.state();
        state.is_closed = false;
        for call in state.waiting.drain(..) {
            call.go();
        }
    }

    pub fn finish(&self, actor: usize) {
        self.state().has_finished[actor] = true;
        self.changed.notify_one();
    }

    /// Counts the calls that have arrived; `None` while an actor is on its way to its next call.
    pub fn arrivals_at_rest(&self) -> Option<u64> {
        let mut state = self.state();
        state.waiting.retain(|call| !call.leave.is_closed());
        let is_at_rest = |(actor, has_finished): (usize, &bool)| {
            *has_finished || state.waiting.iter().any(|call| call.actor == actor)
        };
        state.has_finished.iter().enumerate().all(is_at_rest).then_some(state.arrivals)
    }

    /// The actors that have not finished, with the call that each makes next.
    pub fn waiting(&self) -> Vec<(usize, Kind)> {
        let state = self.state();
        let unfinished = (0..state.has_finished.len()).filter(|actor| !state.has_finished[*actor]);
        let next = |actor| state.waiting.iter().find(|call| call.actor == actor);
        unfinished.filter_map(|actor| Some((actor, next(actor)?.kind()))).collect()
    }

    /// The actor's call that has waited longest.
    pub fn take(&self, actor: usize) -> Option<Call> {
        let mut state = self.state();
        let at = state.waiting.iter().position(|call| call.actor == actor)?;
        Some(state.waiting.remove(at))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// One actor's way through the gate.
#[derive(Debug, Clone)]
struct Pass {
    gate: Arc<Gate>,
    actor: usize,
}

impl Pass {
    async fn wait(&self, verb: &str, path: impl fmt::Display) {
        let waiting = {
            let mut state = self.gate.state();
            if !state.is_closed {
                return;
            }
            let (leave, waiting) = oneshot::channel();
            state.arrivals += 1;
            state.waiting.push(Call { actor: self.actor, name: format!("{verb} {path}"), leave });
            waiting
        };
        self.gate.changed.notify_one();
        // A gate that is gone stops nobody.
        let _ = waiting.await;
    }
}

#[derive(Debug)]
pub struct GatedStore {
    inner: Arc<dyn ObjectStore>,
    pass: Pass,
}

impl fmt::Display for GatedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatedStore")
    }
}

#[async_trait]
impl ObjectStore for GatedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.pass.wait("put", location).await;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.pass.wait("begin", location).await;
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(GatedUpload { inner, pass: self.pass.clone(), location: location.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.pass.wait(if options.head { "head" } else { "get" }, location).await;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.pass.wait("get", location).await;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (pass, inner) = (self.pass.clone(), self.inner.clone());
        let delete = move |location: Result<Path>| {
            let (pass, inner) = (pass.clone(), inner.clone());
            async move {
                let location = location?;
                pass.wait("delete", &location).await;
                inner.delete(&location).await?;
                Ok(location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (pass, inner, prefix) = (self.pass.clone(), self.inner.clone(), prefix.cloned());
        // What is listed is what is there at one instant.
        let listed = async move {
            pass.wait("list", prefix.as_ref().unwrap_or(&Path::default())).await;
            inner.list(prefix.as_ref())
        };
        stream::once(listed).flatten().boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (pass, inner, prefix, offset) =
            (self.pass.clone(), self.inner.clone(), prefix.cloned(), offset.clone());
        let listed = async move {
            pass.wait("list", &offset).await;
            inner.list_with_offset(prefix.as_ref(), &offset)
        };
        stream::once(listed).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.pass.wait("list", prefix.unwrap_or(&Path::default())).await;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.pass.wait("copy", from).await;
        self.inner.copy_opts(from, to, options).await
    }
}

/// Nobody sees an upload before it is complete.
#[derive(Debug)]
struct GatedUpload {
    inner: Box<dyn MultipartUpload>,
    pass: Pass,
    location: Path,
}

#[async_trait]
impl MultipartUpload for GatedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.pass.wait("complete", &self.location).await;
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
