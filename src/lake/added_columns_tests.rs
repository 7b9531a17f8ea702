//! A table that has got a column since its first rows were landed.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::physical_plan::collect_partitioned;
use tributary_udfs::SortedRuns as _;

use super::landed_keys::LandedKeys;
use super::landing::{Batch, BatchName, Landing};
use super::storage::Storage;
use super::table::LakeTable;
use crate::schema::{TableSpec, tables};

const STORE: &str = "s";

async fn land(table: &Arc<LakeTable>, id: &str, milestone: Option<&str>) {
    let schema = table.spec.landed_schema();
    let column = |name: &str, data_type: &DataType| -> ArrayRef {
        match name {
            "touch_id" | "customer_id" => Arc::new(StringArray::from(vec![id])),
            "touched_at" => Arc::new(TimestampMicrosecondArray::from(vec![1]).with_timezone("UTC")),
            "milestone" => Arc::new(StringArray::from(vec![milestone])),
            _ => new_null_array(data_type, 1),
        }
    };
    let columns = schema.fields().iter().map(|field| column(field.name(), field.data_type())).collect();
    let rows = vec![RecordBatch::try_new(schema, columns).unwrap()];
    let name = BatchName::new(STORE, "touchpoints", Some(id));
    let landing = Landing::start(table.clone());
    landing
        .commit(Batch { store: STORE.into(), name, rows, staged: Vec::new(), row_count: 1, content: None })
        .await
        .unwrap();
    landing.close().await;
}

/// Each touch's id and milestone.
async fn milestones(table: &Arc<LakeTable>) -> Vec<(String, Option<String>)> {
    let snapshot = table.snapshot().await.unwrap();
    let runs = table.store_runs(STORE, &snapshot, None).await.unwrap();
    let plan = runs.scan(&["touch_id", "milestone"], &[]).unwrap();
    let partitions = collect_partitioned(plan, Arc::new(TaskContext::default())).await.unwrap();
    let mut found = Vec::new();
    for batch in partitions.iter().flatten() {
        let text = |name: &str| cast(batch.column_by_name(name).unwrap(), &DataType::Utf8).unwrap();
        let (ids, milestones) = (text("touch_id"), text("milestone"));
        let (ids, milestones) = (ids.as_string::<i32>(), milestones.as_string::<i32>());
        found.extend((0..batch.num_rows()).map(|row| {
            let milestone = milestones.is_valid(row).then(|| milestones.value(row).to_owned());
            (ids.value(row).to_owned(), milestone)
        }));
    }
    found.sort();
    found
}

#[tokio::test]
async fn rows_that_were_landed_before_a_column_have_nulls_in_it() {
    let spec = tables().unwrap()["touchpoints"].clone();
    let mut before = TableSpec::clone(&spec);
    before.columns.retain(|column| column.name != "milestone");
    let storage = Storage::open("memory:").unwrap();
    let keys = Arc::new(LandedKeys::new(Arc::new(UnboundedMemoryPool::default())));
    let table = Arc::new(LakeTable::new(Arc::new(before), storage.clone(), keys.clone()).unwrap());
    land(&table, "a", None).await;

    let table = Arc::new(LakeTable::new(spec, storage, keys).unwrap());
    assert_eq!(milestones(&table).await, [("a".to_owned(), None)]);
    land(&table, "b", Some("lead")).await;
    let both = [("a".to_owned(), None), ("b".to_owned(), Some("lead".to_owned()))];
    assert_eq!(milestones(&table).await, both);

    let context = Arc::new(TaskContext::default());
    let url = table.storage.datafusion_url().unwrap();
    context.runtime_env().register_object_store(url.as_ref(), table.storage.store.clone());
    assert!(super::compact::compact_store(&table, STORE, None, &context).await.unwrap());
    assert_eq!(milestones(&table).await, both);
}
