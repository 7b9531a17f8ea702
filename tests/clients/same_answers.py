"""Asks the same of every door, and compares the values.

    python same_answers.py HTTP_URL FLIGHT_ADDRESS KEY TRIBUTARY LAKE [POSTGRES_ADDRESS]

The columns' Arrow types, as HTTP sends them, say how a text stands for a value: a decimal, an instant, a whole number
beyond 2^53. Rows are compared as sets with counts, but where the statement orders them.
"""

import datetime
import decimal
import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.ipc

import doors

EXPRESSIONS = [
    "true", "false", "cast(null as boolean)", "cast(7 as tinyint)", "cast(-128 as tinyint)", "cast(300 as smallint)", "cast(2147483647 as int)",
    "9007199254740993", "cast(-9223372036854775808 as bigint)", "cast(9223372036854775807 as bigint)", "cast(255 as tinyint unsigned)",
    "cast(65535 as smallint unsigned)", "cast(4294967295 as int unsigned)", "cast(18446744073709551615 as bigint unsigned)",
    "cast(1.5 as float)", "cast(0.1 as double)", "cast(-0.0 as double)", "cast('NaN' as double)", "cast('inf' as double)", "cast('-inf' as double)",
    "cast(1e300 as double)", "cast(5e-324 as double)", "cast(null as double)", "cast('12345678901234.5678' as decimal(18, 4))", "cast(0 as decimal(18, 4))",
    "cast(-0.0001 as decimal(18, 4))", "cast('99999999999999.9999' as decimal(18, 4))", "cast(1 as decimal(38, 0))", "cast(0.5 as decimal(24, 12))", "cast(null as decimal(18, 4))",
    "''", "'plain'", "'it''s'", "'Zoë 😀 “quoted”'", "'a,b;c\"d\te'", "'line one\nline two'", "cast(null as varchar)", "arrow_cast('view', 'Utf8View')", "arrow_cast('large', 'LargeUtf8')",
    "date '1969-12-31'", "date '2026-02-28'", "date '9999-12-31'", "cast(null as date)", "timestamp '2026-03-29 01:30:00'", "arrow_cast('2026-03-29T01:30:00.123456Z', 'Timestamp(Microsecond, Some(\"UTC\"))')",
    "arrow_cast('1969-12-31T23:59:59.999999Z', 'Timestamp(Microsecond, Some(\"UTC\"))')", "arrow_cast('2026-03-29T01:30:00', 'Timestamp(Second, None)')", "arrow_cast('2026-03-29T01:30:00.5', 'Timestamp(Millisecond, None)')",
    "cast(null as timestamp)", "time '09:30:00'", "time '23:59:59.999999'", "[1, 2, 3]", "['a', null]", "[1.5, 2.5]", "[date '2026-01-01']", "[true, false]", "arrow_cast('dict', 'Dictionary(Int32, Utf8)')",
    "cast('binary' as bytea)", "case when false then 1 end", "1 + 1.5", "10 / 4", "10 / 4.0", "1e2", "date '2026-03-01' - 1", "count(*)", "coalesce(null, 'x')", "length('größe')",
]

QUESTIONS = [
    "select * from orders order by order_id limit 50", "select * from touchpoints order by touch_id limit 50", "select * from customers order by customer_id limit 20",
    "select * from metrics order by channel, source, campaign, date limit 50", "select * from campaigns order by campaign_id limit 20", "select * from benchmarks order by channel, metric limit 20",
    "select * from stores", "select * from identities order by anonymous_id limit 20", "select * from refunds order by refund_id limit 20", "select * from journeys order by order_id, entry_id, touch_id limit 50",
    "select channel, count(*), sum(cost), min(touched_at), max(touched_at), avg(cost) from touchpoints group by channel order by channel",
    "select status, count(*), sum(revenue), avg(revenue), min(ordered_at) from orders group by status order by status",
    "select customer_id, sum(revenue) as total from orders group by customer_id having sum(revenue) > 100 order by total desc, customer_id limit 30",
    "select date_trunc('month', ordered_at) as month, sum(revenue) from orders group by 1 order by 1", "select * from journey_totals(models => 'linear,last_touch') order by 1, 2, 3",
    "select order_id, row_number() over (order by revenue desc, order_id) as place from orders order by place limit 20", "select * from orders where false", "select count(*) from journeys()",
    "select distinct channel from touchpoints order by channel", "select o.order_id, count(t.touch_id) from orders o left join touchpoints t using (customer_id) group by 1 order by 2 desc, 1 limit 20",
    "with a as (select channel, sum(cost) c from touchpoints group by 1) select channel, c / (select sum(c) from a) from a order by 1", "values (1, 'a'), (2, null)", "select * from (values (1.10), (2.25)) t(x) order by x",
    "select table_schema, table_name, table_type from information_schema.tables order by 1, 2", "select column_name, data_type from information_schema.columns where table_name = 'orders' order by ordinal_position",
    "select stddev(cost), median(cost), approx_distinct(customer_id) from touchpoints", "select percentile_cont(0.5) within group (order by revenue) from orders", "select array_agg(order_id order by order_id) from (select order_id from orders order by 1 limit 5)",
    "select string_agg(channel, ',' order by channel) from (select distinct channel from touchpoints)", "select extract(year from ordered_at), count(*) from orders group by 1 order by 1",
]


