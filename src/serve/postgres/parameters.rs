//! Values of parameters, as clients bind them: text or binary, of the types of the protocol.

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use pgwire::api::Type;
use pgwire::api::portal::{Format, Portal};
use pgwire::error::{PgWireError, PgWireResult};

use super::errors::error;
use super::extended::Prepared;
use super::numeric;
use crate::query::{ParamType, Value, Values};

/// Days from 1970 to 2000, where Postgres's calendar begins.
const EPOCH_DAYS: i64 = 10_957;
/// The most values that a list may have.
const LIST_VALUES: usize = 10_000;

/// The values that a portal is bound to, by their places: 1, 2 and so on.
pub fn bound(portal: &Portal<Prepared>) -> PgWireResult<Values> {
    let types = &portal.statement.statement.parameters;
    if portal.parameters.len() != types.len() {
        let message = format!(
            "bind message supplies {} parameters, but the statement requires {}",
            portal.parameters.len(),
            types.len()
        );
        return Err(error("08P01", message));
    }
    if let Format::Individual(formats) = &portal.parameter_format
        && formats.len() != types.len()
    {
        return Err(error("08P01", "the number of formats is not that of the parameters"));
    }
    let given = &portal.statement.parameter_types;
    let mut values = Values::new();
    for (place, (bytes, own)) in portal.parameters.iter().zip(types).enumerate() {
        // The type that the client has named is the one that it has written the value in.
        let given = given.get(place).and_then(Option::as_ref).filter(|kind| **kind != Type::UNKNOWN);
        let kind = given.unwrap_or(own);
        let is_binary = portal.parameter_format.is_binary(place);
        let value = value(kind, is_binary, bytes.as_deref());
        values.insert((place + 1).to_string(), value.ok_or_else(|| wrong(place + 1, kind, is_binary))?);
    }
    Ok(values)
}

fn wrong(place: usize, kind: &Type, is_binary: bool) -> PgWireError {
    if form(kind).is_none() && element(kind).is_none() {
        return error(
            "0A000",
            format!("parameter {place} has type {kind}, which no column compares with: cast it"),
        );
    }
    let code = if is_binary { "22P03" } else { "22P02" };
    error(code, format!("parameter {place} is not a value of type {kind}"))
}

/// What a value of a type is bound as.
fn form(kind: &Type) -> Option<ParamType> {
    Some(match *kind {
        Type::BOOL => ParamType::Bool,
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => ParamType::Int,
        Type::FLOAT4 | Type::FLOAT8 => ParamType::Float,
        Type::NUMERIC => ParamType::Decimal,
        Type::DATE => ParamType::Date,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => ParamType::Instant,
        Type::TEXT
        | Type::VARCHAR
        | Type::BPCHAR
        | Type::NAME
        | Type::CHAR
        | Type::UNKNOWN
        | Type::UUID
        | Type::JSON
        | Type::INTERVAL
        | Type::TIME
        | Type::REGCLASS
        | Type::REGTYPE
        | Type::REGPROC
        | Type::REGNAMESPACE => ParamType::Text,
        _ => return None,
    })
}

/// The type of a list's values.
fn element(kind: &Type) -> Option<Type> {
    Some(match *kind {
        Type::BOOL_ARRAY => Type::BOOL,
        Type::INT2_ARRAY => Type::INT2,
        Type::INT4_ARRAY => Type::INT4,
        Type::INT8_ARRAY => Type::INT8,
        Type::OID_ARRAY => Type::OID,
        Type::FLOAT4_ARRAY => Type::FLOAT4,
        Type::FLOAT8_ARRAY => Type::FLOAT8,
        Type::NUMERIC_ARRAY => Type::NUMERIC,
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::NAME_ARRAY => Type::TEXT,
        Type::UUID_ARRAY => Type::UUID,
        Type::DATE_ARRAY => Type::DATE,
        Type::TIMESTAMP_ARRAY => Type::TIMESTAMP,
        Type::TIMESTAMPTZ_ARRAY => Type::TIMESTAMPTZ,
        _ => return None,
    })
}

fn value(kind: &Type, is_binary: bool, bytes: Option<&[u8]>) -> Option<Value> {
    if let Some(element) = element(kind) {
        let form = form(&element)?;
        let Some(bytes) = bytes else { return Some(Value::Null(form)) };
        let values = if is_binary { binary_list(&element, bytes) } else { text_list(&element, bytes) };
        return Some(Value::List(form, values?));
    }
    let form = form(kind)?;
    match (bytes, is_binary) {
        (None, _) => Some(Value::Null(form)),
        (Some(bytes), true) => binary(kind, bytes),
        (Some(bytes), false) => text(form, std::str::from_utf8(bytes).ok()?),
    }
}

