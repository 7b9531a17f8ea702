"""Drill `schedules`: random steps by several processes on one lake, compared with a model."""

import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from answers import compare_journeys, reconcile
from outcome import Outcome, Settings
from processes import Failed, Lost
from steps import STEPS, land, run_nightly, vacuum
from world import World

STEPS_PER_SCHEDULE = 5
AT_ONCE = 2


def drill(settings: Settings) -> Outcome:
    count = settings.count or (1000 if settings.is_long else 100)
    seeds = [settings.seed] if settings.is_replay and not settings.count else range(settings.seed, settings.seed + count)
    outcome, totals, begun = Outcome(), Counter(), time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for seed, failure, world in pool.map(lambda seed: schedule(seed, settings.folder(f"schedule-{seed}")), seeds):
            totals += world.counts
            totals["steps"] += len(world.steps)
            if failure:
                outcome.fail(seed, failure, world.steps, world.folder)
            else:
                settings.discard(world.folder)
    outcome.figures = {"schedules": len(seeds), **dict(sorted(totals.items())), "seconds": round(time.monotonic() - begun)}
    return outcome


def schedule(seed: int, folder: Path) -> tuple[int, str | None, World]:
    """Runs one schedule. Returns what went wrong, or `None`."""
    world = World(seed, folder)
    try:
        world.start()
        for _ in range(2):
            land(world)
        chosen = world.random.choices(list(STEPS), list(STEPS.values()), k=STEPS_PER_SCHEDULE)
        for number, step in enumerate(chosen):
            step(world)
            if number % 2 == 1 or len(world.candidates) > 1:
                world.verify()
        settle(world)
    except (Failed, Lost) as error:
        return seed, f"{type(error).__name__}: {error}", world
    except Exception:
        return seed, f"the drill itself failed: {traceback.format_exc()}", world
    finally:
        world.close()
    return seed, None, world


def settle(world: World) -> None:
    """Compares everything at the end, when nothing else runs."""
    world.verify(0)
    world.note("at the end: nightly, vacuum, and every answer again")
    run_nightly(world)
    for person in sorted(world.unfinished):
        world.erase(person)
    world.verify(1)
    compare_journeys(world)
    reconcile(world)
    vacuum(world)
    world.verify()
    compare_journeys(world)
    world.search_erased("at the end")
