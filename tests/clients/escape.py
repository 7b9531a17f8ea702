"""Tries to see another store through every door, and looks for its canaries in whatever comes back.

    python escape.py HTTP_URL FLIGHT_ADDRESS KEY OTHER_KEY LAKE [POSTGRES_ADDRESS]

KEY opens the store `demo`; OTHER_KEY the store `canary-store-zq`, in whose every text stands CANARY7F3A. LAKE is the folder
of the tables. An attempt leaks where an answer or a refusal has a canary, the other store's name (but as the attempt itself
wrote it), a path of the lake or the name of a data file in it.
"""

import json
import re
import sys
import urllib.parse

import pyarrow.flight as arrow_flight

import doors

CANARY = "CANARY7F3A"
AMOUNT = "987654.4321"
OTHER = "canary-store-zq"
TABLES = [
    "touchpoints", "orders", "refunds", "metrics", "campaigns", "content", "channels", "customers", "identities", "invites",
    "stores", "benchmarks", "quarantine", "journeys", "channel_daily",
]


def statements(lake: str) -> list[str]:
    """Attempts in SQL, for every door that takes it."""
    found = []
    for table in TABLES:
        found += [
            f"select * from {table} where store_id <> 'demo'",
            f"select * from {table} where store_id = '{OTHER}' or 1 = 1 limit 2000",
            f"select * from tributary.\"{OTHER}\".{table}",
            f"select * from \"{OTHER}\".store.{table}",
            f"select * from \"../{OTHER}/{table}\"",
            f"select distinct store_id from {table}",
        ]
    paths = [
        f"{lake}/orders", f"{lake}/orders/store_id={OTHER}/", f"{lake}/orders/_delta_log/00000000000000000000.json",
        "/etc/passwd", f"file://{lake}/orders/", "../keys.json", f"{lake}.keys.json",
    ]
    for path in paths:
        found.append(f"select * from '{path}'")
        found.append(f"select * from \"{path}\"")
        for function in ["read_parquet", "parquet_scan", "read_csv", "read_json", "delta_scan", "glob", "read_text", "parquet_metadata"]:
            found.append(f"select * from {function}('{path}')")
        found.append(f"create external table stolen stored as parquet location '{path}'")
        found.append(f"copy orders to '{path}/out.parquet'")
        found.append(f"copy (select 1) to '{path}' stored as csv")
    found += [
        "create table t as select 1", "create view v as select * from orders", "create or replace view orders as select 1",
        "create schema s", "create database d", "create function f(int) returns int return $1", "drop table orders",
        "drop view queries.attribution_by_channel", "alter table orders rename to o", "truncate table orders",
        "insert into orders select * from orders", "insert into orders (order_id) values ('x')", "update orders set revenue = 0",
        "delete from orders", "merge into orders using orders o on false when not matched then insert values (1)",
        "with x as (delete from orders returning *) select * from x", "with x as (insert into orders select * from orders) select 1",
        "select * into stolen from orders", "select * from orders for update", "set datafusion.catalog.default_catalog = 'x'",
        f"set datafusion.catalog.default_schema = '{OTHER}'", "set datafusion.explain.logical_plan_only = false",
        "set datafusion.explain.logical_plan_only = false; explain select * from orders", "reset all", "show all",
        "show datafusion.catalog.location", "show functions", "show tables", "show columns from orders", "describe orders",
        "show create table orders", "show create table journeys", "show databases", "show schemas", "show catalogs",
        f"use \"{OTHER}\"", f"use tributary.\"{OTHER}\"", "prepare p as select * from orders", "execute p", "deallocate p",
        "call system.files()", "do $$ begin end $$", "vacuum orders", "analyze orders", "grant all on orders to public",
        "attach database 'x' as y", "load 'httpfs'", "install httpfs", "pragma table_info('orders')", "begin; drop table orders; commit",
        "select 1; select * from orders", "select 1; drop table orders", "start transaction", "commit", "rollback",
        "declare c cursor for select * from orders", "fetch all from c", "listen x", "lock table orders", "kill 1", "checkpoint",
        "refresh materialized view journeys", "comment on table orders is 'x'", "explain create table t as select 1",
        "explain analyze insert into orders select * from orders", "explain verbose drop table orders",
    ]
    for schema in ["information_schema", "pg_catalog", "tributary.information_schema", "system", "datafusion", "queries", "delta", "store", "public", "main", "_delta_log"]:
        for view in ["tables", "columns", "schemata", "views", "df_settings", "routines", "parameters", "files", "pg_class", "pg_tables", "pg_namespace", "pg_database", "pg_roles", "pg_stat_activity", "pg_settings", "pg_stat_user_tables"]:
            found.append(f"select * from {schema}.{view}")
    asked = ["select * from orders", "select count(*) from touchpoints", "select * from journeys()", "select * from journeys", "select 1"]
    for option in ["explain", "explain verbose", "explain analyze", "explain analyze verbose", "explain format tree", "explain format indent", "explain format pgjson", "explain format graphviz", "explain (analyze, verbose)"]:
        found += [f"{option} {text}" for text in asked]
    for function in ["journeys", "journey_totals", "journey_paths", "journey_transitions", "markov", "shapley", "lift", "attribution_profiles"]:
        found += [
            f"select * from {function}(store => '{OTHER}')", f"select * from {function}('{OTHER}')",
            f"select * from {function}(store_id => '{OTHER}')", f"select * from {function}((select * from tributary.\"{OTHER}\".orders))",
            f"select * from {function}(profile => '{lake}/orders')", f"select * from {function}(profile => '../{OTHER}')",
        ]
    for relation in ["attribution_by_channel", "attribution_credits", "performance_channels", "attribution_explain_order", "nothing"]:
        found += [
            f"select * from queries.{relation}(store => '{OTHER}')", f"select * from queries.\"../{OTHER}/{relation}\"",
            f"select * from queries.{relation}(model => 'linear'' union all select * from tributary.\"{OTHER}\".orders --')",
            f"select * from queries.{relation}(start => (select max(store_id) from orders))",
        ]
    for text in ["cast(customer_id as bigint)", "1 / 0", "arrow_cast(order_id, 'Int8')", "to_timestamp(order_id)", "cast(repeat(customer_id, 3) as date)", "array_element(make_array(1), 99999)", "substr(order_id, -1, -5)", "regexp_replace(order_id, '(', 'x')", "input_file_name()", "version()", "current_database()", "current_schema()", "current_user", "session_user", "pg_read_file('/etc/passwd')", "getenv('HOME')", "current_setting('data_directory')", "inet_server_addr()", "pg_ls_dir('.')", "lo_import('/etc/passwd')"]:
        found += [f"select {text} from orders", f"select {text}"]
    found += [
        f"select * from orders union all select * from tributary.\"{OTHER}\".orders", "select * from orders o, lateral (select * from touchpoints t where t.store_id <> o.store_id) x",
        "select * from orders where order_id in (select order_id from orders where store_id like '%canary%')",
        f"with \"{OTHER}\" as (select 1) select * from \"{OTHER}\"", "select * from (table orders)", "table orders", "values (1), (2)",
        "select * from unnest((select array_agg(store_id) from stores))", "select string_agg(distinct store_id, ',') from touchpoints",
        "select * from stores", "select * from quarantine", "select * from benchmark_seeds", "select min(store_id), max(store_id) from orders",
        "select * from orders where store_id >= 'canary' and store_id < 'canarz'", "select extras, batch_id from orders where extras is not null",
    ]
    return list(dict.fromkeys(found))


