//! `attribution_profiles()`: what each profile chooses, and why.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::{MemTable, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{Result, plan_err};

use super::profiles::Profile;

/// The table function `attribution_profiles`.
#[derive(Debug)]
pub struct ProfilesFunction;

impl ProfilesFunction {
    /// The function's name in SQL.
    pub const NAME: &'static str = "attribution_profiles";
    pub const DESCRIPTION: &'static str = "Returns other products' choices, one row each: the value of an option, the models to look at, or what no option reproduces; with the reason and the sources. The profile tributary-1 is this engine's own.";
    pub const EXAMPLE: &'static str = "select option, value, why from attribution_profiles() where profile = 'ga4' and kind = 'option' order by option";
}

/// One row: profile, kind, option, value, why.
type Row = (&'static Profile, &'static str, Option<&'static str>, Option<String>, Option<&'static str>);

fn rows_of(profile: &'static Profile) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    rows.extend(profile.models.iter().map(|model| (profile, "model", None, Some(model.clone()), None)));
    rows.extend(profile.options.iter().map(|(option, choice)| {
        let value = profile.value(option).map(|value| value.to_string());
        (profile, "option", Some(option.as_str()), value, Some(choice.why.as_str()))
    }));
    let differences = profile.differences.iter();
    rows.extend(
        differences.map(|difference| (profile, "difference", None, None, Some(difference.what.as_str()))),
    );
    rows
}

impl TableFunctionImpl for ProfilesFunction {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        if !args.exprs().is_empty() {
            return plan_err!("{} takes no argument", Self::NAME);
        }
        let rows: Vec<Row> = Profile::all().iter().flat_map(rows_of).collect();
        let texts = |of: &dyn Fn(&Row) -> Option<String>| -> ArrayRef {
            Arc::new(rows.iter().map(of).collect::<StringArray>())
        };
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("profile", texts(&|row| Some(row.0.name.clone())), false),
            ("summary", texts(&|row| Some(row.0.summary.clone())), false),
            ("kind", texts(&|row| Some(row.1.to_owned())), false),
            ("option", texts(&|row| row.2.map(str::to_owned)), true),
            ("value", texts(&|row| row.3.clone()), true),
            ("why", texts(&|row| row.4.map(str::to_owned)), true),
            ("sources", texts(&|row| Some(row.0.sources.join(" "))), false),
            ("as_of", texts(&|row| Some(row.0.as_of.clone())), false),
        ])?;
        Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
    }
}
