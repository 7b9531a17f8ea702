"""Asks Flight SQL with the clients that people use, and checks every answer.

    python flight_sql.py ADDRESS KEY OTHER_KEY HTTP_URL

KEY opens the store `demo`, OTHER_KEY the store `demo-eu`. Each check counts; the first that fails ends the run.
"""

import decimal
import json
import sys
import urllib.request

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow as pa
import pyarrow.flight as flight
from adbc_driver_flightsql import DatabaseOptions
from adbc_driver_manager import Error as AdbcError

done = 0


def check(what: str, holds: bool, seen: object = "") -> None:
    global done
    if not holds:
        sys.exit(f"not so: {what}: {seen}")
    done += 1


def refused(what: str, ask, *needles: str) -> None:
    try:
        ask()
    except (AdbcError, flight.FlightError, pa.ArrowException) as error:
        text = str(error).lower()
        check(what, all(needle.lower() in text for needle in needles), error)
        check(f"{what}: no path and no other store", "/tmp" not in text and "demo-eu" not in text, error)
        return
    sys.exit(f"not refused: {what}")


def connect(address: str, key: str):
    return flight_sql.connect(address, db_kwargs={"username": "any", "password": key}, autocommit=True)


def main(address: str, key: str, other: str, url: str) -> None:
    access(address, key, other)
    with connect(address, key) as connection:
        statements(connection)
        types(connection)
        parameters(connection)
        catalogs(connection)
        errors(connection)
    same_as_http(address, key, url)
    plain_flight(address, key)
    print(f"{done} checks of Flight SQL hold")


