"""Drill `hostile`: clients that mean harm, on every door; the server lives, says no, and answers another key as before."""

import gzip
import http.client
import random
import re
import resource
import socket
import struct
import threading
import time
from collections import Counter
from pathlib import Path

import processes
from outcome import Outcome, Settings
from processes import Failed, Server, Skipped

SHOP, OTHER = "shop", "other"
# The system lets a process have as many open files as a small machine does, and the server so many connections that some are left.
OPEN_FILES = ["prlimit", "--nofile=1024:1024"]
LIMITS = {"TRIBUTARY_REQUESTS_CONNECTIONS": "300", "TRIBUTARY_REQUESTS_CONNECTIONS_PER_ADDRESS": "200"}
# What whoever means harm opens at once.
SOCKETS = 2_000
# The victim comes from another address than whoever means harm.
VICTIM_ADDRESS = "127.0.0.2"
DASHBOARD = "/api/marketing/analytics/dashboard?days=30"
TIMEOUT_S = 20
# What an answer of the victim may take while others do harm, and /healthz.
SLOWEST_S = 5.0
MOST_MEMORY = 2 << 30


def drill(settings: Settings) -> Outcome:
    outcome, totals, begun = Outcome(), Counter(), time.monotonic()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < SOCKETS:
        raise Skipped(f"this process may open {most} files, and needs {SOCKETS}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    folder = settings.folder("hostile")
    lake = folder / "lake"
    orders = folder / "orders.csv"
    orders.write_text("order_id,customer_id,ordered_at,status,currency,revenue\n" + "".join(f"o{n},c{n},2026-01-0{n % 9 + 1}T10:00:00Z,completed,USD,9.99\n" for n in range(100)))
    for store in (SHOP, OTHER):
        processes.must(str(lake), "land", "orders", str(orders), "--store", store)
    keys = {name: make_key(lake, store, scope) for name, store, scope in (("query", SHOP, "query"), ("land", SHOP, "land"), ("other", OTHER, "query"))}
    server = Server(str(lake), folder / "server.log", env=LIMITS, prefix=OPEN_FILES)
    server.command += ["--flight", "127.0.0.1:0", "--postgres", "127.0.0.1:0"]
    with server:
        flight, postgres = other_ports(server)
        attacker = Attacker(server.port, flight, postgres, keys, random.Random(settings.seed), totals, settings.is_long)
        victim = Victim(server.port, keys["other"])
        victim.start()
        for attack in ATTACKS:
            before = len(victim.seconds)
            try:
                attack(attacker)
                wait_for(lambda: len(victim.seconds) > before + 5, "the victim's next answers")
                attacker.check()
            except (Failed, OSError) as error:
                outcome.fail(settings.seed, f"{attack.__name__}: {error!r}", [attack.__doc__ or ""], folder)
            totals["attacks"] += 1
            if not server.is_running():
                outcome.fail(settings.seed, f"{attack.__name__}: the server ended with {server.process.returncode}: {server.log_tail()}", [], folder)
                break
        victim.is_over = True
        victim.join()
        if server.is_running() and server.resident_bytes() > MOST_MEMORY:
            outcome.fail(settings.seed, f"the server holds {server.resident_bytes() >> 20} MB", [], folder)
    if victim.failed:
        outcome.fail(settings.seed, f"the other key was refused {len(victim.failed)} times: {victim.failed[0]}", [], folder)
    slowest = max(victim.seconds, default=0)
    if slowest > SLOWEST_S:
        outcome.fail(settings.seed, f"the other key waited {slowest:.1f} s", [], folder)
    outcome.figures = {
        **dict(sorted(totals.items())), "answers to the other key": len(victim.seconds),
        "ms at most for it": round(slowest * 1000), "seconds": round(time.monotonic() - begun),
    }  # fmt: skip
    return outcome


def make_key(lake: Path, store: str, scope: str) -> str:
    done = processes.run(str(lake), "keys", "create", "--store", store, "--scope", scope)
    return re.search(r"trb_[0-9a-f]+", done.stdout)[0]


def other_ports(server: Server) -> tuple[int, int]:
    """Reads the ports of Flight SQL and of the Postgres protocol, which the server says next."""
    text = server.process.stdout.readline() + server.process.stdout.readline()
    return int(re.search(r"grpc://127\.0\.0\.1:(\d+)", text)[1]), int(re.search(r"postgresql://127\.0\.0\.1:(\d+)", text)[1])


def wait_for(holds, what: str) -> None:
    until = time.monotonic() + TIMEOUT_S
    while not holds():
        if time.monotonic() > until:
            raise Failed(f"{what} did not come within {TIMEOUT_S} s")
        time.sleep(0.05)


class Victim(threading.Thread):
    """Another store's user, who looks at a dashboard and at /healthz again and again."""

    def __init__(self, port: int, key: str):
        super().__init__(daemon=True)
        self.port, self.key, self.seconds, self.failed, self.is_over = port, key, [], [], False

    def run(self) -> None:
        while not self.is_over:
            for path in (DASHBOARD, "/healthz"):
                begun = time.monotonic()
                try:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S, source_address=(VICTIM_ADDRESS, 0))
                    connection.request("GET", path, headers={"Authorization": f"Bearer {self.key}"})
                    answer = connection.getresponse()
                    body = answer.read()
                    connection.close()
                    if answer.status != 200:
                        self.failed.append(f"{path}: HTTP {answer.status} {body[:200]!r}")
                except (OSError, http.client.HTTPException) as error:
                    self.failed.append(f"{path}: {error!r}")
                self.seconds.append(time.monotonic() - begun)
            time.sleep(0.02)


