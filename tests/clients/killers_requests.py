"""Requests that are known to kill servers or to stop them, for every door; `killers.py` sends them.

Each attack is a function from `Target` to the text that its line shows. It raises `Harm` if another key is refused, or
if something grows that must not.
"""

import concurrent.futures
import contextlib
import dataclasses
import http.client
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import adbc_driver_flightsql.dbapi as flight_sql
import psycopg
import pyarrow as pa
from adbc_driver_flightsql import DatabaseOptions

import doors
import killers_uploads

# How long an attack waits for an answer.
WAIT_S = 90
# The query with the most rows, for every model by a rule.
MODELS = [
    "first_touch", "last_touch", "linear", "time_decay", "position_based", "last_non_direct", "j_shaped", "inverse_j",
    "w_shaped", "position_decay", "custom", "participation",
]  # fmt: skip
CREDITS = "/v1/queries/attribution/credits?model=" + ",".join(MODELS)
# /metrics has a few kilobytes. Requests of strangers must not make it grow.
METRICS_BYTES = 1 << 20


class Harm(Exception):
    """An attack did what no attack may do."""


@dataclasses.dataclass
class Target:
    """Where the server listens, and its API keys by what they are for. `other_key` opens another store than the rest do."""

    url: str
    flight: str
    postgres: str
    query_key: str
    land_key: str
    trickle_key: str
    admin_key: str
    other_key: str

    def connect(self) -> socket.socket:
        host, port = self.url.removeprefix("http://").split(":")
        return socket.create_connection((host, int(port)), timeout=WAIT_S)

    def upload(self, key: str, begin: bytes) -> socket.socket:
        """Opens a connection and sends the beginning of 100 MB of orders."""
        connection = self.connect()
        head = f"POST /v1/land/orders?format=csv HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nContent-Length: {100 << 20}\r\n\r\n"
        connection.sendall(head.encode() + begin)
        return connection


def attacks(target: Target) -> dict[str, Callable[[], str]]:
    """Returns every attack by its name. The bodies of the uploads are made here, before anything is measured."""
    oracle = "select q'[' , " + "1 union all select " * 10_500 + "1 , r ']' from pg_class"
    line = "select " + ",".join("1" for _ in range(125_000))
    among = "select count(*) from orders where order_id in (" + ",".join(f"'o{n}'" for n in range(7_500)) + ")"
    unknown = "select " + "a" * 250_000 + "(1)"
    found = {}
    for name, sql, clients in [("q'[ and unions", oracle, 1), ("250 KB on a line", line, 2), ("in of 60 KB", among, 2), ("name of 250 KB", unknown, 8)]:
        for door, ask in [("HTTP", over_http), ("Postgres simple", over_postgres), ("Postgres extended", over_postgres_extended)]:
            found[f"{name}, {door}"] = partial(at_once, clients, partial(ask, target, sql))
    for name, (path, body) in killers_uploads.uploads().items():
        found[f"upload: {name}"] = partial(request, target, "POST", f"/v1/land/{path}", target.land_key, body)
    for kind in ["xlsx", "json"]:
        found[f"credits as {kind}"] = partial(at_once, 2, partial(request, target, "GET", f"{CREDITS}&format={kind}", target.query_key))
    for name, attack in [
        ("64 uploads that stop at 300 KB", stalled), ("half a header, 1,000 times", half_headers), ("Postgres portals of 3.9 MB", portals),
        ("Flight parameters of 175 MB", flight_parameters), ("methods of 20 KB", methods), ("Postgres connections, 60", postgres_connections),
    ]:  # fmt: skip
        found[name] = partial(attack, target)
    return found


def at_once(clients: int, ask: Callable[[], str]) -> str:
    """Lets several clients ask the same, and counts what they are answered."""
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        answers = Counter(call.result() for call in [pool.submit(ask) for _ in range(clients)])
    return "; ".join(f"{count} x {answer}" if count > 1 else answer for answer, count in answers.items())


def request(target: Target, method: str, path: str, key: str, body: bytes | None = None) -> str:
    """Asks over HTTP; returns the status, and the code of a refusal or the size of an answer."""
    connection = http.client.HTTPConnection(target.url.removeprefix("http://"), timeout=WAIT_S)
    try:
        connection.request(method, path, body, {"Authorization": f"Bearer {key}", "Content-Type": "text/plain"})
        answer = connection.getresponse()
        if answer.status >= 400:
            text = answer.read().decode(errors="replace")
            code = re.search(r'"code":\s*"(\w+)"', text)
            return f"{answer.status} {code[1] if code else text[:60]}"
        size = 0
        while part := answer.read(1 << 20):
            size += len(part)
        return f"{answer.status}, {size >> 10} KB"
    except (OSError, http.client.HTTPException) as error:
        return f"cut: {error!r}"
    finally:
        connection.close()


