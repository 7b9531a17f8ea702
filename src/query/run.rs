//! Plans and runs bound queries, read-only, on a stack that long expressions do not overflow.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use chrono::NaiveDate;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::{ExecutionPlan, common};
use datafusion::prelude::{SQLOptions, SessionContext};

use super::answer::Params;
use super::bind::BoundQuery;
use super::mistakes::explain;
use super::progress::Progress;
use super::registry::{NamedQuery, Registry};
use super::stack::future_on_deep_stack;
use super::threads;
use crate::error::Result;
use crate::session::Interruption;

/// A query that can be run, as often as wanted.
#[derive(Debug, Clone)]
pub struct Planned {
    pub plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
}

impl Planned {
    pub fn schema(&self) -> SchemaRef {
        self.plan.schema()
    }

    /// Starts the query. Dropping the stream cancels it.
    pub fn stream(&self) -> Result<SendableRecordBatchStream> {
        let interruption = self.task.session_config().get_extension::<Interruption>();
        threads::run(Arc::clone(&self.plan), Arc::clone(&self.task), interruption)
    }

    /// The query seen from outside, before it runs, while it does and after.
    pub fn progress(&self) -> Progress {
        Progress::new(Arc::clone(&self.plan), Arc::clone(&self.task))
    }

    /// Runs the query to its end.
    pub async fn collect(&self) -> Result<Vec<RecordBatch>> {
        Ok(common::collect(self.stream()?).await?)
    }
}

/// Plans a bound query against a store's session; whatever would write or change the session is refused.
pub async fn plan(ctx: &SessionContext, query: BoundQuery) -> Result<Planned> {
    let state = ctx.state();
    let task = ctx.task_ctx();
    future_on_deep_stack(async move {
        let planned = async {
            let logical = state.statement_to_plan(query.statement).await?;
            read_only().verify_plan(&logical)?;
            state.create_physical_plan(&logical).await
        };
        let plan = planned.await.map_err(|error| explain(&state, &query.sql, error))?;
        Ok(Planned { plan, task })
    })
    .await
}

/// What a query returns, and what it takes.
#[derive(Debug, Clone)]
pub struct Described {
    pub columns: SchemaRef,
    /// Parameters without value, in their order, with the types that the text asks for where it does.
    pub parameters: Vec<(String, Option<DataType>)>,
}

/// Says what a query returns and takes, without planning how it is run.
pub async fn describe(ctx: &SessionContext, query: BoundQuery) -> Result<Described> {
    let state = ctx.state();
    future_on_deep_stack(async move {
        let planned = async {
            let logical = state.statement_to_plan(query.statement).await?;
            read_only().verify_plan(&logical)?;
            Ok(logical)
        };
        let logical = planned.await.map_err(|error| explain(&state, &query.sql, error))?;
        let asked = asked_types(&logical)?;
        let mut parameters: Vec<_> = logical
            .get_parameter_types()?
            .into_iter()
            .map(|(name, kind)| {
                let kind = kind.or_else(|| asked.get(&name).cloned());
                (name.trim_start_matches('$').to_owned(), kind)
            })
            .collect();
        parameters.extend(query.typed.into_iter().map(|(name, kind)| (name, Some(kind))));
        // Numbered ones by their numbers, $10 after $9.
        parameters.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        parameters.dedup_by(|(a, _), (b, _)| a == b);
        // What the branches of a choice agree on is the analyzer's to find. It may not understand open parameters, and then
        // the types are those that the text has by itself.
        let analyzed = state.analyzer().execute_and_check(logical.clone(), state.config_options(), |_, _| {});
        let columns = Arc::clone(analyzed.as_ref().unwrap_or(&logical).schema().inner());
        Ok(Described { columns, parameters })
    })
    .await
}

/// The types of placeholders that a text casts, or takes as a number of rows: planning alone does not tell them.
fn asked_types(logical: &LogicalPlan) -> Result<HashMap<String, DataType>> {
    let mut asked = HashMap::new();
    logical.apply_with_subqueries(|node| {
        let is_limit = matches!(node, LogicalPlan::Limit(_));
        node.apply_expressions(|expr| {
            if let (Expr::Placeholder(placeholder), true) = (expr, is_limit) {
                asked.insert(placeholder.id.clone(), DataType::Int64);
            }
            expr.apply(|expr| {
                if let Expr::Cast(cast) = expr
                    && let Expr::Placeholder(placeholder) = cast.expr.as_ref()
                {
                    asked.insert(placeholder.id.clone(), cast.field.data_type().clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(asked)
}

/// One query that cannot be planned, or a check of it that returned rows.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Failure {
    pub query: String,
    pub message: String,
}

/// Plans every query, and every check of it, with its defaults and examples; returns those that fail.
pub async fn check_plans(ctx: &SessionContext, registry: &Registry, today: NaiveDate) -> Vec<Failure> {
    let mut failures = Vec::new();
    for query in registry.iter() {
        if let Err(error) = check_plan(ctx, query, today).await {
            failures.push(Failure { query: query.name.clone(), message: error.message().to_owned() });
        }
    }
    failures
}

/// Runs the checks of one query over a store's data; returns those that returned a row or failed.
pub async fn run_checks(
    ctx: &SessionContext,
    query: &NamedQuery,
    params: &Params,
    today: NaiveDate,
) -> Result<Vec<Failure>> {
    let mut failures = Vec::new();
    for (check, bound) in query.header.checks.iter().zip(query.bind_checks(params, today)?) {
        let rows: usize = plan(ctx, bound).await?.collect().await?.iter().map(RecordBatch::num_rows).sum();
        if rows > 0 {
            let message = format!("{rows} rows contradict the check: {check}");
            failures.push(Failure { query: query.name.clone(), message });
        }
    }
    Ok(failures)
}

async fn check_plan(ctx: &SessionContext, query: &NamedQuery, today: NaiveDate) -> Result<()> {
    let params = query.sample_params();
    plan(ctx, query.bind(&params, today)?).await?;
    for check in query.bind_checks(&params, today)? {
        plan(ctx, check).await?;
    }
    Ok(())
}

fn read_only() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
