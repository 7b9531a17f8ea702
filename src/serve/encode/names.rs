//! Names of columns and of their types, as the wire shows them.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};

/// Gives every column its own name: the second `id` of a join becomes `id_2`. Readers of JSON objects and
/// of Parquet files would otherwise lose one of them.
pub fn with_unique_names(schema: &SchemaRef) -> SchemaRef {
    let given: HashSet<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    if given.len() == schema.fields().len() {
        return Arc::clone(schema);
    }
    let mut taken: HashSet<String> = HashSet::new();
    let mut fields = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let mut name = field.name().clone();
        let mut count = 1;
        while taken.contains(&name) || (count > 1 && given.contains(name.as_str())) {
            count += 1;
            name = format!("{}_{count}", field.name());
        }
        taken.insert(name.clone());
        fields.push(field.as_ref().clone().with_name(name));
    }
    Arc::new(Schema::new(fields))
}

/// Names a type the way `meta` shows it.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "null".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "binary".into()
        }
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Timestamp(_, Some(_)) => "instant".into(),
        DataType::Timestamp(_, None) => "timestamp".into(),
        DataType::Time32(_) | DataType::Time64(_) => "time".into(),
        DataType::Duration(_) => "duration".into(),
        DataType::Interval(_) => "interval".into(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => format!("list<{}>", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{} {}", field.name(), type_name(field.data_type())))
                .collect();
            format!("struct<{}>", fields.join(", "))
        }
        DataType::Map(_, _) => "map".into(),
        DataType::Dictionary(_, values) => type_name(values),
        DataType::RunEndEncoded(_, values) => type_name(values.data_type()),
        DataType::Union(_, _) => "union".into(),
        // The numbers: int8 to uint64, float16 to float64.
        number => number.to_string().to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, TimeUnit};

    use super::*;

    fn renamed(names: &[&str]) -> Vec<String> {
        let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect();
        let schema = with_unique_names(&Arc::new(Schema::new(fields)));
        schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    #[test]
    fn repeated_names_are_numbered_without_taking_a_given_name() {
        assert_eq!(renamed(&["a", "b"]), ["a", "b"]);
        assert_eq!(renamed(&["id", "id", "id"]), ["id", "id_2", "id_3"]);
        assert_eq!(renamed(&["id", "id", "id_2"]), ["id", "id_3", "id_2"]);
    }

    #[test]
    fn types_have_short_stable_names() {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Int64, true)));
        for (data_type, name) in [
            (DataType::Int64, "int64"),
            (DataType::Float64, "float64"),
            (DataType::Utf8View, "text"),
            (DataType::Decimal128(18, 4), "decimal(18,4)"),
            (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), "instant"),
            (DataType::Timestamp(TimeUnit::Nanosecond, None), "timestamp"),
            (DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)), "text"),
            (list, "list<int64>"),
        ] {
            assert_eq!(type_name(&data_type), name);
        }
    }
}