def access(address: str, key: str, other: str) -> None:
    def count(secret: str) -> int:
        with connect(address, secret) as connection, connection.cursor() as cursor:
            cursor.execute("select count(*) from orders")
            return cursor.fetchone()[0]

    refused("no password", lambda: count(""), "key")
    refused("a wrong password", lambda: count("trb_wrong"), "unknown or revoked")
    mine, theirs = count(key), count(other)
    check("two keys, two stores", mine > 0 and theirs > 0 and mine != theirs, (mine, theirs))
    header = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {key}"}
    with flight_sql.connect(address, db_kwargs=header, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from orders")
        check("a bearer is as good as a password", cursor.fetchone()[0] == mine)


def statements(connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("select 1 as one, 'a' as letter")
        check("names of columns", [column[0] for column in cursor.description] == ["one", "letter"])
        check("values", cursor.fetchall() == [(1, "a")])
        cursor.execute("select channel, sum(credit) as credit from journey_totals(models => 'linear') group by channel order by channel")
        rows = cursor.fetchall()
        check("a table function", len(rows) > 3 and all(isinstance(row[1], decimal.Decimal) for row in rows), rows)
        cursor.execute("select * from orders where false")
        table = cursor.fetch_arrow_table()
        check("an empty answer has columns", table.num_rows == 0 and "order_id" in table.column_names)
        cursor.execute("select value from range(0, 200000)")
        check("many rows", cursor.fetch_arrow_table().num_rows == 200_000)
        cursor.execute("explain select count(*) from orders")
        check("explain", len(cursor.fetchall()) >= 1)
        cursor.execute("show tables")
        check("show tables", len(cursor.fetchall()) > 5)
        cursor.execute("select order_id, revenue from orders limit 3")
        frame = cursor.fetch_df()
        check("a data frame", list(frame.columns) == ["order_id", "revenue"] and len(frame) == 3)
        cursor.execute("select order_id, revenue from orders limit 3")
        check("a Polars frame", cursor.fetch_polars().shape == (3, 2))
        schema = cursor.adbc_prepare("select revenue from orders where status = ?")
        check("a prepared statement has parameters", schema is not None and len(schema) == 1, schema)


TYPES = [
    ("true", pa.bool_(), True),
    ("cast(1 as smallint)", pa.int16(), 1),
    ("cast(1 as int)", pa.int32(), 1),
    ("1", pa.int64(), 1),
    ("cast(1.5 as real)", pa.float32(), 1.5),
    ("1.5e0", pa.float64(), 1.5),
    ("cast('12.50' as decimal(18, 4))", pa.decimal128(18, 4), decimal.Decimal("12.5000")),
    ("cast('-0.01' as decimal(38, 2))", pa.decimal128(38, 2), decimal.Decimal("-0.01")),
    ("'text'", pa.string(), "text"),
    ("arrow_cast('text', 'Utf8View')", pa.string(), "text"),
    ("arrow_cast('text', 'Dictionary(Int32, Utf8)')", pa.string(), "text"),
    ("arrow_cast('text', 'LargeUtf8')", pa.string(), "text"),
    ("cast(null as varchar)", pa.string(), None),
    ("X'00ff'", pa.binary(), b"\x00\xff"),
    ("date '2026-11-21'", pa.date32(), None),
    ("[1, 2]", pa.list_(pa.int64()), [1, 2]),
    ("named_struct('a', 1)", pa.struct([("a", pa.int64())]), {"a": 1}),
]


def types(connection) -> None:
    for expression, kind, value in TYPES:
        with connection.cursor() as cursor:
            cursor.execute(f"select {expression} as value")
            table = cursor.fetch_arrow_table()
            found = table.schema.field("value")
            check(f"type of {expression}", found.type.equals(kind), found.type)
            if value is not None:
                check(f"value of {expression}", table.column("value")[0].as_py() == value)
    with connection.cursor() as cursor:
        cursor.execute("select ordered_at, revenue from orders limit 1")
        schema = cursor.fetch_arrow_table().schema
        check("an instant has a zone", pa.types.is_timestamp(schema.field(0).type) and schema.field(0).type.tz == "UTC")
        check("money is exact", schema.field(1).type.equals(pa.decimal128(18, 4)))


def parameters(connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from orders where status = ?", ("completed",))
        completed = cursor.fetchone()[0]
        check("a text as parameter", completed > 0)
        cursor.execute("select count(*) from orders where status = $1 and revenue > $2", ("completed", 0))
        check("numbered parameters", 0 < cursor.fetchone()[0] <= completed)
        cursor.execute("select ? + 1", (41,))
        check("a number as parameter", cursor.fetchone()[0] == 42)
        cursor.execute("select ? as quoted", ("it's; drop table orders",))
        check("a parameter is never SQL", cursor.fetchone()[0] == "it's; drop table orders")
        cursor.execute("select ? is null", (None,))
        check("null as parameter", cursor.fetchone()[0] is True)


def catalogs(connection) -> None:
    info = connection.adbc_get_info()
    check("the server's name", info["vendor_name"] == "Tributary", info)
    check("the server's version", bool(info["vendor_version"]))
    check("types of tables", connection.adbc_get_table_types() == ["TABLE", "VIEW"])
    objects = connection.adbc_get_objects(depth="all").read_all().to_pylist()
    check("one catalog", [catalog["catalog_name"] for catalog in objects] == ["tributary"], objects)
    schemas = objects[0]["catalog_db_schemas"]
    by_name = {schema["db_schema_name"]: schema["db_schema_tables"] for schema in schemas}
    check("two schemas", sorted(by_name) == ["queries", "store"])
    views = {table["table_name"]: table for table in by_name["queries"]}
    check("named queries are views", views["attribution_by_channel"]["table_type"] == "VIEW")
    check("a query that needs a parameter is no view", "attribution_explain_order" not in views)
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from queries.attribution_by_channel")
        everything = cursor.fetchone()[0]
        cursor.execute("select count(*) from queries.attribution_by_channel(model => ?)", ("linear",))
        check("a named query takes parameters", 0 < cursor.fetchone()[0] <= everything)
    tables = {table["table_name"]: table for table in by_name["store"]}
    check("tables", {"orders", "touchpoints", "metrics", "journeys"} <= set(tables), sorted(tables))
    columns = [column["column_name"] for column in tables["orders"]["table_columns"]]
    check("columns", {"order_id", "revenue", "ordered_at"} <= set(columns), columns)
    some = connection.adbc_get_objects(depth="tables", table_name_filter="order%").read_all().to_pylist()
    names = [table["table_name"] for schema in some[0]["catalog_db_schemas"] for table in schema["db_schema_tables"]]
    check("a pattern of names", names == ["orders"], names)
    announced = connection.adbc_get_table_schema("orders")
    check("a table's schema", announced.field("revenue").type.equals(pa.decimal128(18, 4)))
    with connection.cursor() as cursor:
        cursor.execute("select * from orders limit 1")
        sent = cursor.fetch_arrow_table().schema
        check("announced as sent", sent.names == announced.names and sent.types == announced.types, (sent, announced))


def errors(connection) -> None:
    def run(sql: str):
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    refused("a column that is not there", lambda: run("select reveneu from orders"), "revenue")
    refused("a table that is not there", lambda: run("select * from order"), "")
    refused("bad syntax", lambda: run("selec 1"), "")
    for statement in ("insert into orders values (1)", "delete from orders", "create table t (a int)", "drop table orders"):
        refused(statement, lambda statement=statement: run(statement), "only")
    refused("an ingest", lambda: connection.cursor().adbc_ingest("orders", pa.table({"a": [1]}), mode="append"), "")
    refused("a division by zero", lambda: run("select 1 / 0"), "division")


def same_as_http(address: str, key: str, url: str) -> None:
    sql = "select status, count(*) as orders, sum(revenue) as revenue from orders group by status order by status"
    request = urllib.request.Request(f"{url}/v1/sql", sql.encode(), {"Authorization": f"Bearer {key}"})
    answer = json.load(urllib.request.urlopen(request))["data"]
    with connect(address, key) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        rows = [
            {"status": status, "orders": orders, "revenue": str(revenue)}
            for status, orders, revenue in cursor.fetchall()
        ]
    check("the same as over HTTP", rows == answer, (rows, answer))


def plain_flight(address: str, key: str) -> None:
    client = flight.FlightClient(address.replace("grpc://", "grpc+tcp://"))
    token = client.authenticate_basic_token("any", key)
    check("a token", token[0] == b"authorization" and token[1].startswith(b"Bearer "), token)
    refused("a wrong token", lambda: client.authenticate_basic_token("any", "trb_wrong"), "")
    actions = [action.type for action in client.list_actions(flight.FlightCallOptions(headers=[token]))]
    check("actions", "CancelFlightInfo" in actions, actions)


if __name__ == "__main__":
    main(*sys.argv[1:5])
