"""Drill `crash`: processes are killed at random instants and at named points, and no acknowledged row is lost, doubled or partial."""

import random
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import batches
import capabilities
import client
import files
import processes
from batches import Ledger
from client import STORE
from outcome import Outcome, Settings
from processes import Failed, Lost

SENDERS = 3
LONGEST_DELAY_S = 0.25
KILLS_PER_LAKE = 20
AT_ONCE = 2
# Named points, each with what comes to it.
POINTS = {
    "before-parquet": "server", "after-parquet": "server", "before-commit": "server", "after-commit": "server",
    "checkpoint": "server", "compaction": "nightly", "rollup": "nightly", "erase": "erase", "vacuum": "vacuum",
}  # fmt: skip
# One table is compacted: nothing comes there a second time.
ONCE = {"compaction"}
# A checkpoint is made every so many commits; the second one is to be reached as well.
MOST_LANDINGS_TO_A_POINT = 60


def drill(settings: Settings) -> Outcome:
    kills = settings.count or (5000 if settings.is_long else 200)
    lakes = 1 if settings.is_replay and not settings.count else -(-kills // KILLS_PER_LAKE)
    outcome, totals, begun = Outcome(), Counter(), time.monotonic()
    if missed := control(settings.folder("control")):
        outcome.fail(settings.seed, missed)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = [pool.submit(random_kills, settings.seed + n, settings.folder(f"crash-{n}"), totals) for n in range(lakes)]
        for n, run in enumerate(runs):
            failure, steps, folder = run.result()
            if failure:
                outcome.fail(settings.seed + n, failure, steps, folder)
            else:
                settings.discard(folder)
    if capabilities.wants("failpoints", capabilities.has_failpoints(), "kills at named points; random instants only"):
        named_points(settings, outcome, totals)
    outcome.figures = {**dict(sorted(totals.items())), "seconds": round(time.monotonic() - begun)}
    return outcome


def random_kills(seed: int, folder: Path, totals: Counter) -> tuple[str | None, list[str], Path]:
    """Kills a server, and now and then a command beside it, again and again on one lake."""
    chance, ledger, steps = random.Random(seed), Ledger(), []
    lake, server = folder / "lake", None
    try:
        for number in range(KILLS_PER_LAKE):
            delay_s, name = chance.uniform(0, LONGEST_DELAY_S), chance.choice(["nothing"] * 6 + ["nightly", "erase"])
            steps.append(f"three senders land beside {name}; kill -9 {delay_s:.3f} s after the first receipt")
            server = batches.server(lake).start()
            ledger.check(server)
            # What was sent again is compared after the next kill.
            ledger.repeat_unknown(server)
            _land_and_kill(server, ledger, f"k{number}", delay_s, command_of(name), folder)
            totals["kills"] += 1
        server = batches.server(lake).start()
        ledger.check(server)
        steps.append("at the end: what had no answer is sent again, then nightly")
        ledger.repeat_unknown(server)
        processes.must(str(lake), "nightly")
        ledger.check(server)
    except (Failed, Lost) as error:
        return f"{error}", steps, folder
    finally:
        if server:
            server.kill()
        totals["acknowledged batches"] += len(ledger.acknowledged)
    return None, steps, folder


def control(folder: Path) -> str | None:
    """Damages a lake as a lost and as a partial commit would, and says if the comparison does not see it."""
    lake, ledger = folder / "lake", Ledger()
    with batches.server(lake) as server:
        for number in range(3):
            ledger.land(server, f"control-{number}")
        ledger.check(server)
    newest = max((lake / batches.TABLE / files.LOG).glob("*.json"))
    whole = newest.read_text()
    # Each commit has a file for each of two months.
    partial = "".join(line + "\n" for line in whole.splitlines() if "2026-02" not in line)
    for damage, text in (("a commit without one of its files", partial), ("a commit that is not there", None)):
        newest.unlink() if text is None else newest.write_text(text)
        try:
            with batches.server(lake) as server:
                ledger.check(server)
        except Failed:
            continue
        return f"control: {damage} was not noticed"
    return None


def command_of(name: str) -> list[str]:
    erase = ["erase", "--store", STORE, "--customer", "nobody", "--yes", "--grace", "0"]
    return {"nothing": [], "erase": erase}.get(name, [name])


def _land_and_kill(server: processes.Server, ledger: Ledger, prefix: str, delay_s: float, command: list[str], folder: Path) -> None:
    first = threading.Event()
    senders = [threading.Thread(target=ledger.send_until_lost, args=(server, f"{prefix}-{n}", first)) for n in range(SENDERS)]
    beside = None
    if command:
        with open(folder / "commands.log", "a") as log:
            arguments = [processes.program(), "--data", server.lake, *command]
            beside = processes.start(arguments, log, stdout=log, env=processes.environment(), cwd="/tmp")
    for sender in senders:
        sender.start()
    first.wait(60)
    time.sleep(delay_s)
    if beside:
        processes.end(beside)
    server.kill()
    for sender in senders:
        sender.join()


def named_points(settings: Settings, outcome: Outcome, totals: Counter) -> None:
    """Lets a process end itself at each named point, the first and the second time that it comes there."""
    for name, way in POINTS.items():
        for time_of in (1,) if name in ONCE else (1, 2):
            folder = settings.folder(f"{name}-{time_of}")
            try:
                if way == "vacuum" and not capabilities.wants("vacuum", capabilities.has_vacuum(), "the point `vacuum`"):
                    continue
                crash_at(folder, way, f"{name}:{time_of}")
                totals["named kills"] += 1
                settings.discard(folder)
            except (Failed, Lost) as error:
                outcome.fail(settings.seed, f"at {name}:{time_of}: {error}", [f"a {way} that ends at {name}:{time_of}"], folder)


def crash_at(folder: Path, way: str, point: str) -> None:
    """Brings a process to a point and compares what is there afterwards."""
    lake, ledger = folder / "lake", Ledger()
    with batches.server(lake) as server:
        for number in range(3):
            ledger.land(server, f"before-{number}")
    if way == "server":
        server = batches.server(lake, TRIBUTARY_CRASH_AT=point).start()
        ledger.send_until_lost(server, "during", threading.Event(), MOST_LANDINGS_TO_A_POINT)
        _was_reached(point, processes.end(server.process))
    else:
        # Two people are there, so that an erasure has rows to take out; they are no batch.
        command = ["erase", "--store", STORE, "--customer", "c0", "--yes", "--grace", "0"] if way == "erase" else [way]
        env = {"TRIBUTARY_CRASH_AT": point} | ({"TRIBUTARY_LAKE_KEEP_VERSIONS_FOR": "0s"} if way == "vacuum" else {})
        if way == "vacuum":
            processes.must(str(lake), "nightly")
        _was_reached(point, processes.run(str(lake), *command, env=env).returncode)
    with batches.server(lake) as server:
        if way != "erase":
            ledger.check(server)
            ledger.repeat_unknown(server)
            ledger.check(server)
            processes.must(str(lake), "nightly")
            ledger.check(server)
        else:
            processes.must(str(lake), *command)
            _check_erased(server, len(ledger.acknowledged))


def _was_reached(point: str, code: int) -> None:
    if code != -signal.SIGABRT:
        raise Failed(f"the process did not end at the point {point} but with {code}")


def _check_erased(server: processes.Server, batch_count: int) -> None:
    [row] = client.sql(server, f"select count(*) as row_count, count(*) filter (where customer_id = 'c0') as erased from {batches.TABLE}")
    if row["erased"] or row["row_count"] != batch_count * (batches.ROWS_PER_BATCH - 1):
        raise Failed(f"after an erasure that crashed and was run again the table has {row}")
