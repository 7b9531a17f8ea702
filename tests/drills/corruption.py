"""Drill `corruption`: files of a lake are damaged, and every answer is an error or the true one, never something else."""

import json
import random
import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import capabilities
import client
import files
import processes
from client import STORE
from outcome import Outcome, Settings
from processes import Failed, Lost, Server
from rows import Rows

OTHER_STORE = "neighbour"
TABLES = ["orders", "touchpoints", "refunds", "customers", "journeys", "channel_daily"]
QUESTIONS = [f"select * from {table}" for table in TABLES] + [
    # What the log's statistics may answer without a look at the file.
    "select count(*), min(ordered_at), max(ordered_at), max(revenue), min(order_id) from orders",
    "select count(*), min(touched_at), max(touched_at), max(cost) from touchpoints",
    "select count(*) from orders where ordered_at >= '2025-01-01'",
]
KINDS = ["data file", "commit", "checkpoint", "_last_checkpoint"]
WAYS = ["bit flip", "truncation", "emptied", "swapped"]
LANDINGS = 26
AT_ONCE = 2
# A query that neither answers nor refuses is a fault too.
QUERY_TIMEOUT_MS = "20000"


def drill(settings: Settings) -> Outcome:
    outcome, totals, begun = Outcome(), Counter(), time.monotonic()
    count = settings.count or (500 if settings.is_long else 100)
    seeds = [settings.seed] if settings.is_replay and not settings.count else range(settings.seed, settings.seed + count)
    folder = settings.folder("corruption")
    whole = folder / "whole"
    make_lake(whole)
    with Server(str(whole), folder / "whole.log") as server:
        truth = {store: {text: ask(server, text, store) for text in QUESTIONS} for store in (STORE, OTHER_STORE)}
    if any(isinstance(answer, str) for answers in truth.values() for answer in answers.values()):
        raise Failed(f"the undamaged lake does not answer: {truth}")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for seed, step, failure, refused, kind, lake in pool.map(lambda seed: damaged_lake(seed, folder, whole, truth), seeds):
            totals[f"damages of a {kind}"] += 1
            totals["refusals"] += refused
            if failure:
                outcome.fail(seed, failure, [step], lake.parent)
            else:
                settings.discard(lake.parent)
    outcome.figures = {"damages": len(seeds), **dict(sorted(totals.items())), "seconds": round(time.monotonic() - begun)}
    return outcome


def damaged_lake(seed: int, folder: Path, whole: Path, truth: dict) -> tuple[int, str, str | None, int, str, Path]:
    """Damages a copy of the lake and compares. Returns the step, what went wrong, and how many questions were refused."""
    lake = folder / f"damaged-{seed}" / "lake"
    shutil.copytree(whole, lake)
    step, damaged, kind = damage(seed, lake)
    refused = 0
    try:
        refused = compare(lake, truth, damaged, kind)
        # The pointer to a checkpoint is a hint: if it still names one, nothing is wrong with the lake.
        is_hint = all(path.name == "_last_checkpoint" for path in damaged)
        if not is_hint and capabilities.wants("fsck", capabilities.has_fsck(), "that `tributary fsck --deep` names the file"):
            check_fsck(lake, damaged)
    except Failed as error:
        return seed, step, str(error), refused, kind, lake
    return seed, step, None, refused, kind, lake


def make_lake(lake: Path) -> None:
    """Lands a little in two stores, with a compaction and checkpoints on the way."""
    rows = Rows(7, has_as_of=False)
    with Server(str(lake), lake.parent / "make.log") as server:
        for number in range(LANDINGS):
            for table, row in (("orders", rows.order()), ("touchpoints", rows.touch())):
                _land(server, table, [row], STORE if number % 4 else OTHER_STORE)
            if number == LANDINGS // 2:
                processes.must(str(lake), "nightly")
        orders = client.sql(server, "select order_id from orders order by order_id limit 2")
        refunds = [{"refund_id": f"r{n}", "order_id": row["order_id"], "refunded_at": rows.instant(), "amount": "0.50"} for n, row in enumerate(orders)]
        for store in (STORE, OTHER_STORE):
            _land(server, "refunds", refunds, store)
            _land(server, "customers", [rows.customer()], store)
            metrics = {
                "channel": "email",
                "source": "s",
                "campaign": "c",
                "date": "2026-01-02",
                "sessions": 3,
                "revenue": "1.00",
                "cost": "2.00",
                "currency": "USD",
            }
            _land(server, "metrics", [metrics], store)
        processes.must(str(lake), "nightly")
        for store in (STORE, STORE, OTHER_STORE):
            for table, row in (("orders", rows.order()), ("touchpoints", rows.touch()), ("customers", rows.customer())):
                _land(server, table, [row], store)
        for table in TABLES:
            client.sql(server, f"select count(*) from {table}")


