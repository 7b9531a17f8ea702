"""Takes every row from a bare Flight server and from Flight SQL in turn, and compares the times.

    python flight_client.py BARE_ADDRESS FLIGHT_SQL_ADDRESS STATEMENT
"""

import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pyarrow.flight as flight

ROUNDS = 5


def tickets(client: flight.FlightClient, statement: str) -> list[flight.Ticket]:
    """Asks for a statement's tickets: a CommandStatementQuery in an Any, as protocol buffers write them."""
    text = statement.encode()
    query = b"\x0a" + length(text) + text
    name = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
    command = b"\x0a" + length(name) + name + b"\x12" + length(query) + query
    info = client.get_flight_info(flight.FlightDescriptor.for_command(command))
    return [endpoint.ticket for endpoint in info.endpoints]


def length(text: bytes) -> bytes:
    number, found = len(text), b""
    while number >= 128:
        found += bytes([number % 128 + 128])
        number //= 128
    return found + bytes([number])


def take(client: flight.FlightClient, what: flight.Ticket) -> tuple[int, int]:
    rows = size = 0
    for chunk in client.do_get(what):
        rows += chunk.data.num_rows
        size += chunk.data.nbytes
    return rows, size


def main(bare: str, sql: str, statement: str) -> None:
    bare_client, sql_client = flight.FlightClient(bare), flight.FlightClient(sql)
    seconds: dict[str, list[float]] = {"bare": [], "flight sql": []}
    taken, pool = {}, ThreadPoolExecutor()
    for _ in range(ROUNDS):
        for name in seconds:
            begin = time.perf_counter()
            if name == "bare":
                taken[name] = take(bare_client, flight.Ticket(b"all"))
            else:
                # All at once, as ADBC's driver takes them.
                parts = list(pool.map(lambda part: take(sql_client, part), tickets(sql_client, statement)))
                taken[name] = tuple(map(sum, zip(*parts)))
            seconds[name].append(time.perf_counter() - begin)
    if taken["bare"][0] != taken["flight sql"][0]:
        sys.exit(f"the two sent different rows: {taken}")
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    rows, size = taken["flight sql"]
    for name, median in medians.items():
        low, high = min(seconds[name]), max(seconds[name])
        print(f"{name:12} {median:.3f} s ({low:.3f} to {high:.3f}), {rows / median / 1e6:.1f} M rows/s, {size / median / 1e6:.0f} MB/s")
    print(f"flight sql at {medians['bare'] / medians['flight sql']:.0%} of the bare server's speed, {rows} rows")


if __name__ == "__main__":
    main(*sys.argv[1:])
