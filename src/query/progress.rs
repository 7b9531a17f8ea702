//! What a query does: its operators, and what each of them has done so far. Nothing here names a file.

use std::sync::{Arc, PoisonError, RwLock};

use datafusion::execution::TaskContext;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::{ExecutionPlan, displayable};

use crate::lake::{Scanned, scanned};
use crate::session::{QueryMemory, Reading, Spread, Watched};

/// A running query, seen from outside. Clones show the same.
#[derive(Debug, Clone)]
pub struct Progress(Arc<RwLock<Shown>>);

#[derive(Debug, Clone)]
struct Shown {
    plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
}

/// An operator of a query, and where its rows come from.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Operator {
    pub operator: String,
    /// What it does, in the words of the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What it reads of the lake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan: Option<Scanned>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    pub inputs: Vec<Operator>,
}

/// What an operator has done.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Measured {
    pub rows: Option<usize>,
    /// Over all its threads, without its inputs.
    pub compute_ms: f64,
    pub bytes_scanned: Option<usize>,
    pub spilled_bytes: Option<usize>,
    /// The most that it held.
    pub memory_bytes: Option<usize>,
}

impl Progress {
    pub(super) fn new(plan: Arc<dyn ExecutionPlan>, task: Arc<TaskContext>) -> Self {
        Self(Arc::new(RwLock::new(Shown { plan, task })))
    }

    /// Shows from now on what another one shows: the query began anew.
    pub fn follow(&self, newer: &Progress) {
        let newer = newer.shown();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = newer;
    }

    fn shown(&self) -> Shown {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Rows that were read so far.
    pub fn rows_read(&self) -> u64 {
        self.shown().task.session_config().get_extension::<Reading>().map_or(0, |reading| reading.rows())
    }

    /// What these rows take in memory.
    pub fn bytes_read(&self) -> u64 {
        self.shown().task.session_config().get_extension::<Reading>().map_or(0, |reading| reading.bytes())
    }

    /// The most memory that the query ever held.
    pub fn peak_memory_bytes(&self) -> usize {
        self.shown()
            .task
            .session_config()
            .get_extension::<QueryMemory>()
            .map_or(0, |memory| memory.peak_bytes())
    }

    /// What the query reads of each table, by its name.
    pub fn scans(&self) -> Vec<Scanned> {
        let mut tables: Vec<Scanned> = Vec::new();
        collect_scans(&self.shown().plan, &mut tables);
        tables.sort_by(|a, b| a.table.cmp(&b.table));
        tables
    }

    /// The operators, the last one first; with what they have done where `measured`.
    pub fn operators(&self, measured: bool) -> Operator {
        operator(&self.shown().plan, measured)
    }
}

fn collect_scans(plan: &Arc<dyn ExecutionPlan>, tables: &mut Vec<Scanned>) {
    if let Some(scan) = scanned(plan.as_ref()) {
        match tables.iter_mut().find(|table| table.table == scan.table) {
            Some(table) => {
                table.files += scan.files;
                table.bytes += scan.bytes;
                table.rows += scan.rows;
            }
            None => tables.push(scan),
        }
    }
    for input in plan.children() {
        collect_scans(input, tables);
    }
}

fn operator(plan: &Arc<dyn ExecutionPlan>, measured: bool) -> Operator {
    let any: &dyn std::any::Any = plan.as_ref();
    // What only passes rows on says nothing about the query.
    if (any.is::<Watched>() || any.is::<Spread>() || any.is::<CooperativeExec>())
        && let [input] = plan.children()[..]
    {
        return operator(input, measured);
    }
    Operator {
        operator: plan.name().trim_end_matches("Exec").to_owned(),
        detail: detail(plan),
        scan: scanned(plan.as_ref()),
        measured: measured.then(|| measure(plan.metrics())),
        inputs: plan.children().into_iter().map(|input| operator(input, measured)).collect(),
    }
}

/// An operator's own line; none of a source's, which may name its files.
fn detail(plan: &Arc<dyn ExecutionPlan>) -> Option<String> {
    if plan.children().is_empty() {
        return None;
    }
    let line = displayable(plan.as_ref()).one_line().to_string();
    let detail = line.trim().strip_prefix(plan.name())?.trim_start_matches(':').trim();
    (!detail.is_empty()).then(|| detail.to_owned())
}

fn measure(metrics: Option<MetricsSet>) -> Measured {
    let metrics = metrics.unwrap_or_default();
    let named = |name: &str| metrics.sum_by_name(name).map(|value| value.as_usize());
    Measured {
        rows: metrics.output_rows(),
        compute_ms: metrics.elapsed_compute().unwrap_or(0) as f64 / 1e6,
        bytes_scanned: named("bytes_scanned"),
        spilled_bytes: metrics.spilled_bytes(),
        memory_bytes: ["peak_mem_used", "mem_used", "build_mem_used"].into_iter().filter_map(named).max(),
    }
}
