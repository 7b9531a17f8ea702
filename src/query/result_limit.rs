//! How much an answer may be: a stream that gives more ends as a failure.

use arrow::array::{Array, RecordBatch};
use datafusion::error::DataFusionError;

use crate::error::{Error, Result};

/// The rows and bytes that an answer may still have.
#[derive(Debug, Clone, Copy)]
pub struct ResultLimit {
    rows: u64,
    bytes: u64,
    rows_left: u64,
    bytes_left: u64,
}

impl ResultLimit {
    pub fn new(rows: u64, bytes: u64) -> Self {
        Self { rows, bytes, rows_left: rows, bytes_left: bytes }
    }

    /// Counts a batch; fails where it is too much.
    pub fn count(&mut self, batch: &RecordBatch) -> Result<(), DataFusionError> {
        let too_large = |limit: String, setting: &str| {
            Error::limit(format!(
                "the answer has more than {limit}: aggregate or narrow it, ask for a part with limit and offset, or raise {setting}"
            ))
        };
        let Some(rows_left) = self.rows_left.checked_sub(batch.num_rows() as u64) else {
            return Err(too_large(format!("{} rows", self.rows), "limits.result_rows").into());
        };
        let Some(bytes_left) = self.bytes_left.checked_sub(size_bytes(batch)) else {
            return Err(too_large(format!("{} bytes", self.bytes), "limits.result_bytes").into());
        };
        (self.rows_left, self.bytes_left) = (rows_left, bytes_left);
        Ok(())
    }
}

/// What the batch's own rows take, whatever else is in the memory that it shares.
pub fn size_bytes(batch: &RecordBatch) -> u64 {
    let size = |column: &dyn Array| column.to_data().get_slice_memory_size().unwrap_or_default() as u64;
    batch.columns().iter().map(|column| size(column.as_ref())).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[test]
    fn an_answer_ends_where_its_rows_or_bytes_do() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1; 100]));
        let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        assert_eq!(size_bytes(&batch.slice(10, 5)), 40);
        let mut rows = ResultLimit::new(150, u64::MAX);
        rows.count(&batch).unwrap();
        rows.count(&batch.slice(0, 50)).unwrap();
        assert!(rows.count(&batch.slice(0, 1)).unwrap_err().to_string().contains("more than 150 rows"));
        let mut bytes = ResultLimit::new(u64::MAX, 1_000);
        bytes.count(&batch).unwrap();
        assert!(bytes.count(&batch).unwrap_err().to_string().contains("limits.result_bytes"));
    }
}
