"""Asks the Postgres protocol with the clients that people use, and checks every answer.

    python postgres.py HOST:PORT KEY OTHER_KEY LANDING_KEY HTTP_URL

KEY opens the store `demo`, OTHER_KEY the store `demo-eu`; LANDING_KEY may only land. Each check counts; the first that
fails ends the run. `psql` is asked where it is installed.
"""

import asyncio
import datetime
import decimal
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from pathlib import Path

import adbc_driver_postgresql.dbapi as adbc
import asyncpg
import psycopg
import pyarrow as pa
import sqlalchemy as sa

done = 0
RECORDED = json.loads((Path(__file__).parent / "postgres_startup.json").read_text())
SLOW = "select max(a.value + b.value) from range(0, 2000) as a cross join range(0, 30000000) as b"


def check(what: str, holds: bool, seen: object = "") -> None:
    global done
    if not holds:
        sys.exit(f"not so: {what}: {seen}")
    done += 1


def refused(what: str, sqlstate: str, ask, *needles: str) -> None:
    try:
        ask()
    except psycopg.Error as error:
        text = str(error).lower()
        # Errors of libpq itself, at connecting, carry no code but the server's words.
        check(what, error.sqlstate in (sqlstate, None), (error.sqlstate, text))
        check(f"{what}: says why", all(needle.lower() in text for needle in needles), text)
        check(f"{what}: no path and no other store", "/tmp" not in text and "demo-eu" not in text, text)
        return
    sys.exit(f"not refused: {what}")


def main(address: str, key: str, other: str, landing: str, url: str) -> None:
    host, port = address.rsplit(":", 1)
    login = {"host": host, "port": int(port), "user": "any", "password": key, "dbname": "tributary"}
    access(login, other, landing)
    with psycopg.connect(**login, autocommit=True) as connection:
        statements(connection)
        types(connection)
        parameters(connection)
        settings(connection)
        errors(connection)
        recorded(connection)
    transactions(login)
    cancelling(login)
    same_as_http(login, key, url)
    asyncio.run(through_asyncpg(host, int(port), key))
    reflection(f"postgresql+psycopg://any:{key}@{address}/tributary")
    through_adbc(f"postgresql://any:{key}@{address}/tributary")
    if shutil.which("psql"):
        through_psql(login)
    print(f"{done} checks of the Postgres protocol hold")


def access(login: dict, other: str, landing: str) -> None:
    def count(**changes: str) -> int:
        with psycopg.connect(**login | changes) as connection:
            return connection.execute("select count(*) from orders").fetchone()[0]

    refused("a wrong key", "28P01", lambda: count(password="trb_wrong"), "unknown or revoked")
    refused("a key that may only land", "28000", lambda: count(password=landing), "no query scope")
    refused("another store", "28000", lambda: count(dbname="other"), "the store comes from the key")
    mine, theirs = count(), count(password=other)
    check("two keys, two stores", mine > 0 and theirs > 0 and mine != theirs, (mine, theirs))
    check("the names of user and database choose nothing", count(user="demo-eu", dbname="postgres") == mine)
    check("the store as the database's name", count(dbname="demo") == mine)
    check("a key is proved, not sent", count(require_auth="scram-sha-256") == mine)


def statements(connection) -> None:
    cursor = connection.execute("select 1 as one, 'a' as letter")
    check("names of columns", [column.name for column in cursor.description] == ["one", "letter"])
    check("values", cursor.fetchall() == [(1, "a")])
    totals = "select channel, sum(credit) as credit from journey_totals(models => 'linear') group by channel order by 1"
    rows = connection.execute(totals).fetchall()
    check("a table function", len(rows) > 3 and all(isinstance(row[1], decimal.Decimal) for row in rows), rows)
    empty = connection.execute("select * from orders where false")
    check("an empty answer has columns", empty.fetchall() == [] and "order_id" in [c.name for c in empty.description])
    check("many rows", len(connection.execute("select value from range(0, 200000)").fetchall()) == 200_000)
    check("explain", len(connection.execute("explain select count(*) from orders").fetchall()) >= 1)
    check("show tables", len(connection.execute("show tables").fetchall()) > 5)
    check("an empty statement", connection.execute(" ; ").description is None)
    several = connection.execute("select 1; select 2")
    check("several statements in one text", several.fetchall() == [(1,)] and several.nextset() and several.fetchall() == [(2,)])
    with connection.cursor().copy("copy (select 1 as a, 'x,y' as b) to stdout (format csv, header)") as copy:
        check("copy as CSV", b"".join(copy) == b'a,b\n1,"x,y"\n')
    with connection.cursor().copy("copy (select 1 as a, null as b) to stdout") as copy:
        check("copy as text", b"".join(copy) == b"1\t\\N\n")


