//! What comes out of a question.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;

use super::progress::Progress;

/// Parameters as they arrive: by name, as text; typed and checked against the query's header.
pub type Params = BTreeMap<String, String>;

/// A whole answer, held in memory and shared between those who asked the same.
#[derive(Debug)]
pub struct Answer {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    /// Names the answer: query, parameters, store, build and the data read. The strong `ETag` is made of it.
    pub key: String,
    /// The version of the data that the answer was computed from.
    pub data_version: String,
    pub computed_at: chrono::DateTime<chrono::Utc>,
}

impl Answer {
    pub fn row_count(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    pub fn memory_bytes(&self) -> usize {
        self.batches.iter().map(RecordBatch::get_array_memory_size).sum()
    }
}

/// An answer that is still being computed.
pub struct ResultStream {
    pub stream: SendableRecordBatchStream,
    pub data_version: String,
    pub progress: Progress,
}