def value(json_value, kind: pa.DataType):
    """A value of JSON, of the column's type."""
    if json_value is None:
        return None
    if pa.types.is_decimal(kind):
        return decimal.Decimal(json_value)
    if pa.types.is_timestamp(kind):
        return datetime.datetime.fromisoformat(json_value)
    if pa.types.is_date(kind):
        return datetime.date.fromisoformat(json_value)
    if pa.types.is_time(kind):
        return datetime.time.fromisoformat(json_value)
    if pa.types.is_integer(kind):
        return int(json_value)
    if pa.types.is_floating(kind):
        return float(json_value)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return bytes.fromhex(json_value) if isinstance(json_value, str) else json_value
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [value(item, kind.value_type) for item in json_value]
    return json_value


def from_json(text: bytes, schema: pa.Schema) -> list[tuple]:
    rows = json.loads(text)["data"]
    return [tuple(value(cell, field.type) for cell, field in zip(row.values(), schema)) for row in rows]


def normal(rows: list[tuple], ordered: bool, schema: pa.Schema) -> list:
    # Postgres has no whole numbers of 64 bits without a sign: they come as numerics.
    whole = [pa.types.is_uint64(field.type) for field in schema]
    found = [[doors.plain(int(cell) if is_whole and cell is not None else cell) for cell, is_whole in zip(row, whole)] for row in rows]
    return found if ordered else sorted(found, key=repr)


def questions(url: str, key: str) -> list[str]:
    listed = json.loads(doors.http(url, key, "/v1/queries"))
    listed = listed if isinstance(listed, list) else listed["queries"]
    relations = [query["name"].replace("/", "_") for query in listed if not any(param["required"] for param in query["params"])]
    whole = [f"select * from queries.{relation}" for relation in relations]
    counted = [f"select count(*) from queries.{relation}" for relation in relations]
    of_model = [f"select * from queries.attribution_by_channel(model => '{model}')" for model in ["first_touch", "last_touch", "linear", "time_decay", "position_based"]]
    expressions = [f"select {text} as value" for text in EXPRESSIONS]
    # Beside a null, in several rows, as a column that may be null.
    nullable = [f"select case when n = 1 then {text} end as value from (values (1), (2), (3)) t(n) order by n" for text in EXPRESSIONS if "count(" not in text]
    return list(dict.fromkeys(QUESTIONS + whole + counted + of_model + expressions + nullable))


def main(url: str, flight: str, key: str, tributary: str, lake: str, postgres: str = "") -> None:
    compared, differences, refused = 0, [], 0
    pg = {}
    if postgres:
        import psycopg

        host, port = postgres.split("//")[-1].rsplit(":", 1)
        for name, binary in [("postgres text", False), ("postgres binary", True)]:
            connection = psycopg.connect(host=host, port=int(port), user="any", password=key, dbname="tributary", autocommit=True)
            pg[name] = lambda sql, connection=connection, binary=binary: connection.cursor(binary=binary).execute(sql).fetchall()
    for sql in questions(url, key):
        try:
            body = doors.http(url, key, "/v1/sql?format=arrow", sql.encode(), {"Content-Type": "text/plain"})
        except doors.Refused as error:
            refused += 1
            print(f"refused everywhere? {sql[:100]}: {str(error)[-200:]}")
            continue
        table = pa.ipc.open_stream(body).read_all()
        ordered = "order by" in sql
        expected = normal(doors.table_rows(table), ordered, table.schema)

        def by_json(sql: str) -> list[tuple]:
            return from_json(doors.http(url, key, "/v1/sql?format=json", sql.encode(), {"Content-Type": "text/plain"}), table.schema)

        def by_cli(sql: str) -> list[tuple]:
            command = [tributary, "sql", "--data", lake, "--store", "demo", "--format", "json", "-c", sql]
            return from_json(subprocess.run(command, check=True, capture_output=True, timeout=120).stdout, table.schema)

        asked = {"http json": by_json, "flight": lambda sql: doors.flight(flight, key, sql), "cli": by_cli, **pg}
        for door, ask in asked.items():
            if door.startswith("postgres") and "information_schema" in sql:
                # There the catalog is Postgres's own, with its types.
                continue
            try:
                seen = normal(ask(sql), ordered, table.schema)
            except Exception as error:
                seen = [repr(error)[:300]]
            if seen != expected:
                at = next((at for at, (a, b) in enumerate(zip(seen, expected)) if a != b), min(len(seen), len(expected)))
                differences.append(f"{door}: {sql[:120]}: row {at}: {seen[at:at + 1]} is not {expected[at:at + 1]}")
        compared += 1
    print(f"{compared} statements give the same over arrow, {', '.join(['http json', 'flight', 'cli', *pg])}; {refused} refused; {len(differences)} differences")
    if differences or refused or compared < 200:
        sys.exit("\n".join(differences[:60]))


if __name__ == "__main__":
    main(*sys.argv[1:])