def over_http(target: Target, sql: str) -> str:
    return request(target, "POST", "/v1/sql", target.query_key, sql.encode())


class Postgres:
    """A connection that psycopg logs in, and that then takes any messages."""

    def __init__(self, target: Target, key: str) -> None:
        host, port = target.postgres.rsplit(":", 1)
        login = {"host": host, "port": port, "user": "any", "password": key, "dbname": "tributary"}
        self.client = psycopg.connect(**login, sslmode="disable", connect_timeout=WAIT_S)
        self.socket = socket.socket(fileno=self.client.fileno())
        self.socket.settimeout(WAIT_S)

    def __enter__(self) -> "Postgres":
        return self

    def __exit__(self, *_: object) -> None:
        # The file belongs to psycopg.
        self.socket.detach()
        self.client.close()

    def send(self, *messages: tuple[bytes, bytes]) -> None:
        self.socket.sendall(b"".join(kind + struct.pack(">I", len(body) + 4) + body for kind, body in messages))

    def read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise ConnectionError("the server has ended the connection")
            data += part
        return bytes(data)

    def next(self) -> tuple[bytes, bytes]:
        kind, size = struct.unpack(">cI", self.read(5))
        return kind, self.read(size - 4)

    def outcome(self) -> str:
        """Reads until the server is ready again; returns its first error, or says that there was none."""
        error = ""
        while (message := self.next())[0] != b"Z":
            if message[0] == b"E" and not error:
                error = refusal(message[1])
        return error or "answered"


def refusal(body: bytes) -> str:
    """Returns the code and the beginning of the text of an error of Postgres."""
    fields = {field[:1]: field[1:].decode(errors="replace") for field in body.split(b"\0") if field}
    return f"{fields.get(b'C')} {fields.get(b'M', '')[:60]}"


def over_postgres(target: Target, sql: str) -> str:
    return talk(target, (b"Q", sql.encode() + b"\0"))


def over_postgres_extended(target: Target, sql: str) -> str:
    parse = b"\0" + sql.encode() + b"\0" + struct.pack(">H", 0)
    bind = b"\0\0" + struct.pack(">HHH", 0, 0, 0)
    return talk(target, (b"P", parse), (b"B", bind), (b"D", b"P\0"), (b"E", b"\0" + struct.pack(">I", 0)), (b"S", b""))


def talk(target: Target, *messages: tuple[bytes, bytes]) -> str:
    try:
        with Postgres(target, target.query_key) as connection:
            connection.send(*messages)
            return connection.outcome()
    except (OSError, psycopg.Error) as error:
        return f"cut: {error!r}"


class Trickling(threading.Thread):
    """Uploads that send one line each and then nothing. A thread opens a new one for each that the server ends."""

    def __init__(self, target: Target, count: int) -> None:
        super().__init__(daemon=True)
        self.target, self.count, self.opened, self.is_over = target, count, 0, False
        self.answers: Counter[str] = Counter()

    def run(self) -> None:
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(self.upload()) for _ in range(self.count)]
            while not self.is_over:
                time.sleep(0.1)
                for place, connection in enumerate(held):
                    with contextlib.suppress(BlockingIOError):
                        self.answers[self.answer(connection)] += 1
                        held[place] = stack.enter_context(self.upload())

    def upload(self) -> socket.socket:
        self.opened += 1
        return self.target.upload(self.target.trickle_key, killers_uploads.HEADER)

    @staticmethod
    def answer(connection: socket.socket) -> str:
        """Returns the status that the server has sent, or that it has closed the connection; raises BlockingIOError if nothing has come."""
        connection.setblocking(False)
        try:
            status = connection.recv(4096).split(b" ", 2)[1:2]
        except ConnectionError:
            status = []
        connection.close()
        return status[0].decode() if status else "closed"

    def begin(self) -> str:
        self.start()
        time.sleep(3)
        return str(self)

    def end(self) -> str:
        self.is_over = True
        self.join()
        return str(self)

    def __str__(self) -> str:
        ended = ", ".join(f"{count} x {answer}" for answer, count in self.answers.items())
        return f"{self.opened} opened, {self.count} at once; ended by the server: {ended or 'none'}"


