//! The rule that bounds the calls of a plan, also those that were not written as calls.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{BinaryExpr, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable as _, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::function::Guarded;
use super::growth::Growth;
use super::operator::OperatorFunction;
use crate::session::interruption::Interruption;

/// A pattern so short, and without a count of repetitions, takes no time worth watching.
const SHORT_PATTERN_BYTES: usize = 100;

/// Bounds what grows: `[a, a]` and `a || a` never were looked up by a name.
#[derive(Debug)]
pub(in crate::session) struct GuardCalls(pub Arc<Interruption>);

impl AnalyzerRule for GuardCalls {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| self.guarded(plan)).map(|guarded| guarded.data)
    }

    fn name(&self) -> &'static str {
        "guard_calls"
    }
}

impl GuardCalls {
    fn guarded(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let mut schema = merge_schema(&plan.inputs());
        if let LogicalPlan::TableScan(scan) = &plan {
            schema.merge(&scan.projected_schema);
        }
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let guarded = expr.transform_up(|expr| self.guarded_call(expr, &schema))?;
            Ok(if guarded.transformed { guarded.update_data(|expr| name.restore(expr)) } else { guarded })
        })
    }

    fn guarded_call(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        match expr {
            Expr::ScalarFunction(call) if !Guarded::is(&call.func) => match Growth::of(call.func.name()) {
                Some(growth) => Ok(Transformed::yes(self.call(call.func, growth, call.args))),
                None => Ok(Transformed::no(Expr::ScalarFunction(call))),
            },
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match OperatorFunction::growth(op) {
                Some(growth) if !is_harmless(growth, &right) => {
                    let expr = BinaryExpr { left, op, right };
                    let returns = Expr::BinaryExpr(expr.clone()).get_type(schema)?;
                    let function = Arc::new(OperatorFunction::of(op, returns));
                    Ok(Transformed::yes(self.call(function, growth, vec![*expr.left, *expr.right])))
                }
                _ => Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
            },
            other => Ok(Transformed::no(other)),
        }
    }

    fn call(
        &self,
        function: Arc<datafusion::logical_expr::ScalarUDF>,
        growth: Growth,
        args: Vec<Expr>,
    ) -> Expr {
        let function = Arc::new(Guarded::wrap(function, growth, &self.0));
        Expr::ScalarFunction(ScalarFunction::new_udf(function, args))
    }
}

/// Short patterns stay as they are: the optimizer makes comparisons of some of them.
fn is_harmless(growth: Growth, pattern: &Expr) -> bool {
    let Expr::Literal(pattern, _) = pattern else { return false };
    let pattern = ScalarValue::try_as_str(pattern).flatten();
    growth == Growth::Pattern
        && pattern.is_some_and(|pattern| pattern.len() <= SHORT_PATTERN_BYTES && !pattern.contains('{'))
}
