"""Drill `soak`: hours of landings, corrections, questions, compaction and vacuum; memory, files and log stay flat."""

import json
import random
import threading
import time
from collections import Counter
from pathlib import Path

import capabilities
import client
import files
import processes
from client import STORE
from outcome import Outcome, Settings
from processes import Failed, Lost, Server
from rows import Rows

# The lake holds these keys from the first minute on, and corrections of them come for ever: what is live stays as large.
KEYS = 2000
ROWS_PER_BATCH = 20
KEPT_S = 30
KEPT_FOR = {"TRIBUTARY_LAKE_KEEP_VERSIONS_FOR": f"{KEPT_S}s"}
PAUSE_S = 0.1
SAMPLE_S = 5.0
NIGHTLY_S = 45.0
# What the start is left out for: caches fill, and files of the first minutes come and go.
WARM_UP_PART = 0.3
# Log entries are kept for an hour at least, so that the log grows until then.
LOG_WARM_UP_S = 65 * 60
# What a figure may grow by between the end of the warm-up and the end, as a part of its mean.
MOST_GROWTH = 0.15
# What all data files may take, in sizes of those of the newest versions, once no older version is kept.
MOST_DISK = 2.0
QUESTIONS = [
    "/v1/queries/attribution/by_channel", "/v1/queries/attribution/reconciliation", "/v1/queries/performance/channels",
]  # fmt: skip


def drill(settings: Settings) -> Outcome:
    outcome, folder = Outcome(), settings.folder("soak")
    capabilities.wants("vacuum", capabilities.has_vacuum(), "vacuum; files are then bound to grow")
    with Server(str(folder / "lake"), folder / "server.log", env=KEPT_FOR if capabilities.has_vacuum() else {}) as server:
        soak = Soak(settings, folder, server)
        soak.run(settings.minutes * 60)
        if capabilities.has_vacuum() and (disk := soak.disk_after_retention()) > MOST_DISK:
            soak.faults.append(f"data files take {disk:.1f} times the room of those that are needed")
    warm_up_s = settings.minutes * 60 * WARM_UP_PART
    grown = {name: soak.growth(name, warm_up_s) for name in ("resident MB", "files")}
    if settings.minutes * 60 > 1.5 * LOG_WARM_UP_S:
        grown["log files"] = soak.growth("log files", max(warm_up_s, LOG_WARM_UP_S))
    else:
        outcome.skip("growth of the log, which is kept for an hour at least")
    for name, part in grown.items():
        if part > MOST_GROWTH:
            outcome.fail(settings.seed, f"{name} grew by {part:.0%} after the warm-up: {shape(soak.samples, name)}", [], folder)
    for fault in soak.faults:
        outcome.fail(settings.seed, fault, [], folder)
    last = soak.samples[-1]
    outcome.figures = {
        **{f"{name} at the end": last[name] for name in grown},
        **{f"growth of {name}": f"{part:.1%}" for name, part in grown.items()},
        **soak.counts,
    }
    if not outcome.failures:
        settings.discard(folder)
    return outcome


