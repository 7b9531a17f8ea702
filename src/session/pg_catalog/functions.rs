//! Functions of Postgres's catalog: the library's, and those that it lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
    create_udf,
};
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::{
    array_bounds_udf, create_current_database_udf, create_pg_backend_pid_udf, create_pg_encoding_to_char_udf,
    create_pg_get_constraintdef, create_pg_get_partition_ancestors_udf, create_pg_get_partkeydef_udf,
    create_pg_get_statisticsobjdef_columns_udf, create_pg_get_userbyid_udf,
    create_pg_relation_is_publishable_udf, create_pg_relation_size_udf, create_pg_stat_get_numscans,
    create_pg_total_relation_size_udf, create_session_user_udf, format_type, has_privilege_udf,
    pg_get_expr_udf, quote_ident_udf,
};

use super::build::{INFORMATION_SCHEMA, PG_CATALOG};
use crate::session::builder::{CATALOG, SCHEMA};
use crate::session::{POSTGRES_VERSION, postgres_banner};

/// Texts by an object's id and a column's place in it.
pub type ById = BTreeMap<(i64, i64), String>;

/// Ids by the names of what has them.
pub type ByName = BTreeMap<String, i32>;

/// Everybody may do everything that there is to do: read.
const PRIVILEGES: [&str; 8] = [
    "has_table_privilege",
    "has_schema_privilege",
    "has_database_privilege",
    "has_any_column_privilege",
    "has_column_privilege",
    "has_sequence_privilege",
    "has_function_privilege",
    "pg_has_role",
];

/// Functions whose answer is always nothing: there are no indexes, rules or sequences, no JSON of them, and neither the
/// texts of views nor sizes are told.
const TEXTLESS: [&str; 10] = [
    "json_build_object",
    "shobj_description",
    "pg_get_viewdef",
    "pg_get_indexdef",
    "pg_get_ruledef",
    "pg_get_triggerdef",
    "pg_get_serial_sequence",
    "pg_size_pretty",
    "pg_tablespace_location",
    "pg_advisory_unlock_all",
];

/// What functions look up.
pub struct LookUps {
    /// What tables and columns mean.
    pub described: ById,
    /// What functions take and give.
    pub function_texts: ById,
    pub tables: ByName,
    pub types: ByName,
    /// What is found only behind its schema's name.
    pub beyond_the_path: BTreeSet<i32>,
}

pub fn all(known: LookUps) -> Vec<ScalarUDF> {
    let mut functions = from_library();
    let fixed = |name: &str, value: ScalarValue| ScalarUDF::from(Fixed::new(name, value));
    functions.extend(PRIVILEGES[4..].iter().map(|name| fixed(name, ScalarValue::Boolean(Some(true)))));
    functions.extend(TEXTLESS.iter().map(|name| fixed(name, ScalarValue::Utf8(None))));
    let flags =
        [("pg_is_in_recovery", false), ("pg_function_is_visible", true), ("pg_type_is_visible", true)];
    functions.extend(flags.map(|(name, flag)| fixed(name, ScalarValue::Boolean(Some(flag)))));
    functions.push(fixed("pg_my_temp_schema", ScalarValue::Int32(Some(0))));
    functions.push(fixed("pg_table_size", ScalarValue::Int64(None)));
    functions.push(fixed("version", ScalarValue::Utf8(Some(postgres_banner()))));
    functions.push(fixed("current_schema", ScalarValue::Utf8(Some(SCHEMA.to_owned()))));
    let described = Arc::new(known.described);
    let by_id = |name: &str, texts: &Arc<ById>, place| {
        ScalarUDF::from(Described { texts: texts.clone(), place, ..Described::new(name) })
    };
    functions.push(by_id("obj_description", &described, Some(0)));
    functions.push(by_id("col_description", &described, None));
    let function_texts = Arc::new(known.function_texts);
    functions.push(by_id("pg_get_function_arguments", &function_texts, Some(0)));
    functions.push(by_id("pg_get_function_identity_arguments", &function_texts, Some(0)));
    functions.push(by_id("pg_get_function_result", &function_texts, Some(1)));
    functions.push(ScalarUDF::from(Named::new("to_regclass", known.tables)));
    functions.push(ScalarUDF::from(Named::new("to_regtype", known.types)));
    functions.push(table_is_visible(known.beyond_the_path));
    functions.push(ScalarUDF::from(CurrentSchemas::default()));
    functions.push(ScalarUDF::from(CurrentSetting::default()));
    functions
}

fn from_library() -> Vec<ScalarUDF> {
    let mut functions: Vec<ScalarUDF> =
        PRIVILEGES[..4].iter().map(|name| has_privilege_udf::create_has_privilege_udf(name)).collect();
    functions.extend([
        array_bounds_udf::create_array_lower_udf(),
        array_bounds_udf::create_array_upper_udf(),
        create_current_database_udf(CATALOG),
        create_pg_backend_pid_udf(),
        create_pg_encoding_to_char_udf(),
        create_pg_get_constraintdef(),
        create_pg_get_partition_ancestors_udf(),
        create_pg_get_partkeydef_udf(),
        create_pg_get_statisticsobjdef_columns_udf(),
        create_pg_get_userbyid_udf(),
        create_pg_relation_is_publishable_udf(),
        create_pg_relation_size_udf(),
        create_pg_stat_get_numscans(),
        create_pg_total_relation_size_udf(),
        create_session_user_udf(),
        format_type::create_format_type_udf(),
        pg_get_expr_udf::create_pg_get_expr_udf(),
        quote_ident_udf::create_parse_ident_udf(),
        quote_ident_udf::create_quote_ident_udf(),
    ]);
    functions
}

