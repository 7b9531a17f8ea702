//! What the server can do, and which types it has: every code has an answer.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use arrow_flight::sql::metadata::{
    SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder,
};
use arrow_flight::sql::{
    Nullable, Searchable, SqlInfo, SqlNullOrdering, SqlSupportedCaseSensitivity, SqlSupportedTransaction,
    SqlSupportsConvert, XdbcDataType, XdbcDatetimeSubcode,
};
use tributary_udfs::documentation;

use crate::query::TEXT_BYTES;

/// Bits of the sets that the protocol numbers: how much of the standard there is.
const MINIMUM_AND_CORE_GRAMMAR: i32 = 0b11;
const GROUP_BY_ANYTHING: i32 = 0b11;
const ALL_OUTER_JOINS: i32 = 0b111;
const ALL_SUBQUERIES: i32 = 0b1111;
const ALL_UNIONS: i32 = 0b11;
const FORWARD_ONLY: i32 = 0b10;
const READ_ONLY: i32 = 0b10;
const NOTHING: i32 = 0;

pub static SQL_INFO: LazyLock<Option<SqlInfoData>> = LazyLock::new(|| sql_info().build().ok());
pub static TYPES: LazyLock<Option<XdbcTypeInfoData>> = LazyLock::new(|| types().build().ok());

