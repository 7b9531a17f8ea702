"""Sends SQL that is known to kill servers, while another key runs its dashboards.

    python killers.py HTTP_URL KEY OTHER_KEY PID LIMIT_MB

What has to hold: the process lives, its memory stays below LIMIT_MB + 20 %, the dashboards' p95 stays below 3 times
its quiet value, and the CPU is quiet within a second of a client's leaving.
"""

import os
import socket
import sys
import threading
import time

import doors

TICKS = os.sysconf("SC_CLK_TCK")
DASHBOARD = "/api/marketing/analytics/dashboard"


def chain(part: str, operator: str, count: int) -> str:
    return operator.join([part] * count)


def killers() -> dict[str, str]:
    big = "range(0, 1000000)"
    doubling = "with t0 as (select 1 as x)" + "".join(f", t{n} as (select a.x from t{n - 1} a, t{n - 1} b)" for n in range(1, 40))
    levels = ", ".join(f"n{n} as (select x + 1 as x from n{n - 1} union all select x from n{n - 1})" for n in range(1, 40))
    return {
        "parentheses 500": f"select {'(' * 500}1{')' * 500}",
        "parentheses 50,000": f"select {'(' * 50_000}1{')' * 50_000}",
        "subqueries 300": f"select {'(select ' * 300}1{')' * 300}",
        "subqueries in from 300": "select * from " + "(select * from " * 300 + "orders" + ") x" * 300,
        "case in case 2,000": "select " + "case when true then " * 2_000 + "1" + " end" * 2_000,
        "functions in functions 1,500": "select " + "abs(" * 1_500 + "1" + ")" * 1_500,
        "arrays in arrays 2,000": "select " + "[" * 2_000 + "1" + "]" * 2_000,
        "casts in casts 3,000": "select " + "cast(" * 3_000 + "1" + " as int)" * 3_000,
        "not 20,000": "select " + "not " * 20_000 + "true",
        "minus 20,000": "select " + "- " * 20_000 + "1",
        "plus 2,000": "select " + chain("1", "+", 2_000),
        "plus 20,000": "select " + chain("1", "+", 20_000),
        "or 2,000": "select count(*) from orders where " + chain("order_id = 'x'", " or ", 2_000),
        "or 20,000": "select count(*) from orders where " + chain("order_id = 'x'", " or ", 20_000),
        "and of or 400": "select count(*) from orders where " + chain("(revenue > 1 or order_id = 'x')", " and ", 400),
        "concatenations 5,000": "select " + chain("'a'", "||", 5_000),
        "in 10,000": "select count(*) from orders where order_id in (" + ",".join(f"'o{n}'" for n in range(10_000)) + ")",
        "in 150,000": "select count(*) from orders where order_id in (" + ",".join(f"'{n}'" for n in range(150_000)) + ")",
        "union all 4,000": chain("select 1", " union all ", 4_000),
        "union all of scans 190": chain("select order_id from orders", " union all ", 190),
        "columns 60,000": "select " + ",".join("1" for _ in range(60_000)),
        "values 90,000": "select count(*) from (values " + ",".join("(1)" for _ in range(45_000)) + ")",
        "joins 480": "select count(*) from orders o0 " + " ".join(f"join orders o{n} on o{n}.order_id = o0.order_id" for n in range(1, 480)),
        "joins 30": "select count(*) from orders o0 " + " ".join(f"join orders o{n} on o{n}.order_id = o0.order_id" for n in range(1, 30)),
        "CTEs that double": doubling + " select count(*) from t39",
        "CTEs that fork": f"with n0 as (select 1 as x), {levels} select count(*) from n39",
        "recursive CTE": "with recursive r as (select 1 as x union all select x + 1 from r) select count(*) from r",
        "cross join": f"select sum(a.value * b.value) from {big} a cross join {big} b",
        "cross join without rows": f"select a.value * b.value from {big} a cross join {big} b where a.value + b.value < 0",
        "cross join of four tables": "select count(*) from touchpoints a, touchpoints b, touchpoints c, touchpoints d where a.channel <> d.channel",
        "cross join sorted": f"select a.value + b.value as x from {big} a cross join {big} b order by x desc",
        "cross join grouped": f"select a.value * 1000003 + b.value as x, count(*) from {big} a cross join {big} b group by x",
        "cross join distinct": f"select count(distinct a.value * 1000003 + b.value) from {big} a cross join {big} b",
        "cross join in a window": f"select sum(x) from (select row_number() over (order by a.value + b.value) as x from {big} a cross join {big} b)",
        "cross join hashed": f"select count(*) from (select a.value x from {big} a cross join range(0, 1000) b) l join (select a.value x from {big} a cross join range(0, 1000) b) r using (x)",
        "range of 10^12": "select count(*) from range(0, 1000000000000) where value % 7 = 8",
        "series of 10^12": "select max(value) from generate_series(0, 1000000000000)",
        "array of 10^9": "select array_length(range(0, 1000000000))",
        "array repeated 10^9": "select array_length(array_repeat(1, 1000000000))",
        "array gathered": "select array_length(array_agg(value)) from range(0, 400000000)",
        "text gathered": "select length(string_agg(cast(value as varchar), ',')) from range(0, 400000000)",
        "repeat 2 GB": "select length(repeat('x', 2000000000))",
        "repeat of repeat": "select length(repeat(repeat('x', 100000), 100000))",
        "repeat in every row": "select sum(length(repeat(touch_id, 100000))) from touchpoints",
        "lpad 2 GB": "select length(lpad('x', 2000000000, 'y'))",
        "rpad in every row": "select max(length(rpad(touch_id, 5000000, 'y'))) from touchpoints",
        "replace that grows": "select length(replace(repeat('a', 1000000), 'a', repeat('b', 1000000)))",
        "unnest 10^9": "select count(*) from (select unnest(range(0, 1000000000)) as x) where x < 0",
        "regex (a+)+": "select regexp_like(repeat('a', 100000), '^(a+)+$b')",
        "regex of repeats": "select regexp_like('a', '((a{1,1000}){1,1000}){1,1000}')",
        "regex in every row": "select count(*) from touchpoints where regexp_like(repeat(touch_id, 2000), '(.*)(.*)(.*)(.*)(.*)x')",
        "like with many %": "select count(*) from touchpoints where repeat(touch_id, 1000) like '%" + "a%" * 400 + "'",
        "cubes": "select count(*) from (select count(*) from orders group by cube (order_id, customer_id, status, currency, utm_source, utm_medium, utm_campaign, referrer, revenue, ordered_at, store_id, ordered_month))",
        "numbers with 10^6 digits": "select " + "9" * 900_000,
        "text of 1 MB": "select '" + "x" * 990_000 + "'",
        "text beyond the limit": "select '" + "x" * 3_000_000 + "'",
    }