fn text(form: ParamType, text: &str) -> Option<Value> {
    match form {
        ParamType::Bool => match text.trim().to_ascii_lowercase().as_str() {
            "t" | "true" | "y" | "yes" | "on" | "1" => Some(Value::Bool(true)),
            "f" | "false" | "n" | "no" | "off" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        ParamType::Date => text.trim().parse().ok().map(Value::Date),
        ParamType::Instant => instant(text.trim()).map(Value::Instant),
        ParamType::Text => Some(Value::Text(text.to_owned())),
        other => Value::parse(other, text.trim(), NaiveDate::default()),
    }
}

/// An instant with its offset; one without is in UTC, as the tables' own are.
fn instant(text: &str) -> Option<DateTime<Utc>> {
    let with_offset = ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z"]
        .iter()
        .find_map(|form| DateTime::parse_from_str(text, form).ok());
    if let Some(at) = with_offset {
        return Some(at.with_timezone(&Utc));
    }
    let local = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let day = || Some(text.parse::<NaiveDate>().ok()?.and_time(NaiveTime::MIN));
    local.or_else(day).map(|local| local.and_utc())
}

fn binary(kind: &Type, bytes: &[u8]) -> Option<Value> {
    let int = |bytes: &[u8]| match bytes.len() {
        2 => Some(i64::from(i16::from_be_bytes(bytes.try_into().ok()?))),
        4 => Some(i64::from(i32::from_be_bytes(bytes.try_into().ok()?))),
        8 => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
        _ => None,
    };
    match *kind {
        Type::BOOL => Some(Value::Bool(*bytes.first()? != 0)),
        Type::INT2 | Type::INT4 | Type::INT8 => int(bytes).map(Value::Int),
        Type::OID => Some(Value::Int(u32::from_be_bytes(bytes.try_into().ok()?).into())),
        Type::FLOAT4 => finite(f64::from(f32::from_be_bytes(bytes.try_into().ok()?))),
        Type::FLOAT8 => finite(f64::from_be_bytes(bytes.try_into().ok()?)),
        Type::NUMERIC => {
            Value::parse(ParamType::Decimal, &numeric::read_binary(bytes)?, NaiveDate::default())
        }
        Type::DATE => {
            let days = u64::try_from(int(bytes)? + EPOCH_DAYS + DAYS_BEFORE_1970).ok()?;
            FIRST_DAY.checked_add_days(Days::new(days)).map(Value::Date)
        }
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            let since_2000 = TimeDelta::microseconds(int(bytes)?);
            let epoch = DateTime::from_timestamp(EPOCH_DAYS * 86_400, 0)?;
            epoch.checked_add_signed(since_2000).map(Value::Instant)
        }
        Type::UUID => {
            let id = uuid::Uuid::from_slice(bytes).ok()?;
            Some(Value::Text(id.to_string()))
        }
        Type::INTERVAL | Type::TIME => None,
        _ => Some(Value::Text(std::str::from_utf8(bytes).ok()?.to_owned())),
    }
}

/// The first day that a date may be, so that days can be counted up from it.
const FIRST_DAY: NaiveDate = match NaiveDate::from_ymd_opt(1, 1, 1) {
    Some(day) => day,
    None => NaiveDate::MIN,
};
const DAYS_BEFORE_1970: i64 = 719_162;

fn finite(number: f64) -> Option<Value> {
    number.is_finite().then_some(Value::Float(number))
}

/// Dimensions, a flag for nulls, the type, each dimension's length and first place; then the values.
fn binary_list(kind: &Type, bytes: &[u8]) -> Option<Vec<Value>> {
    let mut rest = bytes;
    let mut int = || {
        let (head, tail) = rest.split_first_chunk::<4>()?;
        rest = tail;
        Some(i32::from_be_bytes(*head))
    };
    let (dimensions, _, _) = (int()?, int()?, int()?);
    if dimensions == 0 {
        return Some(Vec::new());
    }
    let (count, _) = (usize::try_from(int()?).ok()?, int()?);
    if dimensions != 1 || count > LIST_VALUES {
        return None;
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let (head, tail) = rest.split_first_chunk::<4>()?;
        let length = i32::from_be_bytes(*head);
        let (bytes, tail) = match usize::try_from(length) {
            Ok(length) => {
                let (bytes, tail) = tail.split_at_checked(length)?;
                (Some(bytes), tail)
            }
            Err(_) => (None, tail),
        };
        rest = tail;
        values.push(value(kind, true, bytes)?);
    }
    Some(values)
}