INSTANT = datetime.datetime(2026, 11, 21, 10, 30, 0, 123456, tzinfo=datetime.timezone.utc)
TYPES = [
    ("true", True),
    ("cast(1 as smallint)", 1),
    ("cast(-7 as int)", -7),
    ("9223372036854775807", 2**63 - 1),
    ("arrow_cast(18446744073709551615, 'UInt64')", decimal.Decimal(2**64 - 1)),
    ("cast(1.5 as real)", 1.5),
    ("0.1e0", 0.1),
    ("cast('12.50' as decimal(18, 4))", decimal.Decimal("12.5000")),
    ("cast('-0.01' as decimal(38, 2))", decimal.Decimal("-0.01")),
    ("cast('999999999999999999999999999999.99999999' as decimal(38, 8))", decimal.Decimal("999999999999999999999999999999.99999999")),
    ("'täxt'", "täxt"),
    ("arrow_cast('view', 'Utf8View')", "view"),
    ("arrow_cast('word', 'Dictionary(Int32, Utf8)')", "word"),
    ("cast(null as varchar)", None),
    ("cast(null as interval)", None),
    ("X'00ff'", b"\x00\xff"),
    ("date '2026-11-21'", datetime.date(2026, 11, 21)),
    ("arrow_cast('2026-11-21T10:30:00.123456Z', 'Timestamp(Microsecond, Some(\"UTC\"))')", INSTANT),
    ("cast('2026-11-21 10:30:00.123456' as timestamp)", INSTANT.replace(tzinfo=None)),
    ("cast('10:30:00.123456' as time)", datetime.time(10, 30, 0, 123456)),
    ("interval '1 day 2 hours'", datetime.timedelta(days=1, hours=2)),
    ("[1, 2]", [1, 2]),
    ("['a', 'b c', null]", ["a", "b c", None]),
    ("[cast('1.5' as decimal(10, 2))]", [decimal.Decimal("1.50")]),
]


def types(connection) -> None:
    for binary in (False, True):
        form = "binary" if binary else "text"
        for expression, value in TYPES:
            found = connection.execute(f"select {expression} as value", binary=binary).fetchone()[0]
            check(f"{expression} as {form}", found == value, found)
        cursor = connection.execute("select ordered_at, revenue from orders limit 1", binary=binary)
        check(f"money is exact, as {form}", cursor.description[1].scale == 4 and cursor.description[1].precision == 18)
        instant, revenue = cursor.fetchone()
        check(f"an instant has a zone, as {form}", instant.tzinfo is not None and isinstance(revenue, decimal.Decimal))


def parameters(connection) -> None:
    def one(sql: str, *values: object, binary: bool = False) -> object:
        return connection.execute(sql, values, binary=binary).fetchone()[0]

    completed = one("select count(*) from orders where status = %s", "completed")
    check("a text as parameter", completed > 0)
    some = one("select count(*) from orders where status = %s and revenue > %s", "completed", decimal.Decimal("50.5"))
    check("a decimal as parameter", 0 < some < completed)
    binary = connection.cursor()
    binary.execute("select count(*) from orders where status = %b and revenue > %b", ("completed", decimal.Decimal("50.5")))
    check("binary parameters", binary.fetchone()[0] == some)
    check("a number as parameter", one("select %s + 1", 41) == 42)
    check("a parameter is never SQL", one("select %s as quoted", "it's; drop table orders") == "it's; drop table orders")
    check("two quotes stay two", one("select %s", "a''b") == "a''b" and one("select 'a''''b'") == "a''b")
    check("null as parameter", one("select %s is null", None) is True)
    check("a date as parameter", one("select count(*) from metrics where date >= %s", datetime.date(1970, 1, 1)) > 0)
    since = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    check("an instant as parameter", one("select count(*) from orders where ordered_at >= %s", since) > 0)
    chosen = one("select count(*) from orders where status = any(%s)", ["completed", "no such"])
    check("a list as parameter", chosen == completed, (chosen, completed))
    check("an empty list as parameter", one("select count(*) from orders where status = any(%s::text[])", []) == 0)
    check("a flag as parameter", one("select %s and true", True) is True)
    check("an id as parameter", one("select %s", uuid.UUID(int=7)) == str(uuid.UUID(int=7)))
    statement = "select sum(credit) from journey_totals(models => %s)"
    check("an option of a function as parameter", one(statement, "linear") > 0)
    for _ in range(8):
        check("a statement that is prepared", one("select count(*) from orders where status = %s", "completed") == completed)


