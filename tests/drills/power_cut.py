"""Drill `power_cut`: a disk as it is at a random instant has every batch that was acknowledged before."""

import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import mounts
import processes
from batches import Ledger
from outcome import Outcome, Settings
from processes import Failed, Lost, Server

IMAGE_BYTES = 96 << 20
SENDERS = 6
LONGEST_DELAY_S = 1.2
# A copy that changes under our hands is no instant; it is taken again.
COPIES = 20


def drill(settings: Settings) -> Outcome:
    outcome, totals, begun = Outcome(), Counter(), time.monotonic()
    cuts = settings.count or (200 if settings.is_long else 10)
    cuts = 1 if settings.is_replay and not settings.count else cuts
    for seed in range(settings.seed, settings.seed + cuts):
        folder = settings.folder(f"cut-{seed}")
        if failure := cut(seed, folder, {}, totals):
            outcome.fail(seed, failure, ["three senders land; the disk is copied; the copy is opened"], folder)
        else:
            settings.discard(folder)
    totals["cuts"] = cuts
    control(settings, outcome, totals)
    outcome.figures = {**dict(sorted(totals.items())), "seconds": round(time.monotonic() - begun)}
    return outcome


def control(settings: Settings, outcome: Outcome, totals: Counter) -> None:
    """A server whose fsync does nothing has to lose something, or the drill proves nothing."""
    if binary := os.environ.get("TRIBUTARY_NO_FSYNC"):
        without_sync = {"binary": binary}
    elif shutil.which("eatmydata"):
        without_sync = {"prefix": ["eatmydata"]}
    else:
        outcome.skip("the control: TRIBUTARY_NO_FSYNC names no binary that skips fsync, and `eatmydata` is not installed")
        return
    for n in range(3):
        folder = settings.folder(f"control-{n}")
        failure = cut(settings.seed + n, folder, without_sync, Counter())
        settings.discard(folder)
        if failure:
            print(f"  control, without fsync: {failure[:200]}")
            totals["controls that lost batches"] += 1
            return
    outcome.fail(settings.seed, "control: a server whose fsync does nothing lost nothing in 3 cuts")


def cut(seed: int, folder: Path, without_sync: dict, totals: Counter) -> str | None:
    """Copies a disk while senders land. Returns what the copy lacks, or `None`."""
    chance = random.Random(seed)
    disk = mounts.image(mounts.make_image(folder / "disk", IMAGE_BYTES), folder / "before")
    ledger, first, server = Ledger(), threading.Event(), None
    senders: list[threading.Thread] = []
    try:
        server = Server(str(disk / "lake"), folder / "server.log", **without_sync).start()
        senders = [threading.Thread(target=ledger.send_until_lost, args=(server, f"p{n}", first)) for n in range(SENDERS)]
        for sender in senders:
            sender.start()
        first.wait(60)
        time.sleep(chance.uniform(0, LONGEST_DELAY_S))
        # The batches that count are those whose receipt came before the server stood still.
        acknowledged = set(ledger.acknowledged)
        server.process.send_signal(signal.SIGSTOP)
        copy(folder)
    finally:
        if server and server.process:
            server.process.send_signal(signal.SIGCONT)
            server.kill()
        for sender in senders:
            sender.join()
        mounts.unmount(disk)
    totals["acknowledged batches"] += len(acknowledged)
    return opened(folder, acknowledged, ledger)


def copy(folder: Path) -> None:
    """Copies the disk at one instant: two copies that agree."""
    shutil.copyfile(folder / "disk", folder / "copy")
    for _ in range(COPIES):
        shutil.copyfile(folder / "disk", folder / "again")
        if (folder / "again").read_bytes() == (folder / "copy").read_bytes():
            (folder / "again").unlink()
            return
        os.replace(folder / "again", folder / "copy")
    raise Failed(f"the disk did not stand still in {COPIES} copies")


def opened(folder: Path, acknowledged: set[str], ledger: Ledger) -> str | None:
    """Mounts the copy, which replays its journal, and compares."""
    disk = mounts.image(folder / "copy", folder / "after")
    known = Ledger()
    known.acknowledged = acknowledged
    known.unknown = (ledger.acknowledged | ledger.unknown) - acknowledged
    server = Server(str(disk / "lake"), folder / "opened.log")
    try:
        server.start()
        known.check(server)
        known.repeat_unknown(server)
        known.check(server)
        processes.must(server.lake, "nightly")
        known.check(server)
    except (Failed, Lost) as error:
        return str(error)
    finally:
        if server.process:
            server.kill()
        mounts.unmount(disk)
    return None