def _land(server: Server, table: str, rows: list[dict], store: str) -> None:
    answer = client.land(server, table, rows, store=store)
    if answer.status != 200:
        raise Failed(f"a landing in {table} was answered by {answer}")


def ask(server: Server, question: str, store: str) -> list[str] | str:
    """Returns rows in an order of their own, or the text of the refusal. An answer that is cut is a refusal, too."""
    try:
        return sorted(json.dumps(row, sort_keys=True) for row in client.sql(server, question, store))
    except (Failed, Lost) as error:
        return str(error)


def damage(seed: int, lake: Path) -> tuple[str, list[Path], str]:
    """Damages one file, or swaps two. Returns the step as a text, the files, and their kind."""
    chance = random.Random(seed)
    kind, way = chance.choice(KINDS), chance.choice(WAYS)
    table = chance.choice(["orders", "touchpoints"] if kind in ("checkpoint", "_last_checkpoint") else TABLES)
    log = lake / table / files.LOG
    found = {
        "data file": lambda: files.data_files(lake, table, STORE),
        "commit": lambda: sorted(log.glob("*.json")),
        "checkpoint": lambda: sorted(log.glob("*.checkpoint*.parquet")),
        "_last_checkpoint": lambda: [log / "_last_checkpoint"],
    }[kind]()
    found = [path for path in found if path.exists()]
    if not found:
        raise Failed(f"the lake has no {kind} of {table} to damage")
    path = chance.choice(found)
    if kind == "commit" and chance.random() < 0.7:
        # Older commits are summed up in a checkpoint or rewritten by a compaction: damage to them is seldom seen.
        path = chance.choice(found[-4:])
    size = path.stat().st_size
    # A compaction of one row writes the bytes of the landing again: to swap the two is no damage.
    others = [other for other in found if other.read_bytes() != path.read_bytes()]
    if way == "swapped" and not others:
        way = "bit flip"
    if way == "swapped":
        other = chance.choice(others)
        content = path.read_bytes()
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)
        return f"{path.relative_to(lake)} and {other.relative_to(lake)} are swapped", [path, other], kind
    if way == "bit flip":
        at, bit = chance.randrange(size), chance.randrange(8)
        content = bytearray(path.read_bytes())
        content[at] ^= 1 << bit
        path.write_bytes(content)
        return f"bit {bit} of byte {at} of {size} of {path.relative_to(lake)} is flipped", [path], kind
    left = 0 if way == "emptied" else chance.randrange(size)
    path.write_bytes(path.read_bytes()[:left])
    return f"{path.relative_to(lake)} is cut to {left} of {size} bytes", [path], kind


def compare(lake: Path, truth: dict, damaged: list[Path], kind: str) -> int:
    """Asks every question of both stores. Returns how many questions were refused."""
    refused, names = 0, ", ".join(str(path.relative_to(lake)) for path in damaged)
    server = Server(str(lake), lake.parent / "server.log", env={"TRIBUTARY_LIMITS_QUERY_TIMEOUT_MS": QUERY_TIMEOUT_MS})
    try:
        server.start()
    except Failed as error:
        # A server that says no has given no wrong answer.
        if "panicked" in str(error):
            raise Failed(f"the server panicked at its start with a damaged {kind} ({names}): {error}") from error
        return 2 * len(QUESTIONS)
    try:
        for store in (STORE, OTHER_STORE):
            for text in QUESTIONS:
                answer = ask(server, text, store)
                if isinstance(answer, list):
                    if answer != truth[store][text]:
                        raise Failed(f"`{text}` of {store} is answered otherwise with a damaged {kind} ({names}): {_difference(truth[store][text], answer)}")
                    continue
                refused += 1
                if store == OTHER_STORE and kind == "data file":
                    raise Failed(f"`{text}` of another store is refused for a damaged {kind} ({names}): {answer}")
                if not server.is_running():
                    raise Failed(f"the server ended with {server.process.returncode} on a damaged {kind} ({names}): {server.log_tail()}")
    finally:
        server.kill()
    return refused


def _difference(truth: list[str], answer: list[str]) -> str:
    lost, more = Counter(truth) - Counter(answer), Counter(answer) - Counter(truth)
    return f"{lost.total()} rows are lost and {more.total()} are new: {list(lost)[:1]} {list(more)[:1]}"


def check_fsck(lake: Path, damaged: list[Path]) -> None:
    """`tributary fsck --deep` ends with an error and names one of the damaged files."""
    done = processes.run(str(lake), "fsck", "--deep")
    said = done.stdout + done.stderr
    if done.returncode == 0:
        raise Failed(f"`tributary fsck --deep` calls a lake sound whose {damaged[0].relative_to(lake)} is damaged")
    if not any(path.name in said for path in damaged):
        raise Failed(f"`tributary fsck --deep` does not name {damaged[0].name}: {said[:600]}")