def settings(connection) -> None:
    def show(name: str) -> str:
        return connection.execute(f"show {name}").fetchone()[0]

    check("the server's version", connection.info.server_version // 10000 == 15, connection.info.server_version)
    check("the encoding", show("client_encoding") == "UTF8" and connection.info.encoding == "utf-8")
    connection.execute("set application_name to 'checks'")
    check("a setting that is reported", connection.info.parameter_status("application_name") == "checks")
    connection.execute("set timezone to 'Europe/Berlin'")
    local = connection.execute("select arrow_cast('2026-07-01T00:00:00Z', 'Timestamp(Microsecond, Some(\"UTC\"))')").fetchone()[0]
    check("the zone that instants are shown in", local.utcoffset() == datetime.timedelta(hours=2), local)
    connection.execute("reset timezone")
    check("a reset", show("timezone") == "UTC")
    refused("a setting that is not there", "42704", lambda: connection.execute("set no_such_thing = 1"), "no_such_thing")
    refused("another encoding", "22023", lambda: connection.execute("set client_encoding to 'LATIN1'"), "UTF8")
    connection.execute("set statement_timeout = '300ms'")
    began = time.monotonic()
    refused("a statement that takes too long", "57014", lambda: connection.execute(SLOW), "statement_timeout")
    check("statement_timeout is kept", time.monotonic() - began < 3, time.monotonic() - began)
    connection.execute("discard all")
    check("discard all", show("statement_timeout") == "0" and show("application_name") == "")


def errors(connection) -> None:
    run = connection.execute
    refused("a column that is not there", "42703", lambda: run("select reveneu from orders"), "revenue")
    refused("a table that is not there", "42P01", lambda: run("select * from order_lines"), "order_lines")
    refused("a function that is not there", "42883", lambda: run("select no_such_function(1)"), "no_such_function")
    refused("bad syntax", "42601", lambda: run("selec 1"), "selec")
    refused("a division by zero", "22012", lambda: run("select 1 / 0"), "division")
    refused("a wrong value", "22P02", lambda: run("select 'x'::int + 1"), "")
    refused("a wrong parameter", "22P02", lambda: run("select %s::int + 1", ("x",)), "")
    refused("a deep text", "54000", lambda: run("select " + " + ".join(["1"] * 2000)), "operators")
    refused("a long text", "54000", lambda: run("select '" + "x" * 300_000 + "'"), "bytes")
    writes = ("insert into orders values (1)", "update orders set status = 'x'", "delete from orders", "create table t (a int)",
              "drop table orders", "copy orders from stdin", "truncate orders",
              "with gone as (delete from orders) select 1", "select * into t from orders")
    for statement in writes:
        refused(statement, "25006", lambda statement=statement: run(statement), "only")
    refused("another role", "0A000", lambda: run("set role postgres"), "key")
    refused("the engine's settings", "42601", lambda: run("select * from information_schema.df_settings"), "")
    check("the connection goes on", run("select 1").fetchone() == (1,))


def transactions(login: dict) -> None:
    with psycopg.connect(**login) as connection:
        status = connection.info.transaction_status
        check("no transaction at first", status == psycopg.pq.TransactionStatus.IDLE)
        connection.execute("select 1")
        check("in a transaction", connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS)
        refused("an error in it", "42703", lambda: connection.execute("select nothing from orders"), "nothing")
        check("it has failed", connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR)
        refused("nothing is answered in it", "25P02", lambda: connection.execute("select 1"), "rolled back")
        connection.rollback()
        check("after it", connection.execute("select 1").fetchone() == (1,))
        connection.commit()
        with connection.cursor(name="page") as cursor:
            cursor.itersize = 1000
            cursor.execute("select value from range(0, 2500) order by value")
            check("a cursor of the server's", sum(row[0] for row in cursor) == sum(range(2500)))
        with connection.transaction(), connection.transaction():
            check("a savepoint", connection.execute("select 1").fetchone() == (1,))


def cancelling(login: dict) -> None:
    with psycopg.connect(**login, autocommit=True) as busy, psycopg.connect(**login, autocommit=True) as bystander:
        timer = threading.Timer(0.5, busy.cancel_safe)
        timer.start()
        began = time.monotonic()
        refused("a cancelled statement", "57014", lambda: busy.execute(SLOW), "cancelled")
        check("it stops at once", time.monotonic() - began < 4, time.monotonic() - began)
        check("another connection goes on", bystander.execute("select 1").fetchone() == (1,))
        check("the cancelled one as well", busy.execute("select 1").fetchone() == (1,))
    options = "-c statement_timeout=200"
    with psycopg.connect(**login, options=options, autocommit=True) as connection:
        refused("a limit from the start", "57014", lambda: connection.execute(SLOW), "statement_timeout")


def recorded(connection) -> None:
    for client, queries in RECORDED.items():
        for query in queries:
            try:
                connection.execute(query)
            except psycopg.Error as error:
                sys.exit(f"not so: {client} can ask {query}: {error}")
        check(f"what {client} asks at its start is answered", True)


def same_as_http(login: dict, key: str, url: str) -> None:
    sql = "select status, count(*) as orders, sum(revenue) as revenue from orders group by status order by status"
    request = urllib.request.Request(f"{url}/v1/sql", sql.encode(), {"Authorization": f"Bearer {key}"})
    answer = json.load(urllib.request.urlopen(request))["data"]
    with psycopg.connect(**login) as connection:
        rows = [
            {"status": status, "orders": orders, "revenue": str(revenue)}
            for status, orders, revenue in connection.execute(sql).fetchall()
        ]
    check("the same as over HTTP", rows == answer, (rows, answer))


async def through_asyncpg(host: str, port: int, key: str) -> None:
    login = {"host": host, "port": port, "user": "any", "password": key, "database": "tributary"}
    connection = await asyncpg.connect(**login)
    row = await connection.fetchrow("select count(*) as n, sum(revenue) as revenue from orders where status = $1 and revenue > $2", "completed", decimal.Decimal("10.5"))
    check("asyncpg: values and parameters", row["n"] > 0 and isinstance(row["revenue"], decimal.Decimal), row)
    check("asyncpg: a limit as parameter", len(await connection.fetch("select order_id from orders limit $1", 3)) == 3)
    statuses = await connection.fetchval("select count(*) from orders where status = any($1::text[])", ["completed"])
    check("asyncpg: a list", statuses > 0)
    moment = await connection.fetchval("select max(ordered_at) from orders")
    check("asyncpg: an instant", moment.tzinfo is not None)
    check("asyncpg: a day back", await connection.fetchval("select $1::date", datetime.date(1999, 12, 31)) == datetime.date(1999, 12, 31))
    async with connection.transaction():
        seen = [row["value"] async for row in connection.cursor("select value from range(0, 500) order by value", prefetch=50)]
    check("asyncpg: a portal read bit by bit", seen == list(range(500)))
    prepared = await connection.prepare("select revenue from orders where order_id = $1")
    check("asyncpg: types of a statement", [kind.name for kind in prepared.get_parameters()] == ["text"] and prepared.get_attributes()[0].type.name == "numeric")
    try:
        await connection.fetch("select nothing from orders")
        sys.exit("not refused: asyncpg: a column that is not there")
    except asyncpg.UndefinedColumnError:
        check("asyncpg: errors by their kind", True)
    try:
        await connection.execute("insert into orders values (1)")
        sys.exit("not refused: asyncpg: a write")
    except asyncpg.ReadOnlySQLTransactionError:
        check("asyncpg: writes are refused", True)
    try:
        await connection.fetch(SLOW, timeout=0.5)
        sys.exit("not refused: asyncpg: a time limit")
    except (asyncio.TimeoutError, asyncpg.QueryCanceledError):
        check("asyncpg: a client's own time limit", await connection.fetchval("select 1") == 1)
    await connection.close()
    async with asyncpg.create_pool(**login, min_size=2, max_size=4) as pool:
        counts = await asyncio.gather(*(pool.fetchval("select count(*) from orders") for _ in range(12)))
        check("asyncpg: a pool", len(set(counts)) == 1)


def reflection(url: str) -> None:
    engine = sa.create_engine(url)
    inspector = sa.inspect(engine)
    check("SQLAlchemy: the schema", inspector.default_schema_name == "store", inspector.default_schema_name)
    check("SQLAlchemy: schemas", "store" in inspector.get_schema_names(), inspector.get_schema_names())
    tables = inspector.get_table_names()
    check("SQLAlchemy: tables", {"orders", "touchpoints", "metrics", "journeys"} <= set(tables), tables)
    columns = {column["name"]: column for column in inspector.get_columns("orders")}
    revenue = columns["revenue"]["type"]
    check("SQLAlchemy: money", isinstance(revenue, sa.Numeric) and (revenue.precision, revenue.scale) == (18, 4), revenue)
    check("SQLAlchemy: instants", isinstance(columns["ordered_at"]["type"], sa.DateTime) and columns["ordered_at"]["type"].timezone)
    check("SQLAlchemy: nulls", not columns["order_id"]["nullable"] and columns["utm_source"]["nullable"])
    check("SQLAlchemy: what a column means", bool(columns["revenue"].get("comment")), columns["revenue"])
    check("SQLAlchemy: a key", inspector.get_pk_constraint("orders")["constrained_columns"] == ["order_id"], inspector.get_pk_constraint("orders"))
    check("SQLAlchemy: no foreign keys and no indexes", inspector.get_foreign_keys("orders") == [] and inspector.get_indexes("orders") == [])
    check("SQLAlchemy: views", inspector.get_view_names() == [] and "performance_channels" in inspector.get_view_names("queries"))
    columns = [column["name"] for column in inspector.get_columns("performance_channels", schema="queries")]
    check("SQLAlchemy: a view's columns", columns[:2] == ["channel", "currency"], columns)
    check("SQLAlchemy: a table is there or not", inspector.has_table("orders") and not inspector.has_table("no_such_table"))
    orders = sa.Table("orders", sa.MetaData(), autoload_with=engine)
    question = sa.select(orders.c.status, sa.func.sum(orders.c.revenue)).where(orders.c.status.in_(["completed"])).group_by(orders.c.status)
    with engine.connect() as connection:
        status, total = connection.execute(question).one()
        check("SQLAlchemy: a question", status == "completed" and isinstance(total, decimal.Decimal), (status, total))


def through_adbc(url: str) -> None:
    with adbc.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("select order_id, revenue, ordered_at from orders order by order_id limit 3")
        table = cursor.fetch_arrow_table()
        check("ADBC: Arrow by copy", table.num_rows == 3 and table.schema.names == ["order_id", "revenue", "ordered_at"], table.schema)
        check("ADBC: an instant", pa.types.is_timestamp(table.schema.field("ordered_at").type), table.schema)
        cursor.execute("select count(*) from orders where status = $1", ("completed",))
        check("ADBC: a parameter", cursor.fetchone()[0] > 0)
        cursor.execute("select value from range(0, 100000)")
        check("ADBC: many rows", cursor.fetch_arrow_table().num_rows == 100_000)
        schema = connection.adbc_get_table_schema("orders")
        check("ADBC: a table's columns", {"order_id", "revenue"} <= set(schema.names), schema)
        info = connection.adbc_get_info()
        check("ADBC: the server", "PostgreSQL" in info["vendor_name"], info)
        objects = connection.adbc_get_objects(depth="tables", db_schema_filter="store").read_all().to_pylist()
        names = [
            table["table_name"]
            for catalog in objects
            for schema in catalog["catalog_db_schemas"] or []
            for table in schema["db_schema_tables"] or []
        ]
        check("ADBC: what there is", "orders" in names, objects)


def through_psql(login: dict) -> None:
    def ask(*commands: str) -> str:
        arguments = ["psql", "-X", "-h", login["host"], "-p", str(login["port"]), "-U", "any", "-d", "tributary"]
        for command in commands:
            arguments += ["-c", command]
        environment = os.environ | {"PGPASSWORD": login["password"]}
        result = subprocess.run(arguments, capture_output=True, text=True, env=environment, timeout=60)
        check(f"psql: {commands}", result.returncode == 0 and "ERROR" not in result.stderr, result.stderr)
        return result.stdout

    check("psql: \\dt", "touchpoints" in ask("\\dt"))
    table = ask("\\d orders")
    check("psql: \\d orders", "numeric(18,4)" in table and "timestamp with time zone" in table and "not null" in table, table)
    check("psql: \\d", "orders" in ask("\\d"))
    check("psql: \\df", "journey_totals" in ask("\\df"))
    check("psql: \\dt+", "touchpoints" in ask("\\dt+"))
    check("psql: \\dv", "performance_channels" in ask("\\dv queries.*"))
    check("psql: \\d of a view", "roas" in ask("\\d queries.performance_channels"))
    check("psql: \\dn", "store" in ask("\\dn"))
    check("psql: \\l", "tributary" in ask("\\l"))
    check("psql: \\d+", "numeric(18,4)" in ask("\\d+ orders"))
    for command in ("\\du", "\\dv", "\\di", "\\ds", "\\dm", "\\conninfo"):
        ask(command)
    paged = ask("\\set FETCH_COUNT 100", "select sum(value) from range(0, 1000)")
    check("psql: rows by a cursor", "499500" in paged, paged)
    check("psql: \\copy", ask("\\copy (select 1 as a, 'b' as b) to stdout csv header") == "a,b\n1,b\n")


if __name__ == "__main__":
    main(*sys.argv[1:6])
