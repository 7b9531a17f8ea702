//! Functions.

/// Every function's name and manual entry, families together.
pub fn documentation() -> Vec<(String, datafusion::logical_expr::Documentation)> {
    todo!()
}
