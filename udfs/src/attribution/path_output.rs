//! The columns of `journey_paths` and `journey_transitions`.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::{Result, internal_err};

use super::columns::UNATTRIBUTED;
use super::path_counts::PathCount;
use super::path_runs::{FoundPath, PathRuns, name_of_code};
use super::totals::MONEY_SUM;

/// What stands between the channels of a path.
const ARROW: &str = " > ";
const SECOND_US: i128 = 1_000_000;

/// Returns the columns of `journey_paths`.
pub fn paths_schema() -> SchemaRef {
    let channel = Field::new_list_field(DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        Field::new("store_id", DataType::Utf8, false),
        Field::new("path", DataType::Utf8, false),
        Field::new("channels", DataType::List(Arc::new(channel)), false),
        Field::new("touch_count", DataType::Int64, false),
        Field::new("currency", DataType::Utf8, true),
        Field::new("conversions", DataType::Int64, false),
        Field::new("revenue", MONEY_SUM, false),
        Field::new("seconds_to_convert", DataType::Int64, false),
        Field::new("non_conversions", DataType::Int64, false),
    ]))
}

/// Returns the columns of `journey_transitions`.
pub fn transitions_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("store_id", DataType::Utf8, false),
        Field::new("step", DataType::Int64, false),
        Field::new("source", DataType::Utf8, false),
        Field::new("target", DataType::Utf8, false),
        Field::new("currency", DataType::Utf8, true),
        Field::new("conversions", DataType::Int64, false),
        Field::new("revenue", MONEY_SUM, false),
        Field::new("non_conversions", DataType::Int64, false),
    ]))
}

/// Builds a batch of the schema's columns.
pub fn build_paths(
    schema: &SchemaRef,
    store: &str,
    paths: &PathRuns,
    found: &[FoundPath],
) -> Result<RecordBatch> {
    let counts = |path: FoundPath| &paths.runs[path.run].counts;
    let key = |path: FoundPath| counts(path).keys.get(path.place);
    let name = |path: FoundPath, at: usize| name_of_code(&counts(path).names, key(path)[at]);
    let names = |path: FoundPath| (1..key(path).len()).map(move |at| name(path, at));
    let texts = |at: usize| Arc::new(StringArray::from_iter_values(found.iter().map(|path| name(*path, at))));
    let integers = |of: &dyn Fn(&PathCount) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(found.iter().map(|path| of(&path.count))))
    };
    let column = |name: &str| -> Result<ArrayRef> {
        Ok(match name {
            "store_id" => Arc::new(StringArray::from_iter_values(found.iter().map(|_| store))),
            "path" => {
                let mut texts = StringBuilder::new();
                for path in found {
                    let mut names = names(*path);
                    // Appending never fails.
                    let _ = texts.write_str(names.next().unwrap_or(UNATTRIBUTED));
                    for name in names {
                        let _ = texts.write_str(ARROW).and_then(|()| texts.write_str(name));
                    }
                    texts.append_value("");
                }
                Arc::new(texts.finish())
            }
            "channels" => {
                let mut lists = ListBuilder::new(StringBuilder::new());
                for path in found {
                    names(*path).for_each(|name| lists.values().append_value(name));
                    lists.append(true);
                }
                Arc::new(lists.finish())
            }
            "touch_count" => {
                Arc::new(Int64Array::from_iter_values(found.iter().map(|path| key(*path).len() as i64 - 1)))
            }
            "step" => {
                Arc::new(Int64Array::from_iter_values(found.iter().map(|path| i64::from(key(*path)[1]))))
            }
            "source" => texts(2),
            "target" => texts(3),
            "currency" => {
                let currencies = found.iter().map(|path| counts(*path).currency_of(path.place));
                Arc::new(currencies.collect::<StringArray>())
            }
            "conversions" => integers(&|count| count.conversions),
            "non_conversions" => integers(&|count| count.non_conversions),
            "seconds_to_convert" => integers(&|count| (count.to_convert_us / SECOND_US) as i64),
            "revenue" => {
                let sums = found.iter().map(|path| path.count.revenue);
                Arc::new(Decimal128Array::from_iter_values(sums).with_data_type(MONEY_SUM))
            }
            _ => return internal_err!("counted journeys have no column {name}"),
        })
    };
    let columns = schema.fields().iter().map(|field| column(field.name())).collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(found.len()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
