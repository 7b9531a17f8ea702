//! What comes out of a question.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

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

/// The version of the data that an answer is computed from. Clones say the same.
#[derive(Debug, Clone, Default)]
pub struct DataVersion(Arc<RwLock<String>>);

impl DataVersion {
    pub fn get(&self) -> String {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set(&self, version: String) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = version;
    }
}

impl From<String> for DataVersion {
    fn from(version: String) -> Self {
        Self(Arc::new(RwLock::new(version)))
    }
}

/// An answer that is still being computed.
pub struct ResultStream {
    pub stream: SendableRecordBatchStream,
    /// Settled once the first rows are there: until then a statement may begin anew on a newer version.
    pub data_version: DataVersion,
    pub progress: Progress,
}