class Drill:
    def __init__(self, lake: str) -> None:
        self.lake = lake
        self.attempts = 0
        self.answers: dict[str, int] = {}
        self.leaks: list[str] = []

    def attempt(self, door: str, asked: str, ask) -> None:
        self.attempts += 1
        self.answers.setdefault(door, 0)
        try:
            seen = repr(ask())
            self.answers[door] += 1
        except doors.Refused as error:
            seen = str(error)
        # What the attempt itself wrote may come back in a refusal: it is no news. The other secrets still are.
        secrets = [CANARY, AMOUNT, OTHER, self.lake, "/store_id=", "root:x:", "secret_hash"]
        leaked = [secret for secret in secrets if secret in seen and secret not in asked] + re.findall(r"(?:base|land)-[0-9a-f-]{20,}", seen)
        if leaked:
            self.leaks.append(f"{door}: {asked}: {leaked} in {seen[:400]}")


def over_http(drill: Drill, url: str, key: str, lake: str) -> None:
    for sql in statements(lake):
        drill.attempt("http", sql, lambda: doors.http_json(url, key, sql))
    quoted = urllib.parse.quote(OTHER)
    paths = [f"/v1/tables?store={quoted}", f"/v1/queries/attribution/credits?store={quoted}", f"/v1/queries/..%2f..%2f{quoted}", "/v1/queries/../../etc/passwd", f"/v1/queries/attribution/credits?store_id={quoted}", "/v1/queries/attribution/credits.parquet%00", f"/v1/tables/{quoted}", "/v1/tables", "/v1/queries", "/metrics", "/healthz", "/readyz", "/v1/sql/1", "/v1/sql/..%2f1", f"/api/marketing/analytics/dashboard?store={quoted}", f"/api/marketing/analytics/attribution?store={quoted}", "/api/marketing/analytics/roi/..%2f..", f"/api/marketing/analytics/roi/{CANARY}"]
    for path in paths:
        drill.attempt("http", path, lambda: doors.http(url, key, path))
        for header in ["X-Store", "X-Tributary-Store", "Store", "X-Forwarded-Store"]:
            drill.attempt("http", f"{header}: {OTHER} {path}", lambda: doors.http(url, key, path, headers={header: OTHER}))
    for table in ["orders", "touchpoints"]:
        row = json.dumps({"store_id": OTHER, "order_id": "x", "touch_id": "x"}).encode()
        for path in [f"/v1/land/{table}", f"/v1/land/{table}?store={quoted}", f"/v1/land/..%2f{table}"]:
            drill.attempt("http", path + OTHER, lambda: doors.http(url, key, path, row, {"Content-Type": "application/x-ndjson"}))