fn sql_info() -> SqlInfoDataBuilder {
    use SqlInfo as Code;
    let mut info = SqlInfoDataBuilder::new();
    info.append(Code::FlightSqlServerName, "Tributary");
    info.append(Code::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(Code::FlightSqlServerArrowVersion, "1.5");
    info.append(Code::FlightSqlServerReadOnly, true);
    info.append(Code::FlightSqlServerSql, true);
    info.append(Code::FlightSqlServerSubstrait, false);
    info.append(Code::FlightSqlServerSubstraitMinVersion, "");
    info.append(Code::FlightSqlServerSubstraitMaxVersion, "");
    info.append(Code::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    info.append(Code::FlightSqlServerCancel, true);
    info.append(Code::FlightSqlServerBulkIngestion, false);
    info.append(Code::FlightSqlServerIngestTransactionsSupported, false);
    info.append(Code::FlightSqlServerStatementTimeout, 0);
    info.append(Code::FlightSqlServerTransactionTimeout, 0);
    for code in [Code::SqlDdlCatalog, Code::SqlDdlSchema, Code::SqlDdlTable] {
        info.append(code, false);
    }
    info.append(Code::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    info.append(Code::SqlIdentifierQuoteChar, "\"");
    // They are told apart by their case, for which the protocol has no number.
    info.append(Code::SqlQuotedIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32);
    info.append(Code::SqlAllTablesAreSelectable, true);
    info.append(Code::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    info.append(Code::SqlKeywords, KEYWORDS);
    let functions = |families: &[&str]| -> Vec<String> {
        documentation()
            .into_iter()
            .filter(|function| families.contains(&function.family.as_str()))
            .map(|function| function.name)
            .collect()
    };
    info.append(Code::SqlNumericFunctions, NUMERIC_FUNCTIONS);
    info.append(Code::SqlStringFunctions, STRING_FUNCTIONS);
    info.append(Code::SqlSystemFunctions, functions(&["attribution", "data-driven", "money", "rating"]));
    info.append(Code::SqlDatetimeFunctions, DATETIME_FUNCTIONS);
    info.append(Code::SqlSearchStringEscape, "\\");
    info.append(Code::SqlExtraNameCharacters, "_");
    info.append(Code::SqlSupportsColumnAliasing, true);
    info.append(Code::SqlNullPlusNullIsNull, true);
    info.append(Code::SqlSupportsConvert, conversions());
    info.append(Code::SqlSupportsTableCorrelationNames, true);
    info.append(Code::SqlSupportsDifferentTableCorrelationNames, false);
    info.append(Code::SqlSupportsExpressionsInOrderBy, true);
    info.append(Code::SqlSupportsOrderByUnrelated, true);
    info.append(Code::SqlSupportedGroupBy, GROUP_BY_ANYTHING);
    info.append(Code::SqlSupportsLikeEscapeClause, true);
    info.append(Code::SqlSupportsNonNullableColumns, true);
    info.append(Code::SqlSupportedGrammar, MINIMUM_AND_CORE_GRAMMAR);
    info.append(Code::SqlAnsi92SupportedLevel, 1);
    info.append(Code::SqlSupportsIntegrityEnhancementFacility, false);
    info.append(Code::SqlOuterJoinsSupportLevel, ALL_OUTER_JOINS);
    info.append(Code::SqlSchemaTerm, "schema");
    info.append(Code::SqlProcedureTerm, "table function");
    info.append(Code::SqlCatalogTerm, "catalog");
    info.append(Code::SqlCatalogAtStart, true);
    info.append(Code::SqlSchemasSupportedActions, NOTHING);
    info.append(Code::SqlCatalogsSupportedActions, NOTHING);
    info.append(Code::SqlSupportedPositionedCommands, NOTHING);
    info.append(Code::SqlSelectForUpdateSupported, false);
    info.append(Code::SqlStoredProceduresSupported, false);
    info.append(Code::SqlSupportedSubqueries, ALL_SUBQUERIES);
    info.append(Code::SqlCorrelatedSubqueriesSupported, true);
    info.append(Code::SqlSupportedUnions, ALL_UNIONS);
    info.append(Code::SqlMaxStatementLength, TEXT_BYTES as i64);
    // 0 is no limit that is known.
    for code in [
        Code::SqlMaxBinaryLiteralLength,
        Code::SqlMaxCharLiteralLength,
        Code::SqlMaxColumnNameLength,
        Code::SqlMaxColumnsInGroupBy,
        Code::SqlMaxColumnsInIndex,
        Code::SqlMaxColumnsInOrderBy,
        Code::SqlMaxColumnsInSelect,
        Code::SqlMaxColumnsInTable,
        Code::SqlMaxConnections,
        Code::SqlMaxCursorNameLength,
        Code::SqlMaxIndexLength,
        Code::SqlDbSchemaNameLength,
        Code::SqlMaxProcedureNameLength,
        Code::SqlMaxCatalogNameLength,
        Code::SqlMaxRowSize,
        Code::SqlMaxStatements,
        Code::SqlMaxTableNameLength,
        Code::SqlMaxTablesInSelect,
        Code::SqlMaxUsernameLength,
    ] {
        info.append(code, 0_i64);
    }
    info.append(Code::SqlMaxRowSizeIncludesBlobs, false);
    info.append(Code::SqlDefaultTransactionIsolation, 0_i64);
    info.append(Code::SqlTransactionsSupported, false);
    info.append(Code::SqlSupportedTransactionsIsolationLevels, NOTHING);
    info.append(Code::SqlDataDefinitionCausesTransactionCommit, false);
    info.append(Code::SqlDataDefinitionsInTransactionsIgnored, true);
    info.append(Code::SqlSupportedResultSetTypes, FORWARD_ONLY);
    info.append(Code::SqlSupportedConcurrenciesForResultSetUnspecified, NOTHING);
    info.append(Code::SqlSupportedConcurrenciesForResultSetForwardOnly, READ_ONLY);
    info.append(Code::SqlSupportedConcurrenciesForResultSetScrollSensitive, NOTHING);
    info.append(Code::SqlSupportedConcurrenciesForResultSetScrollInsensitive, NOTHING);
    info.append(Code::SqlBatchUpdatesSupported, false);
    info.append(Code::SqlSavepointsSupported, false);
    info.append(Code::SqlNamedParametersSupported, false);
    info.append(Code::SqlLocatorsUpdateCopy, false);
    info.append(Code::SqlStoredFunctionsUsingCallSyntaxSupported, false);
    info
}

const KEYWORDS: &[&str] = &["explain", "filter", "qualify", "unnest", "within"];
const NUMERIC_FUNCTIONS: &[&str] =
    &["abs", "ceil", "exp", "floor", "ln", "log10", "power", "round", "signum", "sqrt", "trunc"];
const STRING_FUNCTIONS: &[&str] = &[
    "concat", "left", "length", "lower", "lpad", "ltrim", "replace", "right", "rtrim", "substr", "trim",
    "upper",
];
const DATETIME_FUNCTIONS: &[&str] = &["current_date", "date_part", "date_trunc", "now", "to_timestamp"];

/// Which types are cast to which: what BI tools ask about, all with all.
fn conversions() -> BTreeMap<i32, Vec<i32>> {
    use SqlSupportsConvert as Type;
    let types = [
        Type::SqlConvertBigint,
        Type::SqlConvertBit,
        Type::SqlConvertDate,
        Type::SqlConvertDecimal,
        Type::SqlConvertFloat,
        Type::SqlConvertInteger,
        Type::SqlConvertTimestamp,
        Type::SqlConvertVarchar,
    ]
    .map(|kind| kind as i32);
    types.iter().map(|kind| (*kind, types.to_vec())).collect()
}

fn types() -> XdbcTypeInfoDataBuilder {
    use XdbcDataType as Type;
    let mut types = XdbcTypeInfoDataBuilder::new();
    let quote = Some("'");
    // The protocol has one number for years and dates.
    let date = XdbcDatetimeSubcode::XdbcSubcodeYear;
    let rows = [
        ("BOOLEAN", Type::XdbcBit, 1, None, None),
        ("TINYINT", Type::XdbcTinyint, 3, None, None),
        ("BIGINT", Type::XdbcBigint, 19, None, None),
        ("VARBINARY", Type::XdbcVarbinary, i32::MAX, quote, None),
        ("DECIMAL", Type::XdbcDecimal, 38, None, None),
        ("INTEGER", Type::XdbcInteger, 10, None, None),
        ("SMALLINT", Type::XdbcSmallint, 5, None, None),
        ("REAL", Type::XdbcReal, 7, None, None),
        ("DOUBLE", Type::XdbcDouble, 15, None, None),
        ("VARCHAR", Type::XdbcVarchar, i32::MAX, quote, None),
        ("DATE", Type::XdbcDate, 10, quote, Some(date)),
        ("TIME", Type::XdbcTime, 15, quote, Some(XdbcDatetimeSubcode::XdbcSubcodeTime)),
        ("TIMESTAMP", Type::XdbcTimestamp, 26, quote, Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp)),
    ];
    for (name, kind, size, quoted, subcode) in rows {
        let is_number = quoted.is_none() && kind != Type::XdbcBit;
        let is_decimal = kind == Type::XdbcDecimal;
        types.append(XdbcTypeInfo {
            type_name: name.to_owned(),
            data_type: kind,
            column_size: Some(size),
            literal_prefix: quoted.map(str::to_owned),
            literal_suffix: quoted.map(str::to_owned),
            create_params: is_decimal.then(|| vec!["precision".to_owned(), "scale".to_owned()]),
            nullable: Nullable::NullabilityNullable,
            case_sensitive: kind == Type::XdbcVarchar,
            searchable: Searchable::Full,
            unsigned_attribute: is_number.then_some(false),
            fixed_prec_scale: false,
            auto_increment: is_number.then_some(false),
            local_type_name: Some(name.to_owned()),
            minimum_scale: is_number.then_some(0),
            maximum_scale: is_number.then_some(if is_decimal { 38 } else { 0 }),
            sql_data_type: if subcode.is_some() { Type::XdbcDatetime } else { kind },
            datetime_subcode: subcode,
            num_prec_radix: is_number.then_some(10),
            interval_precision: None,
        });
    }
    types
}