class Soak:
    """One server, with senders and askers beside it, until the time is over."""

    def __init__(self, settings: Settings, folder: Path, server: Server):
        self.lake, self.server = folder / "lake", server
        self.rows = Rows(settings.seed, has_as_of=False)
        self.chance = random.Random(settings.seed)
        self.counts: Counter[str] = Counter()
        self.samples: list[dict] = []
        self.faults: list[str] = []
        self.is_over = threading.Event()

    def run(self, seconds: float) -> None:
        tables = {"orders": [self.rows.order() for _ in range(KEYS)], "touchpoints": [self.rows.touch() for _ in range(KEYS)]}
        for table, rows in tables.items():
            self.land(table, rows)
        work = [lambda table=table, rows=rows: self.correct(table, rows) for table, rows in tables.items()]
        threads = [threading.Thread(target=self.repeat, args=(do,)) for do in [*work, self.ask, self.look_after]]
        for thread in threads:
            thread.start()
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < seconds and not self.faults:
            self.sample(passed)
            time.sleep(SAMPLE_S)
        self.is_over.set()
        for thread in threads:
            thread.join()

    def repeat(self, do) -> None:
        while not self.is_over.is_set():
            try:
                do()
            except (Failed, Lost) as error:
                self.faults.append(str(error))
                return

    def land(self, table: str, rows: list[dict]) -> None:
        answer = client.land(self.server, table, rows, key=self.rows.id("key"))
        if answer.status != 200:
            raise Failed(f"a landing in {table} was answered by {answer}")
        self.counts["landings"] += 1

    def correct(self, table: str, rows: list[dict]) -> None:
        self.land(table, [self.rows.changed(table, row) for row in self.chance.sample(rows, ROWS_PER_BATCH)])
        time.sleep(PAUSE_S)

    def ask(self) -> None:
        """Asks what a dashboard shows, and that no key is lost or doubled."""
        for path in QUESTIONS:
            answer = client.request(self.server, "GET", f"{path}?store={STORE}&format=json")
            if answer.status != 200:
                raise Failed(f"{path} was answered by {answer}")
            self.counts["questions"] += 1
        for table, key in (("orders", "order_id"), ("touchpoints", "touch_id")):
            [row] = client.sql(self.server, f"select count(*) as row_count, count(distinct {key}) as key_count from {table}")
            if row != {"row_count": KEYS, "key_count": KEYS}:
                raise Failed(f"{table} has {row}, not {KEYS} keys once each")
        time.sleep(1)

    def look_after(self) -> None:
        for name in ["nightly"] + (["vacuum"] if capabilities.has_vacuum() else []):
            done = processes.run(str(self.lake), name, env=KEPT_FOR if capabilities.has_vacuum() else {})
            self.counts[name] += 1
            if done.returncode != 0:
                # Short of a crash, the next run makes up for it.
                self.counts[f"failed {name}"] += 1
            if done.returncode < 0 or "panicked" in done.stderr:
                raise Failed(f"`tributary {name}` ended with {done.returncode}: {done.stderr[:600]}")
        self.is_over.wait(NIGHTLY_S)

    def disk_after_retention(self) -> float:
        """Returns what all data files take once older versions are not kept any more, in sizes of those of the newest ones."""
        time.sleep(KEPT_S)
        for name in ("nightly", "vacuum"):
            processes.must(str(self.lake), name, env=KEPT_FOR)
        time.sleep(KEPT_S)
        processes.must(str(self.lake), "vacuum", env=KEPT_FOR)
        listed = processes.run(str(self.lake), "tables", "--store", STORE, "--json").stdout.splitlines()
        live = sum(json.loads(line)["size_bytes"] for line in listed)
        disk = sum(path.stat().st_size for path in files.data_files(self.lake)) / live
        self.counts["times the live data on disk"] = round(disk, 2)
        return disk

    def growth(self, name: str, warm_up_s: float) -> float:
        """Returns what a figure grew by behind the warm-up, as a part of its mean."""
        return growth([(sample["second"], sample[name]) for sample in self.samples if sample["second"] >= warm_up_s])

    def sample(self, second: float) -> None:
        self.samples.append({
            "second": second,
            "resident MB": self.server.resident_bytes() >> 20,
            "files": len(files.data_files(self.lake)),
            "log files": len(list(self.lake.glob(f"*/{files.LOG}/*"))),
        })  # fmt: skip


def growth(behind: list[tuple[float, float]]) -> float:
    """Fits a line and returns what it rises by, as a part of the mean."""
    if len(behind) < 3:
        return 0.0
    mean_x, mean_y = sum(x for x, _ in behind) / len(behind), sum(y for _, y in behind) / len(behind)
    spread = sum((x - mean_x) ** 2 for x, _ in behind)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in behind) / spread
    return slope * (behind[-1][0] - behind[0][0]) / mean_y if mean_y else 0.0


def shape(samples: list[dict], name: str) -> list:
    """Returns ten samples from first to last."""
    step = max(1, len(samples) // 10)
    return [sample[name] for sample in samples[::step]]