class Process:
    """Figures of a process, from /proc."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def lives(self) -> bool:
        return os.path.exists(f"/proc/{self.pid}/stat")

    def cpu_seconds(self) -> float:
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def peak_mb(self) -> float:
        """The most memory since this was last asked."""
        with open(f"/proc/{self.pid}/status") as file:
            peak = next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
        with open(f"/proc/{self.pid}/clear_refs", "w") as file:
            file.write("5")
        return peak


class Dashboards(threading.Thread):
    """A user who looks at a dashboard again and again."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__(daemon=True)
        self.url, self.key, self.seconds, self.is_over, self.failed = url, key, [], False, []

    def run(self) -> None:
        while not self.is_over:
            begin = time.perf_counter()
            try:
                doors.http(self.url, self.key, DASHBOARD)
            except doors.Refused as error:
                self.failed.append(str(error)[:200])
            self.seconds.append(time.perf_counter() - begin)
            time.sleep(0.02)

    def p95_ms(self) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * 0.95)] * 1000


def send(url: str, key: str, sql: str) -> socket.socket:
    """Sends a statement and does not wait for its answer."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    body = sql.encode()
    head = f"POST /v1/sql HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def ask(url: str, key: str, sql: str, seconds: float) -> str:
    """The beginning of what comes back within a time; then the client leaves."""
    try:
        connection = send(url, key, sql)
    except OSError as error:
        return f"cut: {error}"
    connection.settimeout(seconds)
    try:
        return connection.recv(4096).decode(errors="replace").split("\r\n", 1)[0] or "closed"
    except TimeoutError:
        return "left"
    except OSError as error:
        return f"cut: {error}"
    finally:
        connection.close()


def main(url: str, key: str, other: str, pid: str, limit_mb: str) -> None:
    process, problems = Process(int(pid)), []
    quiet = Dashboards(url, other)
    quiet.start()
    time.sleep(6)
    quiet.is_over = True
    quiet.join()
    busy, peaks_mb = Dashboards(url, other), [process.peak_mb()]
    busy.start()
    for name, sql in killers().items():
        began = time.perf_counter()
        outcome = ask(url, key, sql, 3)
        seconds = time.perf_counter() - began
        if not process.lives():
            sys.exit(f"the process is gone after: {name}")
        peaks_mb.append(process.peak_mb())
        print(f"{name:32} {seconds:6.2f} s {peaks_mb[-1]:6.0f} MB  {outcome}", flush=True)
    busy.is_over = True
    busy.join()
    loud = {
        "scan": "select value from range(0, 100000000000) where value < 0",
        "sort": "select a.value * b.value as x from range(0, 100000) a cross join range(0, 1000) b order by x desc",
        "aggregate": "select a.value * 1000003 + b.value as x, count(*) from range(0, 100000) a cross join range(0, 100000) b group by x",
        "join": "select count(*) from range(0, 1000000) a join range(0, 1000000) b on a.value < b.value",
        "join without rows": "select a.value * b.value from range(0, 1000000) a cross join range(0, 1000000) b where a.value + b.value < 0",
    }
    time.sleep(2)
    for name, sql in loud.items():
        connection = send(url, key, sql)
        time.sleep(0.7)
        before = process.cpu_seconds()
        time.sleep(0.3)
        was_busy = process.cpu_seconds() - before
        connection.close()
        time.sleep(1)
        before = process.cpu_seconds()
        time.sleep(1)
        share = process.cpu_seconds() - before
        peaks_mb.append(process.peak_mb())
        print(f"after leaving a {name}: {share:.2f} CPU seconds a second (before: {was_busy / 0.3:.2f}), {peaks_mb[-1]:.0f} MB", flush=True)
        if share > 0.2:
            problems.append(f"the CPU is not quiet after a {name}")
        time.sleep(1)
    print(f"dashboards: p95 {quiet.p95_ms():.1f} ms quiet ({len(quiet.seconds)}), {busy.p95_ms():.1f} ms busy ({len(busy.seconds)})")
    print(f"memory: at most {max(peaks_mb):.0f} MB, limit {limit_mb} MB; {len(killers())} killers; process alive: {process.lives()}")
    if busy.failed or quiet.failed:
        problems.append(f"dashboards failed: {(quiet.failed + busy.failed)[:3]}")
    if busy.p95_ms() > 3 * quiet.p95_ms():
        problems.append("the dashboards' p95 is more than 3 times its quiet value")
    if max(peaks_mb) > float(limit_mb) * 1.2:
        problems.append("the memory went beyond its limit")
    if not process.lives():
        problems.append("the process is gone")
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main(*sys.argv[1:])
