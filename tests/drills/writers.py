"""Drill `writers`: eight servers land in one table at once, and nothing is lost, doubled or left out of the log."""

import glob
import random
import threading
import time
from pathlib import Path

import client
import files
import places
import processes
from batches import TABLE, rows_of
from client import STORE
from outcome import Outcome, Settings
from places import Bucket, Folder
from processes import Failed, Lost, Server, Skipped

SERVERS = 8
ROWS_PER_BATCH = 2
# This part of the batches is sent twice: at once through another server, or again later.
SENT_TWICE = 0.2
COMMANDS = 41
CORRECTIONS = 16
# What the clocks of the servers differ by.
CLOCKS = ["-60m", "-30m", "-10m", "-1m", "+1m", "+10m", "+30m", "+60m"]
# S3 refuses a request whose clock is a quarter of an hour off.
BUCKET_CLOCKS = ["-14m", "-10m", "-5m", "-1m", "+1m", "+5m", "+10m", "+14m"]


def drill(settings: Settings) -> Outcome:
    outcome = Outcome()
    commits = settings.count or (500 if settings.is_long else 100)
    has_clocks = bool(faketime_library())
    if not has_clocks:
        outcome.skip("clocks that differ: libfaketime is not installed (Debian's package libfaketime)")
    folder = settings.folder("writers")
    write(settings, outcome, "local", Folder(folder / "lake"), folder, commits)
    if has_clocks:
        # Here the clocks matter, not the count.
        folder = settings.folder("writers")
        write(settings, outcome, "local with clocks apart", Folder(folder / "lake"), folder, max(5, commits // 10), CLOCKS)
    try:
        with places.store(settings.work / "store", settings.seed) as store:
            folder = settings.folder("writers")
            name, clocks = ("a bucket with clocks apart", BUCKET_CLOCKS) if has_clocks else ("a bucket", None)
            write(settings, outcome, name, store.bucket("writers", folder), folder, commits, clocks)
    except Skipped as why:
        outcome.skip(str(why))
    folder = settings.folder("commands")
    if fault := commands_alone(folder):
        outcome.fail(settings.seed, f"commands alone: {fault}", [f"`tributary land`, {COMMANDS} times"], folder)
    return outcome


def write(settings: Settings, outcome: Outcome, name: str, place: Folder | Bucket, folder: Path, count: int, clocks: list[str] | None = None) -> None:
    """Lets eight servers land in one place and notes what came of it."""
    writers = Writers(settings.seed, place, folder, count, clocks)
    begun = time.monotonic()
    try:
        writers.run()
    except (Failed, Lost) as error:
        writers.faults.append(str(error))
    for fault in writers.faults:
        outcome.fail(settings.seed, f"{name}: {fault}", [f"{SERVERS} servers, {count} batches each, on {name}"], folder)
    outcome.figures |= {
        f"acknowledged batches on {name}": writers.acknowledged, f"sent twice on {name}": writers.twice,
        f"versions on {name}": writers.versions, f"seconds on {name}": round(time.monotonic() - begun),
    }  # fmt: skip
    if writers.faults:
        # The objects of a bucket go with its server: they are copied to the folder that is kept.
        place.files()
    else:
        settings.discard(folder)


def commands_alone(folder: Path) -> str | None:
    """Lands by the command line alone: no command panics, and the log gets a checkpoint all the same."""
    lake, path = folder / "lake", folder / "rows.ndjson"
    for number in range(COMMANDS):
        path.write_bytes(client.ndjson(rows_of(f"command-{number}", ROWS_PER_BATCH)))
        done = processes.run(str(lake), "land", TABLE, str(path), "--store", STORE)
        if done.returncode != 0 or "panicked" in done.stderr:
            return f"landing {number + 1} ended with {done.returncode}: {done.stderr.strip()[:300]}"
    if not list((lake / TABLE / files.LOG).glob("*.checkpoint*")):
        return f"after {COMMANDS} landings the log has no checkpoint"
    return None


class Writers:
    """Eight servers on one lake, each with a sender."""

    def __init__(self, seed: int, place: Folder | Bucket, folder: Path, count: int, clocks: list[str] | None):
        self.seed, self.place, self.count = seed, place, count
        envs = [place.env | (clock(clocks[n]) if clocks else {}) for n in range(SERVERS)]
        self.servers = [Server(place.url, folder / f"server-{n}.log", env=env) for n, env in enumerate(envs)]
        self.lock = threading.Lock()
        self.receipts: dict[str, dict] = {}
        self.faults: list[str] = []
        self.acknowledged = self.twice = self.versions = 0

    def run(self) -> None:
        try:
            for server in self.servers:
                server.start()
            self.land_all()
            self.check_rows()
            self.check_order()
        finally:
            for server in self.servers:
                if server.process:
                    server.stop()
        self.check_log()

    def land_all(self) -> None:
        senders = [threading.Thread(target=self.send, args=(n,)) for n in range(SERVERS)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()

    def send(self, number: int) -> None:
        """Lands one sender's batches, some of them twice."""
        chance = random.Random(f"{self.seed}-{number}")
        for batch in (f"w{number}-{n}" for n in range(self.count)):
            way, other = chance.random(), (number + chance.randrange(1, SERVERS)) % SERVERS
            try:
                if way < SENT_TWICE / 2:
                    beside = threading.Thread(target=self.land_caught, args=(other, batch))
                    beside.start()
                    self.land(number, batch)
                    beside.join()
                else:
                    self.land(number, batch)
                    if way < SENT_TWICE:
                        self.land(other, batch)
            except (Failed, Lost) as error:
                self.faults.append(f"server {number}: {error}; {self.servers[number].log_tail()[-400:]}")
                return

    def land_caught(self, number: int, batch: str) -> None:
        try:
            self.land(number, batch)
        except (Failed, Lost) as error:
            self.faults.append(f"server {number}, beside another: {error}")

    def land(self, number: int, batch: str) -> None:
        answer = client.land(self.servers[number], TABLE, rows_of(batch, ROWS_PER_BATCH), key=f"key-{batch}")
        if answer.status != 200:
            raise Failed(f"{batch} was answered by {answer}")
        receipt = answer.json()
        with self.lock:
            known = self.receipts.setdefault(batch, receipt)
            self.acknowledged += known is receipt
            self.twice += known is not receipt
        for name in ("batch_id", "rows", "version"):
            if known[name] != receipt[name]:
                self.faults.append(f"{batch} was sent twice and got two receipts: {known} and {receipt}")

    def check_rows(self) -> None:
        """Every acknowledged batch is there once, whole, through another server than it came by."""
        text = f"select campaign, count(*) as row_count, count(distinct touch_id) as touch_count from {TABLE} group by campaign"
        for server in (self.servers[0], self.servers[-1]):
            found = {row["campaign"]: (row["row_count"], row["touch_count"]) for row in client.sql(server, text)}
            lost = sorted(self.receipts.keys() - found.keys())
            wrong = {batch: rows for batch, rows in found.items() if rows != (ROWS_PER_BATCH, ROWS_PER_BATCH)}
            if lost or wrong:
                self.faults.append(f"{len(lost)} batches are lost {lost[:3]}, {len(wrong)} are doubled or partial {dict(list(wrong.items())[:3])}")
                return

    def check_order(self) -> None:
        """Of corrections that come one after the other, the last one counts, whatever the servers' clocks say."""
        chance, expected = random.Random(self.seed), ""
        for number in range(CORRECTIONS):
            server = self.servers[chance.randrange(SERVERS)]
            expected = f"correction-{number}"
            answer = client.land(server, TABLE, [rows_of("corrected", 1)[0] | {"channel": expected}])
            if answer.status != 200:
                raise Failed(f"{expected} was answered by {answer}")
            if number == CORRECTIONS // 2:
                processes.must(self.place.url, "nightly", env=self.place.env)
            reader = self.servers[chance.randrange(SERVERS)]
            found = [row["channel"] for row in client.sql(reader, f"select channel from {TABLE} where campaign = 'corrected'")]
            if found != [expected]:
                raise Failed(f"after {expected} the row is read as {found}")

    def check_log(self) -> None:
        """The log has every version, adds no file twice, and every file that it has is there."""
        lake = self.place.files()
        entries, on_disk = files.log_entries(lake, TABLE), {str(path.relative_to(lake / TABLE)) for path in files.data_files(lake, TABLE)}
        self.versions = len(entries)
        faults = files.log_faults(entries, first=min(entries, default=0))
        if min(entries, default=0) == 0:
            faults += [f"{path} is in the newest version and not there" for path in files.live_paths(entries) - on_disk]
        if faults:
            raise Failed(f"{len(faults)} faults of the log: {faults[:3]}")
        names: dict[str, int] = {}
        for version, actions in entries.items():
            for name in (action["txn"]["appId"] for action in actions if "txn" in action):
                if name.startswith("land/") and name in names:
                    self.faults.append(f"one idempotency key is in the versions {names[name]} and {version}")
                names[name] = version


def faketime_library() -> str | None:
    """Returns the library that moves a process's clock. The command `faketime` would stay between us and the server."""
    found = sorted(glob.glob("/usr/lib/*/faketime/libfaketime.so.1"))
    return found[0] if found else None


def clock(offset: str) -> dict[str, str]:
    """Returns the environment of a process whose clock is off. Time-outs and the ages of files stay true."""
    return {"LD_PRELOAD": faketime_library() or "", "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}

