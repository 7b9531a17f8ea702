//! Which models a condition leaves.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::model::Model;

/// The models that a condition can be true of; none where it is not about the model alone.
pub fn models_of(condition: &Expr) -> Option<Vec<Model>> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (&**left, &**right) {
            (column, value) | (value, column) if is_model(column) && text(value).is_some() => {
                Some(text(value).and_then(Model::named).into_iter().collect())
            }
            _ => None,
        },
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let mut models = models_of(left)?;
            models.extend(models_of(right)?);
            Some(models)
        }
        Expr::InList(list) if !list.negated && is_model(&list.expr) => {
            let names = list.list.iter().map(text).collect::<Option<Vec<_>>>()?;
            Some(names.into_iter().filter_map(Model::named).collect())
        }
        _ => None,
    }
}

fn is_model(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(column) if column.name == "model")
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(
            ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text),
            _,
        ) => text.as_deref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    #[test]
    fn a_condition_on_the_model_names_the_models() {
        let linear = col("model").eq(lit("linear"));
        assert_eq!(models_of(&linear), Some(vec![Model::Linear]));
        assert_eq!(models_of(&lit("linear").eq(col("model"))), Some(vec![Model::Linear]));
        let last = col("model").eq(lit("last_touch"));
        assert_eq!(models_of(&linear.clone().or(last)), Some(vec![Model::Linear, Model::LastTouch]));
        let any_of = col("model").in_list(vec![lit("custom"), lit("?")], false);
        assert_eq!(models_of(&any_of), Some(vec![Model::Custom]));
    }

    #[test]
    fn other_conditions_name_none() {
        assert_eq!(models_of(&col("channel").eq(lit("linear"))), None);
        assert_eq!(models_of(&col("model").not_eq(lit("linear"))), None);
        assert_eq!(models_of(&col("model").eq(col("channel"))), None);
        assert_eq!(models_of(&col("model").in_list(vec![lit("linear")], true)), None);
    }
}