/// `{a,"b c",NULL}`
fn text_list(kind: &Type, bytes: &[u8]) -> Option<Vec<Value>> {
    let inner = std::str::from_utf8(bytes).ok()?.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut values = Vec::new();
    let mut letters = inner.chars().peekable();
    while letters.peek().is_some() {
        let (mut item, mut is_quoted) = (String::new(), false);
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        if letters.next_if_eq(&'"').is_some() {
            is_quoted = true;
            loop {
                match letters.next()? {
                    '"' => break,
                    '\\' => item.push(letters.next()?),
                    letter => item.push(letter),
                }
            }
            while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        } else {
            while let Some(letter) = letters.next_if(|letter| *letter != ',') {
                if matches!(letter, '{' | '}' | '"') {
                    return None;
                }
                item.push(letter);
            }
            item.truncate(item.trim_end().len());
        }
        let is_null = !is_quoted && item.eq_ignore_ascii_case("null");
        values.push(value(kind, false, (!is_null).then_some(item.as_bytes()))?);
        match letters.next() {
            Some(',') if letters.peek().is_some() && values.len() < LIST_VALUES => {}
            None => break,
            _ => return None,
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(kind: &Type, text: &str) -> Option<String> {
        value(kind, false, Some(text.as_bytes()))?.text()
    }

    #[test]
    fn texts_are_read_by_their_type() {
        assert_eq!(shown(&Type::INT4, "-3").unwrap(), "-3");
        assert_eq!(shown(&Type::NUMERIC, "12.50").unwrap(), "12.50");
        assert_eq!(shown(&Type::BOOL, "T").unwrap(), "true");
        assert_eq!(shown(&Type::DATE, "2026-11-21").unwrap(), "2026-11-21");
        for at in ["2026-11-21 10:00:00+01", "2026-11-21 09:00:00", "2026-11-21T09:00:00.000Z"] {
            assert_eq!(shown(&Type::TIMESTAMPTZ, at).unwrap(), "2026-11-21T09:00:00.000000Z", "{at}");
        }
        assert_eq!(shown(&Type::TEXT, "it's").unwrap(), "it's");
        for (kind, wrong) in [
            (Type::INT4, "1.5"),
            (Type::NUMERIC, "1e3"),
            (Type::FLOAT8, "NaN"),
            (Type::DATE, "today"),
            (Type::BOOL, "maybe"),
            (Type::BYTEA, "\\x00"),
        ] {
            assert_eq!(shown(&kind, wrong), None, "{kind} {wrong}");
        }
    }

    #[test]
    fn binary_values_are_read_by_their_type() {
        let read = |kind: &Type, bytes: &[u8]| value(kind, true, Some(bytes)).unwrap().text().unwrap();
        assert_eq!(read(&Type::INT2, &[0xff, 0xfd]), "-3");
        assert_eq!(read(&Type::DATE, &9_821_i32.to_be_bytes()), "2026-11-21");
        assert_eq!(read(&Type::DATE, &(-1_i32).to_be_bytes()), "1999-12-31");
        assert_eq!(read(&Type::TIMESTAMPTZ, &1_i64.to_be_bytes()), "2000-01-01T00:00:00.000001Z");
        assert_eq!(read(&Type::FLOAT4, &1.5_f32.to_be_bytes()), "1.5");
        assert!(value(&Type::INT4, true, Some(&[1])).is_none());
        assert!(value(&Type::DATE, true, Some(&i32::MIN.to_be_bytes())).is_none());
        assert_eq!(value(&Type::INT8, true, None), Some(Value::Null(ParamType::Int)));
    }

    #[test]
    fn lists_are_read_with_quotes_and_nulls() {
        let texts = |text: &str| text_list(&Type::TEXT, text.as_bytes());
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(texts("{}").unwrap(), []);
        let some = [text("a"), text("b, \"c\""), Value::Null(ParamType::Text), text("NULL")];
        assert_eq!(texts(r#"{a,"b, \"c\"",NULL,"NULL"}"#).unwrap(), some);
        assert_eq!(texts(r#"{"a", b }"#).unwrap(), [text("a"), text("b")]);
        for wrong in ["a", "{a", "{a,}", "{\"a}", "{{a},{b}}"] {
            assert!(texts(wrong).is_none(), "{wrong}");
        }
        let mut bytes = Vec::new();
        for number in [1, 0, 23, 2, 1, 4, 7, -1] {
            bytes.extend(i32::to_be_bytes(number));
        }
        let list = value(&Type::INT4_ARRAY, true, Some(&bytes)).unwrap();
        assert_eq!(list, Value::List(ParamType::Int, vec![Value::Int(7), Value::Null(ParamType::Int)]));
        assert!(value(&Type::INT4_ARRAY, true, Some(&bytes[..30])).is_none());
    }
}