def half_headers(target: Target) -> str:
    """Opens 1,000 connections that send half a header, and waits at most 20 s until the server has ended them."""
    with contextlib.ExitStack() as stack:
        held = []
        for _ in range(1_000):
            connection = stack.enter_context(target.connect())
            connection.sendall(b"GET /v1/tables HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            connection.setblocking(False)
            held.append(connection)
        until = time.monotonic() + 20
        while held and time.monotonic() < until:
            time.sleep(0.2)
            held = [connection for connection in held if not has_ended(connection)]
        return f"{1_000 - len(held)} of 1,000 ended by the server"


def stalled(target: Target) -> str:
    """Holds 64 uploads that stop after 300 KB. The server begins to read a body once 256 KB of it have come."""
    rows = b"".join(b"o%d,c%d,2026-01-01T10:00:00Z,completed,USD,9.99\n" % (n, n) for n in range(6_500))
    with contextlib.ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(target.upload(target.land_key, killers_uploads.HEADER + rows))
        time.sleep(3)
        return f"held for 3 s, {len(rows) >> 10} KB each"


def has_ended(connection: socket.socket) -> bool:
    try:
        return not connection.recv(4096)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def portals(target: Target) -> str:
    """Binds 100 portals of one statement, each with a value of 3.9 MB, and runs none of them."""
    value, bound = b"x" * 3_900_000, 0
    try:
        with Postgres(target, target.query_key) as connection:
            connection.send((b"P", b"s\0select $1::text\0" + struct.pack(">H", 0)), (b"H", b""))
            connection.next()
            for bound in range(100):
                bind = b"p%d\0s\0" % bound + struct.pack(">HHI", 0, 1, len(value)) + value + struct.pack(">H", 0)
                connection.send((b"B", bind), (b"H", b""))
                kind, body = connection.next()
                if kind == b"E":
                    return f"{bound} bound, then {refusal(body)}"
            return "100 bound"
    except (OSError, psycopg.Error) as error:
        return f"{bound} bound, then cut: {error!r}"


def flight_parameters(target: Target) -> str:
    """Sends the parameters of a prepared statement, one row, as 50 batches of 3.5 MB."""
    schema, sent = pa.schema([("value", pa.string())]), Counter()

    def batches() -> Iterator[pa.RecordBatch]:
        for _ in range(50):
            sent["batches"] += 1
            yield pa.record_batch([pa.array(["x" * 3_500_000])], schema)

    login = {"username": "any", "password": target.query_key}
    limits = {option.value: str(WAIT_S) for option in (DatabaseOptions.TIMEOUT_FETCH, DatabaseOptions.TIMEOUT_QUERY, DatabaseOptions.TIMEOUT_UPDATE)}
    try:
        with flight_sql.connect(target.flight, db_kwargs=login, conn_kwargs=limits, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute("select cast(? as varchar)", pa.RecordBatchReader.from_batches(schema, batches()))
            return f"{sent['batches']} batches, {cursor.fetch_arrow_table().num_rows} rows"
    except Exception as error:
        return f"{sent['batches']} batches, then {str(error)[:120]}"


def methods(target: Target) -> str:
    """Sends 500 methods of 20 KB, each another one, without a key; /metrics must not count them apart."""
    answers: Counter[str] = Counter()
    for number in range(500):
        with target.connect() as connection:
            try:
                connection.sendall(b"M%d" % number + b"X" * 20_000 + b" /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answers[connection.recv(4096).split(b"\r\n", 1)[0].decode(errors="replace")] += 1
            except OSError as error:
                answers[f"cut: {error!r}"] += 1
    size = len(doors.http(target.url, target.admin_key, "/metrics"))
    answered = "; ".join(f"{count} x {answer}" for answer, count in answers.items())
    if size > METRICS_BYTES:
        raise Harm(f"/metrics has {size >> 10} KB; {answered}")
    return f"{answered}; /metrics has {size >> 10} KB"


def postgres_connections(target: Target) -> str:
    """Opens 60 Postgres connections with one key; the other key must get one meanwhile."""
    refused: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            try:
                stack.enter_context(Postgres(target, target.query_key))
            except psycopg.Error as error:
                refused[str(error).strip()[-60:]] += 1
        try:
            with Postgres(target, target.other_key) as connection:
                connection.send((b"Q", b"select count(*) from orders\0"))
                outcome = connection.outcome()
        except (OSError, psycopg.Error) as error:
            outcome = f"cut: {error!r}"
    if outcome != "answered":
        raise Harm(f"the other key was refused: {outcome}")
    return f"{60 - refused.total()} opened; {'; '.join(f'{count} x {text}' for text, count in refused.items()) or 'none refused'}; the other key was answered"
