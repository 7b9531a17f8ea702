"""Drill `bucket`: every step of a schedule on a lake in a bucket, which then equals a lake in a folder with the same rows."""

import json
import random
import time
import urllib.parse
from collections import Counter
from pathlib import Path

import client
import places
import processes
from client import STORE
from model import Model
from outcome import Outcome, Settings
from places import Store
from processes import Failed, Lost, Server
from schedules import settle
from steps import STEPS, land
from world import COMMAND_LINE, World

# What landing, batch and version tell: they differ between two lakes with the same rows.
OWN = {"ingested_at", "batch_id"}
QUESTIONS = ["select * from journeys", "select * from channel_daily", "select * from attribution_daily"]
PERIOD = {"start": "2024-10-01", "end": "2025-03-01"}
NAMED = {"attribution/by_channel": PERIOD, "attribution/reconciliation": {}, "performance/channels": PERIOD}
METRICS = [
    {"channel": "email", "source": "s", "campaign": f"c{n}", "date": f"2025-01-0{n}", "sessions": n, "revenue": "1.25", "cost": "2.50", "currency": "USD"}
    for n in range(1, 6)
]  # fmt: skip


def drill(settings: Settings) -> Outcome:
    outcome, totals, begun = Outcome(), Counter(), time.monotonic()
    count = settings.count or (30 if settings.is_long else 1)
    seeds = [settings.seed] if settings.is_replay and not settings.count else range(settings.seed, settings.seed + count)
    with places.store(settings.work / "store", settings.seed) as store:
        for seed in seeds:
            failure, world = schedule(seed, settings.folder(f"bucket-{seed}"), store)
            totals += world.counts
            totals["steps"] += len(world.steps)
            if failure:
                outcome.fail(seed, failure, world.steps, world.folder)
            else:
                settings.discard(world.folder)
    outcome.figures = {"schedules": len(seeds), **dict(sorted(totals.items())), "seconds": round(time.monotonic() - begun)}
    return outcome


def schedule(seed: int, folder: Path, store: Store) -> tuple[str | None, World]:
    """Runs every step once, in an order of the seed. Returns what went wrong, or `None`."""
    world = World(seed, folder, store.bucket(f"bucket-{seed}", folder))
    try:
        world.start()
        land(world)
        land_metrics(world.servers[0])
        for step in random.Random(seed).sample(list(STEPS), len(STEPS)):
            step(world)
            # Another server, and a process that has seen nothing yet, read what was acknowledged.
            world.verify(world.random.choice([0, 1]))
            world.verify(COMMAND_LINE)
        settle(world)
        check_sound(world)
        compare_with_folder(world)
    except (Failed, Lost) as error:
        # What the bucket has goes with its server.
        world.place.files()
        return f"{type(error).__name__}: {error}", world
    finally:
        world.close()
    return None, world


def land_metrics(server: Server) -> None:
    answer = client.land(server, "metrics", METRICS)
    if answer.status != 200:
        raise Failed(f"a landing in metrics was answered by {answer}")


def check_sound(world: World) -> None:
    world.note("fsck --deep")
    done = world.command("fsck", "--deep")
    if done.returncode != 0:
        raise Failed(f"`tributary fsck --deep` ended with {done.returncode}: {(done.stdout + done.stderr)[:600]}")


def compare_with_folder(world: World) -> None:
    """Lands the model's rows in a new lake in a folder: both give the same journeys, rollups and answers."""
    world.note("land the same rows in a folder, and compare")
    lake = world.folder / "folder"
    with Server(str(lake), world.folder / "folder.log") as server:
        land_metrics(server)
        land_model(server, world.model)
        processes.must(str(lake), "nightly")
        there, here = answers(world.servers[1]), answers(server)
    for question, rows in here.items():
        if rows != there[question]:
            more, less = Counter(there[question]) - Counter(rows), Counter(rows) - Counter(there[question])
            raise Failed(
                f"`{question}` has {more.total()} rows in the bucket that it has not in a folder and lacks {less.total()}: "
                f"{list(more)[:1]} {list(less)[:1]}"
            )


def land_model(server: Server, model: Model) -> None:
    for table, versions in model.tables.items():
        rows = [version.row for version in versions.values()]
        if rows and (answer := client.land(server, table, rows)).status != 200:
            raise Failed(f"a landing in {table} was answered by {answer}")


def answers(server: Server) -> dict[str, list[str]]:
    """Returns the rows of each answer as text, in an order of their own."""
    found = {text: client.sql(server, text) for text in QUESTIONS}
    for name, period in NAMED.items():
        parameters = {"store": STORE, "format": "json"} | period
        answer = client.request(server, "GET", f"/v1/queries/{name}?{urllib.parse.urlencode(parameters)}")
        if answer.status != 200:
            raise Failed(f"{name} was answered by {answer}")
        found[name] = answer.json()["data"]
    return {question: sorted(shown(row) for row in rows) for question, rows in found.items()}


def shown(row: dict) -> str:
    return json.dumps({name: value for name, value in row.items() if name not in OWN}, sort_keys=True)
