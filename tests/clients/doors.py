"""The doors of a server, each as a function from SQL to rows.

Values come back as the door's client gives them; `plain` makes them comparable.
"""

import datetime
import decimal
import json
import math
import urllib.error
import urllib.parse
import urllib.request

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow as pa
import pyarrow.ipc


class Refused(Exception):
    """What a door says instead of an answer."""


def http(url: str, key: str, path: str, body: bytes | None = None, headers: dict | None = None) -> bytes:
    """One request; a refusal carries everything that the server said."""
    request = urllib.request.Request(url + path, data=body, headers={"Authorization": f"Bearer {key}", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        raise Refused(f"{error.code} {error.headers} {error.read().decode(errors='replace')}") from error
    except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
        raise Refused(str(error)) from error
    except Exception as error:  # An answer that was cut in the middle.
        raise Refused(repr(error)) from error


def http_json(url: str, key: str, sql: str) -> list[tuple]:
    text = http(url, key, "/v1/sql?format=json", sql.encode(), {"Content-Type": "text/plain"})
    return [tuple(row.values()) for row in json.loads(text)["data"]]


def http_arrow(url: str, key: str, sql: str) -> list[tuple]:
    body = http(url, key, "/v1/sql?format=arrow", sql.encode(), {"Content-Type": "text/plain"})
    return table_rows(pa.ipc.open_stream(body).read_all())


def flight(address: str, key: str, sql: str) -> list[tuple]:
    login = {"username": "any", "password": key}
    try:
        with flight_sql.connect(address, db_kwargs=login, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return table_rows(cursor.fetch_arrow_table())
    except Exception as error:
        raise Refused(str(error)) from error


def table_rows(table: pa.Table) -> list[tuple]:
    columns = [column.to_pylist() for column in table.columns]
    return list(zip(*columns)) if columns else []


def plain(value):
    """One form for a value, whichever client brought it."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float):
        return None if math.isnan(value) or math.isinf(value) else round(value, 9) + 0.0
    if isinstance(value, decimal.Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, datetime.datetime):
        value = value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)
        return value.astimezone(datetime.timezone.utc).isoformat()
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
