//! Encoding aside of the threads that serve: it takes as long as there are rows.

use arrow::array::RecordBatch;

use super::Encoder;
use crate::error::{Error, Result};

/// The bytes of a batch that are ready to leave, and the encoder for the next.
pub async fn write_aside(mut encoder: Encoder, batch: RecordBatch) -> Result<(Encoder, Vec<u8>)> {
    encode_aside(move || {
        let mut bytes = Vec::new();
        encoder.write(&batch, &mut bytes)?;
        Ok((encoder, bytes))
    })
    .await
}

/// What completes the document. A spreadsheet is packed only now.
pub async fn finish_aside(encoder: Encoder) -> Result<Vec<u8>> {
    encode_aside(move || {
        let mut bytes = Vec::new();
        encoder.finish(&mut bytes).map(|()| bytes)
    })
    .await
}

/// Does such work on a thread that serves nobody meanwhile.
pub async fn encode_aside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal("encoding stopped unexpectedly").with_source(error))?
}