class Attacker:
    """Sends what does harm, and notes what it was answered."""

    def __init__(self, http_port: int, flight: int, postgres: int, keys: dict[str, str], chance: random.Random, totals: Counter, is_long: bool):
        self.http_port, self.flight, self.postgres = http_port, flight, postgres
        self.keys, self.chance, self.totals, self.is_long = keys, chance, totals, is_long
        self.faults: list[str] = []

    def many(self, short: int, long: int) -> int:
        return long if self.is_long else short

    def connect(self, port: int | None = None) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port or self.http_port), timeout=TIMEOUT_S)

    def raw(self, sent: bytes, port: int | None = None, wait_s: float = 5) -> bytes:
        """Sends bytes and returns what comes until the server ends the connection, or says nothing for a time."""
        with self.connect(port) as connection:
            connection.settimeout(wait_s)
            received = b""
            try:
                connection.sendall(sent)
                while part := connection.recv(1 << 16):
                    received += part
            except OSError:
                pass
            return received

    def note(self, what: str, answer: bytes, may_succeed: bool = False) -> None:
        """Counts the statuses of an answer. A fault of the server is none that a client may cause."""
        for status in re.findall(rb"HTTP/1\.1 (\d{3})", answer):
            self.totals[f"answers {status.decode()[0]}xx"] += 1
            if status.startswith(b"5"):
                self.faults.append(f"{what} was answered by {answer[:300]!r}")
            if status == b"200" and not may_succeed:
                self.faults.append(f"{what} was taken: {answer[:300]!r}")

    def check(self) -> None:
        faults, self.faults = self.faults, []
        if faults:
            raise Failed(f"{len(faults)} faults: {faults[0]}")

    def post(self, path: str, body: bytes, key: str, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=60)
        try:
            connection.request("POST", path, body, {"Authorization": f"Bearer {key}", **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def slow_headers(attacker: Attacker) -> None:
    """A thousand connections send half a header and wait."""
    sockets = []
    for _ in range(1100):
        connection = attacker.connect()
        try:
            connection.sendall(b"GET /v1/tables HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        except OSError:
            pass
        sockets.append(connection)
    attacker.totals["slow headers"] += len(sockets)
    time.sleep(8)
    for connection in sockets:
        connection.close()


def slow_bodies(attacker: Attacker) -> None:
    """Landings whose bodies come a byte at a time."""
    head = f"POST /v1/land/orders HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {attacker.keys['land']}\r\nTransfer-Encoding: chunked\r\n\r\n"
    sockets = [attacker.connect() for _ in range(attacker.many(60, 150))]
    for connection in sockets:
        connection.sendall(head.encode())
    for _ in range(attacker.many(3, 10)):
        for connection in sockets:
            try:
                connection.sendall(b"1\r\no\r\n")
            except OSError:
                pass
        time.sleep(0.5)
    attacker.totals["slow bodies"] += len(sockets)
    for connection in sockets:
        connection.close()


def resets(attacker: Attacker) -> None:
    """Connections that ask and are reset at once."""
    count = attacker.many(1000, 10_000)
    for _ in range(count):
        connection = attacker.connect()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.close()
    attacker.totals["resets"] += count


def many_connections(attacker: Attacker) -> None:
    """Connections on every door that say nothing."""
    count = attacker.many(1500, 10_000)
    sockets: list[socket.socket] = []
    for number in range(count):
        try:
            sockets.append(attacker.connect([attacker.http_port, attacker.flight, attacker.postgres][number % 3]))
        except OSError:
            pass
        if len(sockets) > 600:
            sockets.pop(0).close()
    attacker.totals["silent connections"] += count
    for connection in sockets:
        connection.close()


def large_headers(attacker: Attacker) -> None:
    """Headers of a megabyte, and ten thousand of them."""
    for header in (b"X-Large: " + b"a" * (1 << 20), b"\r\n".join(b"X-%d: a" % n for n in range(10_000)), b"Cookie: " + b"b" * (100 << 10)):
        attacker.note("a large header", attacker.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n"))
    attacker.note("a long path", attacker.raw(b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    attacker.note("a long method", attacker.raw(b"X" * 20_000 + b" / HTTP/1.1\r\nHost: localhost\r\n\r\n"))


def smuggling(attacker: Attacker) -> None:
    """Requests whose end two readers could see at two places."""
    inner = b"GET /v1/tables HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for headers in (
        b"Content-Length: 4\r\nTransfer-Encoding: chunked",
        b"Content-Length: 4\r\nContent-Length: 40",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding : chunked",
        b"Content-Length: +4",
        b"Content-Length: 0x4",
        b"Content-Length: 4, 40",
        b"X: a\r\n folded\r\nContent-Length: 4",
        b"X: a\nContent-Length: 4",
    ):
        head = b"POST /v1/sql HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n\r\n"
        for body in (b"0\r\n\r\n", b"1 +1", b"ffffffffffffffff0\r\n"):
            attacker.note(f"a request with {headers!r}", attacker.raw(head + body + inner, wait_s=0.5))
            attacker.totals["smuggling shapes"] += 1


def bad_texts(attacker: Attacker) -> None:
    """Bytes that are no text, and paths that leave where they are."""
    key = attacker.keys["query"].encode()
    for path in (b"/v1/tables/\xff\xfe", b"/v1/tables/%ff%fe", b"/v1/queries/../../etc/passwd", b"/v1/queries/%2e%2e/%2e%2e/etc%2fpasswd", b"/v1/tables/orders%00", b"//v1//tables", b"/v1/tables?store=../other", b"/v1/tables?store=other", b"/v1/queries/a/b?%ff=1", b"http://other/v1/tables?store=other", b"*", b"/v1/sql/..%2f..%2f", b"/v1/tables/" + b"%41" * 20_000):
        request = b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + key + b"\r\nConnection: close\r\n\r\n"
        answer = attacker.raw(request)
        attacker.note(f"the path {path[:40]!r}", answer, may_succeed=path == b"//v1//tables")
        if OTHER.encode() in answer.replace(path, b"").replace(b"another", b""):
            attacker.faults.append(f"{path!r} tells of the other store: {answer[:300]!r}")
        attacker.totals["paths"] += 1
    for body in (b"\xff\xfe\x00", b'{"sql": "\xff"}', b'{"sql": "select \\ud800"}', b"[" * 100_000, b'{"a":' * 50_000, b"\x00" * 1000):
        status, answer = attacker.post("/v1/sql", body, attacker.keys["query"], **{"Content-Type": "application/json"})
        attacker.note(f"the statement {body[:20]!r}", b"HTTP/1.1 %d " % status + answer)
        status, answer = attacker.post("/v1/land/orders", body, attacker.keys["land"])
        attacker.note(f"the rows {body[:20]!r}", b"HTTP/1.1 %d " % status + answer)


def bombs(attacker: Attacker) -> None:
    """Bodies that unpack to far more than they are, or say that they do."""
    chance = attacker.chance
    for kind, body in columns():
        status, answer = attacker.post(f"/v1/land/channels?format={kind}", body, attacker.keys["land"])
        attacker.note(f"{len(body) >> 10} KB of {kind}", b"HTTP/1.1 %d " % status + answer)
        attacker.totals["bombs"] += 1
    for _ in range(attacker.many(20, 200)):
        magic = chance.choice([b"PAR1", b"ARROW1\0\0", b"\xff\xff\xff\xff", b"{", b"order_id,customer_id\n", b""])
        filling = chance.choice([b"\0", b"a", b'{"a":', b"x,y\n", b'"'])
        size = chance.choice([1 << 20, 100 << 20, 300 << 20])
        packed = pack_gzip(magic, filling, size) if chance.random() < 0.5 else pack_zstd(magic, filling, size)
        if chance.random() < 0.3:
            at = chance.randrange(len(packed))
            packed = packed[:at] + bytes([packed[at] ^ 0xFF]) + packed[at + 1 :]
        kind = chance.choice(["csv", "ndjson", "parquet", "arrow"])
        error = chance.choice(["refuse", "quarantine"])
        status, answer = attacker.post(f"/v1/land/orders?format={kind}&on_error={error}", packed, attacker.keys["land"])
        # Bad rows may be set aside: that they are is what was asked.
        attacker.note(f"{size >> 20} MB of {filling!r} behind {magic!r} as {kind}", b"HTTP/1.1 %d " % status + answer, may_succeed=error == "quarantine")
        attacker.totals["bombs"] += 1


def columns() -> list[tuple[str, bytes]]:
    """Files of columns whose every row is the same text of twenty megabytes, by a dictionary."""
    import pyarrow
    import pyarrow.parquet as parquet

    rows = 20_000
    texts = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * rows, pyarrow.int32()), pyarrow.array(["x" * (20 << 20)]))
    table = pyarrow.table({"channel": pyarrow.array([f"c{n}" for n in range(rows)]), "name": texts})
    packed = pyarrow.BufferOutputStream()
    parquet.write_table(table, packed, compression="zstd", dictionary_pagesize_limit=1 << 30, store_schema=False)
    stream = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(stream, table.schema, options=pyarrow.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return [("parquet", packed.getvalue().to_pybytes()), ("arrow", stream.getvalue().to_pybytes())]


def pack_gzip(magic: bytes, filling: bytes, size: int) -> bytes:
    return gzip.compress(magic + filling * (size // len(filling)), 1)


def pack_zstd(magic: bytes, filling: bytes, size: int) -> bytes:
    import pyarrow

    return pyarrow.compress(magic + filling * (size // len(filling)), codec="zstd", asbytes=True)


def rapid_reset(attacker: Attacker) -> None:
    """Flight's door: streams of HTTP/2 that are opened and taken back (CVE-2023-44487), and frames that are none."""

    def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
        return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body

    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
    # :method POST, :scheme http, :path and :authority as literals.
    headers = b"\x83\x86\x44\x02/x\x41\x01a"
    flood = b"".join(frame(1, 5, stream, headers) + frame(3, 0, stream, b"\0\0\0\x08") for stream in range(1, 2 * attacker.many(2000, 20_000), 2))
    attacker.raw(preface + flood, attacker.flight, 2)
    for body in (preface + frame(1, 4, 1, b"\xff" * 16_000), preface + frame(0x42, 0, 0, b"x" * 100), preface + frame(9, 0, 1, headers) * 1000, b"\x16\x03\x01" + b"x" * 500, attacker.chance.randbytes(10_000)):
        attacker.raw(body, attacker.flight, 1)
        attacker.totals["shapes of HTTP/2"] += 1


def postgres_shapes(attacker: Attacker) -> None:
    """The Postgres door: starts that are none."""
    chance = attacker.chance
    startup = b"user\0any\0database\0tributary\0\0"
    for sent in (
        struct.pack(">I", 0x7FFFFFFF) + b"x" * 1000, struct.pack(">I", 0), struct.pack(">Ii", 8, 80877103) * 50, struct.pack(">II", 16, 80877102) + b"x" * 8,
        struct.pack(">II", 8 + len(startup), 196608) + startup + b"p" + struct.pack(">I", 0x7FFFFFFF), struct.pack(">II", 8 + len(startup), 0xFFFFFFFF) + startup,
        *(chance.randbytes(chance.randrange(1, 5000)) for _ in range(attacker.many(20, 200))),
    ):  # fmt: skip
        attacker.raw(sent, attacker.postgres, 0.3)
        attacker.totals["shapes of Postgres"] += 1


def keys(attacker: Attacker) -> None:
    """Keys that are none, on HTTP; tokens and tickets of Flight that were changed."""
    real, chance = attacker.keys["query"], attacker.chance
    guesses = ["", "trb_", real[:-1], real + "0", real.upper(), real[4:], real.replace("trb_", "TRB_"), attacker.keys["land"], "null", "' or 1=1 --", "trb_" + "0" * 64, real + "\t" + real, f"{real},{real}"]
    while len(guesses) < 40:
        at = chance.randrange(4, len(real))
        guesses.append(real[:at] + format(int(real[at], 16) ^ chance.randrange(1, 16), "x") + real[at + 1 :])
    for guess in guesses:
        request = f"GET /v1/tables HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {guess}\r\nConnection: close\r\n\r\n"
        attacker.note(f"the key {guess[:12]!r}..", attacker.raw(request.encode()))
        attacker.totals["false keys"] += 1
    import pyarrow.flight as flight

    client = flight.FlightClient(f"grpc://127.0.0.1:{attacker.flight}")
    options = {name: flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {key}".encode())]) for name, key in attacker.keys.items()}
    # A statement of Flight SQL, as protobuf: CommandStatementQuery in an Any.
    query = b"select order_id from orders"
    command = b"\n" + bytes([len(query)]) + query
    url = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
    descriptor = flight.FlightDescriptor.for_command(b"\n" + bytes([len(url)]) + url + b"\x12" + bytes([len(command)]) + command)
    ticket = client.get_flight_info(descriptor, options["query"]).endpoints[0].ticket.ticket
    if client.do_get(flight.Ticket(ticket), options["query"]).read_all().num_rows != 100:
        raise Failed("the ticket's own key is not answered")
    changed = []
    for _ in range(20):
        at = chance.randrange(len(ticket))
        changed.append((ticket[:at] + bytes([ticket[at] ^ (1 << chance.randrange(8))]) + ticket[at + 1 :], "query"))
    for sent, name in [(ticket, "other"), (ticket, "land"), *changed]:
        try:
            rows = client.do_get(flight.Ticket(sent), options[name]).read_all()
        except Exception:
            attacker.totals["false tickets"] += 1
            continue
        if sent == ticket or rows.num_rows:
            attacker.faults.append(f"a ticket that is not {name}'s was taken, with {rows.num_rows} rows")


ATTACKS = [slow_headers, slow_bodies, resets, many_connections, large_headers, smuggling, bad_texts, bombs, rapid_reset, postgres_shapes, keys]