/// `pg_table_is_visible(id)`: whether a table is found without its schema's name.
fn table_is_visible(beyond_the_path: BTreeSet<i32>) -> ScalarUDF {
    let is_visible = move |args: &[ColumnarValue]| {
        let ids = ColumnarValue::values_to_arrays(args)?;
        let ids = ids[0].as_primitive::<Int32Type>();
        let visible: BooleanArray =
            ids.iter().map(|id| id.map(|id| !beyond_the_path.contains(&id))).collect();
        Ok(ColumnarValue::Array(Arc::new(visible)))
    };
    let (takes, gives) = (vec![DataType::Int32], DataType::Boolean);
    create_udf("pg_table_is_visible", takes, gives, Volatility::Stable, Arc::new(is_visible))
}

/// Takes whatever it is given.
fn anything() -> Signature {
    Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::VariadicAny], Volatility::Stable)
}

/// Always answers the same.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Fixed {
    name: String,
    value: ScalarValue,
    signature: Signature,
}

impl Fixed {
    fn new(name: &str, value: ScalarValue) -> Self {
        Self { name: name.to_owned(), value, signature: anything() }
    }
}

impl ScalarUDFImpl for Fixed {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.value.data_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value.clone()))
    }
}

/// Looks a text up by an id, which is the first argument.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Described {
    name: String,
    texts: Arc<ById>,
    /// The column's place; the second argument where it is not fixed.
    place: Option<i64>,
    signature: Signature,
}

impl Described {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), texts: Arc::default(), place: None, signature: anything() }
    }
}

impl ScalarUDFImpl for Described {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let numbers = |at: usize| match arrays.get(at) {
            Some(array) => Ok(Some(cast(array, &DataType::Int64)?)),
            None => Ok::<_, datafusion::error::DataFusionError>(None),
        };
        let Some(ids) = numbers(0)? else { return Ok(ColumnarValue::Scalar(ScalarValue::Utf8(None))) };
        let places = if self.place.is_some() { None } else { numbers(1)? };
        let number = |array: &ArrayRef, row| {
            let array = array.as_primitive::<Int64Type>();
            array.is_valid(row).then(|| array.value(row))
        };
        let text = |row| {
            let place = match &places {
                Some(places) => number(places, row)?,
                None => self.place.unwrap_or(0),
            };
            self.texts.get(&(number(&ids, row)?, place)).cloned()
        };
        let texts: StringArray = (0..ids.len()).map(text).collect();
        Ok(ColumnarValue::Array(Arc::new(texts)))
    }
}

/// Looks an id up by a name, with its schema or without.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Named {
    name: &'static str,
    ids: Arc<ByName>,
    signature: Signature,
}

impl Named {
    fn new(name: &'static str, ids: ByName) -> Self {
        let signature = Signature::exact(vec![DataType::Utf8], Volatility::Stable);
        Self { name, ids: Arc::new(ids), signature }
    }
}

impl ScalarUDFImpl for Named {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let names = args.args[0].to_array(args.number_rows)?;
        let id = |name: Option<&str>| {
            let name = name?.rsplit('.').next()?.trim_matches('"');
            self.ids.get(name).copied()
        };
        let ids: Int32Array = names.as_string::<i32>().iter().map(id).collect();
        Ok(ColumnarValue::Array(Arc::new(ids)))
    }
}

/// `current_schemas(whether the implicit ones count)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CurrentSchemas {
    signature: Signature,
}

impl Default for CurrentSchemas {
    fn default() -> Self {
        Self { signature: Signature::exact(vec![DataType::Boolean], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for CurrentSchemas {
    fn name(&self) -> &'static str {
        "current_schemas"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::new_list(DataType::Utf8, true))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let with_implicit = matches!(&args.args[0], ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))));
        let names: &[&str] =
            if with_implicit { &[SCHEMA, INFORMATION_SCHEMA, PG_CATALOG] } else { &[SCHEMA] };
        let names: ArrayRef = Arc::new(StringArray::from(names.to_vec()));
        let list = SingleRowListArrayBuilder::new(names).build_list_array();
        Ok(ColumnarValue::Scalar(ScalarValue::List(Arc::new(list))))
    }
}

/// `current_setting(name [, whether it may be missing])`: what a connection starts with.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CurrentSetting {
    signature: Signature,
}

impl Default for CurrentSetting {
    fn default() -> Self {
        let names = TypeSignature::Exact(vec![DataType::Utf8]);
        let lenient = TypeSignature::Exact(vec![DataType::Utf8, DataType::Boolean]);
        Self { signature: Signature::one_of(vec![names, lenient], Volatility::Stable) }
    }
}

impl ScalarUDFImpl for CurrentSetting {
    fn name(&self) -> &'static str {
        "current_setting"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let names = args.args[0].to_array(args.number_rows)?;
        let setting = |name: Option<&str>| match name?.to_ascii_lowercase().as_str() {
            "search_path" => Some(SCHEMA),
            "server_version" => Some(POSTGRES_VERSION),
            "server_version_num" => Some("150013"),
            "server_encoding" | "client_encoding" => Some("UTF8"),
            "standard_conforming_strings" | "default_transaction_read_only" => Some("on"),
            "transaction_isolation" | "default_transaction_isolation" => Some("read committed"),
            "timezone" => Some("UTC"),
            "max_identifier_length" => Some("63"),
            _ => None,
        };
        let settings: StringArray = names.as_string::<i32>().iter().map(setting).collect();
        Ok(ColumnarValue::Array(Arc::new(settings)))
    }
}
