"""Drill `disk_full`: a landing that finds no room is refused and lands nothing, and all goes on when there is room again."""

import random
import time
from collections import Counter
from pathlib import Path

import batches
import capabilities
import client
import mounts
import processes
from outcome import Outcome, Settings
from processes import Failed, Lost, Server

DISK_BYTES = 3 << 20
PAGE_BYTES = 4096
MOST_LANDINGS = 400
# What the refusal is: 507 says why; 503 is what older binaries say.
REFUSALS = {503, 507}


def drill(settings: Settings) -> Outcome:
    outcome, totals, begun = Outcome(), Counter(), time.monotonic()
    levels = settings.count or (100 if settings.is_long else 12)
    levels = 1 if settings.is_replay and not settings.count else levels
    for seed in range(settings.seed, settings.seed + levels):
        folder = settings.folder(f"full-{seed}")
        steps: list[str] = []
        disk = mounts.memory(folder / "disk", DISK_BYTES)
        try:
            level(seed, disk, folder, totals, steps)
            settings.discard(folder)
        except (Failed, Lost) as error:
            outcome.fail(seed, str(error), steps, folder)
        finally:
            mounts.unmount(disk)
    outcome.figures = {"levels": levels, **dict(sorted(totals.items())), "seconds": round(time.monotonic() - begun)}
    return outcome


def level(seed: int, disk: Path, folder: Path, totals: Counter, steps: list[str]) -> None:
    """Fills the disk to its end by landings of one size, then makes room."""
    chance = random.Random(seed)
    server = Server(str(disk / "lake"), folder / "server.log").start()
    whole: dict[str, int] = {}
    try:
        for number in range(2):
            _expect(send(server, f"begin-{number}", 2, whole), {200})
        # The ballast leaves a random number of pages, so that another write is the one without room each time.
        pages, row_count, text_bytes = chance.randrange(6, 40), chance.randrange(1, 5), chance.choice([10, 1000, 8000])
        steps.append(f"ballast leaves {pages} pages; batches of {row_count} rows of {text_bytes} bytes until there is no room")
        ballast = fill(disk, pages)
        refused = None
        for number in range(MOST_LANDINGS):
            answer = send(server, f"fill-{number}", row_count, whole, text_bytes)
            if answer.status != 200:
                refused = f"fill-{number}"
                _expect(answer, {507} if capabilities.is_all_required else REFUSALS)
                totals[f"refused by {answer.status}"] += 1
                break
        if not refused:
            raise Failed(f"{MOST_LANDINGS} landings found room on a full disk")
        check(server, whole, {refused: row_count}, "while the disk is full")
        if chance.random() < 0.5:
            steps.append("nightly on the full disk")
            done = processes.run(server.lake, "nightly")
            totals["nightly on a full disk: exit code " + str(done.returncode)] += 1
            if done.returncode < 0 or "panicked" in done.stderr:
                raise Failed(f"`tributary nightly` on a full disk ended with {done.returncode}: {done.stderr[:600]}")
            check(server, whole, {refused: row_count}, "after nightly on a full disk")
        steps.append("the ballast is deleted")
        ballast.unlink()
        _expect(send(server, "after", 3, whole), {200})
        _expect(send(server, refused, row_count, whole, text_bytes), {200})
        check(server, whole, {}, "when there is room again")
        processes.must(server.lake, "nightly")
        check(server, whole, {}, "after nightly")
    finally:
        server.kill()


def fill(disk: Path, pages_left: int) -> Path:
    """Writes a file that leaves so many pages of the disk."""
    path, page = disk / "ballast", b"\0" * PAGE_BYTES
    with open(path, "wb", buffering=0) as file:
        try:
            while file.write(page) == PAGE_BYTES:
                pass
        except OSError:
            pass
        file.truncate(max(0, file.tell() // PAGE_BYTES - pages_left) * PAGE_BYTES)
    return path


def send(server: Server, batch: str, row_count: int, whole: dict[str, int], text_bytes: int = 10) -> client.Answer:
    """Lands a batch of texts that do not pack, and notes it if it was acknowledged."""
    # The same batch always has the same bytes: it may be sent again under its key.
    chance = random.Random(batch)
    rows = [row | {"source": chance.randbytes(text_bytes // 2).hex()} for row in batches.rows_of(batch, row_count)]
    answer = client.land(server, batches.TABLE, rows, key=batch)
    if answer.status == 200:
        whole[batch] = row_count
    return answer


def _expect(answer: client.Answer, statuses: set[int]) -> None:
    if answer.status not in statuses:
        raise Failed(f"a landing was answered by {answer}, not by one of {sorted(statuses)}")


def check(server: Server, whole: dict[str, int], refused: dict[str, int], when: str) -> None:
    """Every acknowledged batch is there whole, and of a refused one nothing."""
    found = {row["campaign"]: (row["row_count"], row["touch_count"]) for row in client.sql(server, batches.COUNTS)}
    expected = {batch: (rows, rows) for batch, rows in whole.items()}
    if found != expected:
        lost, more = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
        there = [batch for batch in more if batch in refused]
        raise Failed(f"{when}: {len(lost)} acknowledged batches are lost {lost[:3]}; {len(more)} others are there {more[:3]}; refused and there: {there}")