def named(drill: Drill, url: str, key: str) -> None:
    listed = json.loads(doors.http(url, key, "/v1/queries"))
    listed = listed if isinstance(listed, list) else listed["queries"]
    texts = [OTHER, f"' or store_id = '{OTHER}", "'; drop table orders; --", f"x' union all select * from tributary.\"{OTHER}\".orders --", "../../etc/passwd", "${store}", "$store", "%27", "\u0000"]
    for query in listed:
        for param in query["params"][:4]:
            for text in texts:
                path = f"/v1/queries/{query['name']}?" + urllib.parse.urlencode({param["name"]: text})
                drill.attempt("named query", path + text, lambda: doors.http(url, key, path))
        path = f"/v1/queries/{query['name']}?" + urllib.parse.urlencode({"store": OTHER})
        drill.attempt("named query", path, lambda: doors.http(url, key, path))


def over_flight(drill: Drill, address: str, key: str, other: str, lake: str) -> None:
    import adbc_driver_flightsql.dbapi as flight_sql

    login = {"username": "any", "password": key}
    with flight_sql.connect(address, db_kwargs=login, autocommit=True) as connection:

        def run(sql: str):
            try:
                with connection.cursor() as cursor:
                    cursor.execute(sql)
                    return doors.table_rows(cursor.fetch_arrow_table())
            except Exception as error:
                raise doors.Refused(str(error)) from error

        for sql in statements(lake):
            drill.attempt("flight", sql, lambda: run(sql))

        def objects(**filters):
            return connection.adbc_get_objects(depth="all", **filters).read_all().to_pylist()

        for filters in [{}, {"catalog_filter": OTHER}, {"db_schema_filter": OTHER}, {"db_schema_filter": "%"}, {"table_name_filter": f"%{OTHER}%"}, {"catalog_filter": "%"}]:
            drill.attempt("flight", str(filters), lambda: objects(**filters))
    # A ticket of another key's is no use to this one.
    client = arrow_flight.FlightClient(address)

    def bearer(secret: str) -> arrow_flight.FlightCallOptions:
        token = client.authenticate_basic_token("any", secret)
        return arrow_flight.FlightCallOptions(headers=[token])

    mine, theirs = bearer(key), bearer(other)
    ticket = flight_ticket(client, theirs, "select order_id, revenue from orders")

    def take(ticket, options):
        try:
            return client.do_get(ticket, options).read_all().to_pylist()
        except Exception as error:
            raise doors.Refused(str(error)) from error

    assert CANARY in str(take(ticket, theirs)), "the ticket's owner sees the rows"
    drill.attempt("flight", "another key's ticket", lambda: take(ticket, mine))
    for place in range(0, len(ticket.ticket), max(1, len(ticket.ticket) // 40)):
        forged = bytearray(ticket.ticket)
        forged[place] ^= 1
        drill.attempt("flight", f"a forged ticket {place}", lambda: take(arrow_flight.Ticket(bytes(forged)), mine))
    for action in ["ListActions", "BeginTransaction", "CreatePreparedSubstraitPlan", "CancelQuery", "CancelFlightInfo", "SetSessionOptions", "GetSessionOptions", "CloseSession", OTHER]:
        def act():
            try:
                return [bytes(result.body) for result in client.do_action(arrow_flight.Action(action, ticket.ticket), mine)]
            except Exception as error:
                raise doors.Refused(str(error)) from error

        drill.attempt("flight", action, act)


def flight_ticket(client, options, sql: str):
    """The ticket of a statement, as clients without prepared statements get it."""
    text = sql.encode()
    inner = b"\x0a" + bytes([len(text)]) + text
    name = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
    command = b"\x0a" + bytes([len(name)]) + name + b"\x12" + bytes([len(inner)]) + inner
    info = client.get_flight_info(arrow_flight.FlightDescriptor.for_command(command), options)
    return info.endpoints[0].ticket


def over_postgres(drill: Drill, address: str, key: str, lake: str) -> None:
    import psycopg

    host, port = address.split("//")[-1].rsplit(":", 1)
    connection = psycopg.connect(host=host, port=int(port), user="any", password=key, dbname="tributary", autocommit=True)

    def run(sql: str):
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        except Exception as error:
            raise doors.Refused(str(error)) from error

    for sql in statements(lake):
        drill.attempt("postgres", sql, lambda: run(sql))
    for database in [OTHER, "template1", f"demo/{OTHER}"]:
        def enter():
            try:
                with psycopg.connect(host=host, port=int(port), user=OTHER, password=key, dbname=database, autocommit=True) as other:
                    return other.execute("select * from orders limit 2000").fetchall()
            except Exception as error:
                raise doors.Refused(str(error)) from error

        drill.attempt("postgres", f"database {database}", enter)


def main(url: str, flight: str, key: str, other: str, lake: str, postgres: str = "") -> None:
    seen = doors.http_json(url, other, "select order_id, revenue, store_id from orders")
    assert CANARY in str(seen) and AMOUNT in str(seen) and OTHER in str(seen), "the canaries are where they belong"
    before = doors.http_json(url, key, "select count(*) from orders")
    drill = Drill(lake)
    over_http(drill, url, key, lake)
    named(drill, url, key)
    over_flight(drill, flight, key, other, lake)
    if postgres:
        over_postgres(drill, postgres, key, lake)
    mine = doors.http_json(url, key, "select count(*) from orders")
    assert mine == before, "the store's own rows are all there"
    answered = ", ".join(f"{count} over {door}" for door, count in drill.answers.items())
    print(f"{len(statements(lake))} statements, {drill.attempts} attempts, answered: {answered}; {len(drill.leaks)} leaks")
    # A door that answers nothing has not been tried.
    silent = [door for door, count in drill.answers.items() if count == 0]
    if silent:
        sys.exit(f"no answer at all over {', '.join(silent)}")
    if drill.leaks:
        sys.exit("\n".join(drill.leaks[:40]))


if __name__ == "__main__":
    main(*sys.argv[1:])
