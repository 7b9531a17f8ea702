"""Sends statements and requests that are known to kill servers or to stop them, while another key runs its dashboards.

    python killers.py --url HTTP_URL --flight ADDRESS --postgres ADDRESS --query-key KEY --land-key KEY --trickle-key KEY
        --admin-key KEY --other-key KEY --pid PID --limit-mb MB

The first four keys open one store. The trickle key lands as the land key does, but its uploads never end: with the same
key, other uploads would wait for them. The admin key reads /metrics. The other key opens another store and runs the
dashboards. SQL over HTTP comes first. Then come the attacks of `killers_requests.py` through every door.

What has to hold: the process lives, its memory stays below the limit + 20 %, the dashboards' p95 stays below 3 times
its quiet value, /healthz answers within 100 ms, and the CPU is quiet within a second of a client's leaving. The memory of
the processes that the server starts for foreign files is not counted.
"""

import argparse
import dataclasses
import multiprocessing
import os
import queue
import resource
import socket
import sys
import time
from collections.abc import Callable
from functools import partial

import doors
import killers_requests

TICKS = os.sysconf("SC_CLK_TCK")
DASHBOARD = "/api/marketing/analytics/dashboard"
HEALTH = "/healthz"
HEALTH_MS = 100
# The attacks open 1,000 connections and more.
OPEN_FILES = 4_096
# How long the other key waits for an answer at most, before that counts as a fault.
ANSWER_S = 60
# Statements that would run for long if their client did not leave.
LOUD = {
    "scan": "select value from range(0, 100000000000) where value < 0",
    "sort": "select a.value * b.value as x from range(0, 100000) a cross join range(0, 1000) b order by x desc",
    "aggregate": "select a.value * 1000003 + b.value as x, count(*) from range(0, 100000) a cross join range(0, 100000) b group by x",
    "join": "select count(*) from range(0, 1000000) a join range(0, 1000000) b on a.value < b.value",
    "join without rows": "select a.value * b.value from range(0, 1000000) a cross join range(0, 1000000) b where a.value + b.value < 0",
}


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

    def fields(self) -> list[str]:
        with open(f"/proc/{self.pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()

    def lives(self) -> bool:
        try:
            return self.fields()[0] != "Z"
        except FileNotFoundError:
            return False

    def cpu_seconds(self) -> float:
        fields = self.fields()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def peak_mb(self) -> float:
        """The most memory since this was last asked."""
        with open(f"/proc/{self.pid}/status") as file:
            peak = next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
        with open(f"/proc/{self.pid}/clear_refs", "w") as file:
            file.write("5")
        return peak


class Victim:
    """A user who asks for one path again and again. It is a process of its own, so that the attacks do not slow its clock."""

    def __init__(self, url: str, key: str, path: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.answers, self.is_over = context.Queue(), context.Event()
        self.ms: list[float] = []
        self.failed: list[str] = []
        self.process = context.Process(target=look, args=(url, key, path, self.answers, self.is_over), daemon=True)
        self.process.start()

    def take(self, wait_s: float = 0) -> list[float]:
        """Returns the milliseconds of each answer since the last call; waits so long for the first of them."""
        taken = []
        while True:
            try:
                ms, failure = self.answers.get(timeout=0 if taken else wait_s)
            except queue.Empty:
                break
            taken.append(ms)
            self.failed += [failure] if failure else []
        self.ms += taken
        return taken

    def end(self) -> None:
        self.is_over.set()
        # The process ends once its last answer is taken.
        while self.process.is_alive():
            self.take(0.1)


def look(url: str, key: str, path: str, answers, is_over) -> None:
    """Asks and measures until it is told to stop."""
    while not is_over.is_set():
        begin, failure = time.perf_counter(), ""
        try:
            doors.http(url, key, path)
        except doors.Refused as error:
            failure = str(error)[:200]
        answers.put(((time.perf_counter() - begin) * 1000, failure))
        time.sleep(0.02)


def p95(ms: list[float]) -> float:
    return sorted(ms)[int(len(ms) * 0.95)]


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


class Run:
    """Sends attacks in turn, and notes what they do to the server and to the user of another key."""

    def __init__(self, process: Process, url: str, other: str) -> None:
        self.process, self.problems, self.peaks_mb = process, [], [process.peak_mb()]
        self.dashboards, self.health = Victim(url, other, DASHBOARD), Victim(url, other, HEALTH)
        # The slowest answer of /healthz, and the attack beside which it came.
        self.slowest = (0.0, "none")

    def wait(self, seconds: float) -> list[float]:
        """Lets the dashboards run alone; returns their times."""
        for victim in (self.dashboards, self.health):
            victim.take(ANSWER_S)
        time.sleep(seconds)
        return self.dashboards.take(ANSWER_S)

    def attack(self, attacks: dict[str, Callable[[], str]]) -> list[float]:
        """Sends attacks; returns the times of the dashboards beside them."""
        beside = []
        for name, send in attacks.items():
            self.health.take()
            began = time.perf_counter()
            try:
                outcome = send()
            except (killers_requests.Harm, doors.Refused, OSError) as harm:
                outcome = f"harm: {harm!r}"
                self.problems.append(f"{name}: {harm!r}")
            seconds = time.perf_counter() - began
            # An answer that the attack held up comes after it.
            beside += self.dashboards.take(ANSWER_S)
            health_ms = max(self.health.take(ANSWER_S), default=ANSWER_S * 1000)
            if not self.process.lives():
                sys.exit(f"the process is gone after: {name} ({outcome})")
            self.slowest = max(self.slowest, (health_ms, name))
            self.peaks_mb.append(self.process.peak_mb())
            print(f"{name:37} {seconds:6.2f} s {self.peaks_mb[-1]:6.0f} MB  /healthz {health_ms:5.0f} ms  {outcome}", flush=True)
        return beside

    def leave(self, url: str, key: str) -> None:
        """Sends statements that take long, leaves, and looks whether the CPU is quiet a second later."""
        for name, sql in LOUD.items():
            connection = send(url, key, sql)
            time.sleep(0.7)
            before = self.process.cpu_seconds()
            time.sleep(0.3)
            was_busy = self.process.cpu_seconds() - before
            connection.close()
            time.sleep(1)
            before = self.process.cpu_seconds()
            time.sleep(1)
            share = self.process.cpu_seconds() - before
            self.peaks_mb.append(self.process.peak_mb())
            print(f"after leaving a {name}: {share:.2f} CPU seconds a second (before: {was_busy / 0.3:.2f}), {self.peaks_mb[-1]:.0f} MB", flush=True)
            if share > 0.2:
                self.problems.append(f"the CPU is not quiet after a {name}")
            time.sleep(1)


def arguments() -> tuple[killers_requests.Target, int, float]:
    """Returns where the server listens and its keys, the id of its process, and its limit of memory in MB."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for field in dataclasses.fields(killers_requests.Target):
        parser.add_argument("--" + field.name.replace("_", "-"), required=True)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--limit-mb", type=float, required=True)
    given = vars(parser.parse_args())
    pid, limit_mb = given.pop("pid"), given.pop("limit_mb")
    return killers_requests.Target(**given), pid, limit_mb


def main() -> None:
    target, pid, limit_mb = arguments()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < OPEN_FILES:
        sys.exit(f"this process may open {most} files, and needs {OPEN_FILES}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, most))
    statements = {name: partial(ask, target.url, target.query_key, sql, 3) for name, sql in killers().items()}
    attacks = killers_requests.attacks(target)
    run = Run(Process(pid), target.url, target.other_key)
    quiet = run.wait(6)
    times = {"quiet": quiet, "beside statements": run.attack(statements)}
    trickling = killers_requests.Trickling(target, 64)
    beside = run.attack({"64 trickling uploads": trickling.begin})
    beside += run.attack(attacks)
    beside += run.attack({"64 trickling uploads, to the end": trickling.end})
    times["beside requests"] = beside
    for victim in (run.dashboards, run.health):
        victim.end()
    time.sleep(2)
    run.leave(target.url, target.query_key)

    problems, peak_mb, (health_ms, slowest) = run.problems, max(run.peaks_mb), run.slowest
    print("dashboards: " + ", ".join(f"p95 {p95(ms):.1f} ms {when} ({len(ms)})" for when, ms in times.items()))
    print(f"/healthz: at most {health_ms:.0f} ms of {len(run.health.ms)}, beside: {slowest}")
    print(f"memory: at most {peak_mb:.0f} MB, limit {limit_mb:.0f} MB; {len(statements) + len(attacks) + 1} killers; process alive: {run.process.lives()}")
    for path, failed in [("dashboards", run.dashboards.failed), (HEALTH, run.health.failed)]:
        if failed:
            problems.append(f"{path} failed {len(failed)} times: {failed[:3]}")
    for when, ms in times.items():
        if p95(ms) > 3 * p95(quiet):
            problems.append(f"the dashboards' p95 {when} is more than 3 times its quiet value")
    if health_ms > HEALTH_MS:
        problems.append(f"/healthz took more than {HEALTH_MS} ms")
    if peak_mb > limit_mb * 1.2:
        problems.append("the memory went beyond its limit")
    if not run.process.lives():
        problems.append("the process is gone")
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
