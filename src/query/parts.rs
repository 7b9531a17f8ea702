//! Plans cut into parts that can run apart, each giving rows of its own: for clients that fetch a large answer over
//! several streams at once.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;

use super::run::Planned;

/// Operators that make of a row one row or none, whatever the others are, and those that pass rows on.
const ROW_BY_ROW: [&str; 7] = [
    "CoalescePartitionsExec",
    "CooperativeExec",
    "FilterExec",
    "NewestExec",
    "ProjectionExec",
    "RepartitionExec",
    "Watched",
];

impl Planned {
    /// How many parts the plan can be cut into at most; 1 where rows depend on each other, as in a sum or an order.
    pub fn parts(&self) -> usize {
        scan_below(&self.plan).map_or(1, |scan| scan.file_groups.len().max(1))
    }

    /// One of `count` parts: together they give every row once.
    pub fn part(mut self, index: usize, count: usize) -> Result<Self> {
        let cut = Arc::clone(&self.plan).transform_up(|plan| {
            let Some(scan) = scan_of(&plan) else { return Ok(Transformed::no(plan)) };
            let groups = scan.file_groups.iter().skip(index).step_by(count).cloned().collect();
            let scan = FileScanConfigBuilder::from(scan.clone()).with_file_groups(groups).build();
            let scan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(scan);
            Ok(Transformed::yes(scan))
        })?;
        self.plan = cut.data;
        Ok(self)
    }
}

fn scan_of(plan: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    let any: &dyn std::any::Any = plan.as_ref();
    let source: &dyn std::any::Any = any.downcast_ref::<DataSourceExec>()?.data_source().as_ref();
    source.downcast_ref::<FileScanConfig>()
}

/// The scan that a plan's rows come from one by one; none where there is more to the plan.
fn scan_below(plan: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    if plan.fetch().is_some() {
        return None;
    }
    match plan.children()[..] {
        [] => scan_of(plan).filter(|scan| scan.limit.is_none()),
        [input] if ROW_BY_ROW.contains(&plan.name()) => scan_below(input),
        _ => None,
    }
}
