"""Runs drills against the binary named by the environment variable TRIBUTARY.

    python drills.py [schedules] [bucket] [writers] [crash] [corruption] [power_cut] [disk_full] [hostile] [soak] [load]

Without names, every drill but `soak` and `load` runs. Exits with 1 if a drill fails.
"""

import argparse
import importlib
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import capabilities
import mounts
import processes
from outcome import Outcome, Settings
from processes import Failed, Lost, Skipped

DRILLS = ["schedules", "bucket", "writers", "crash", "corruption", "power_cut", "disk_full", "hostile", "soak", "load"]
LONG_ONLY = {"soak", "load"}
SHOWN_FAILURES = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="DRILL", help=f"one of {', '.join(DRILLS)}")
    parser.add_argument("--without", action="append", default=[], metavar="DRILL", help="leaves a drill out")
    parser.add_argument("--long", action="store_true", help="more runs: for nights, not for every change")
    parser.add_argument("--seed", type=int, help="the seed of the first run; alone, it replays that run")
    parser.add_argument("--count", type=int, help="the number of runs")
    parser.add_argument("--minutes", type=int, default=120, help="how long `soak` lasts [default: 120]")
    parser.add_argument("--keep", action="store_true", help="keep every run's folder; a failed run's folder is always kept")
    parser.add_argument("--no-skip", action="store_true", help="fail if the binary lacks a feature that a part needs")
    arguments = parser.parse_args()
    if unknown := {*arguments.names, *arguments.without} - set(DRILLS):
        parser.error(f"unknown drill {', '.join(sorted(unknown))}; the drills are {', '.join(DRILLS)}")
    short = [name for name in DRILLS if name not in LONG_ONLY]
    names = [name for name in arguments.names or short if name not in arguments.without]
    capabilities.is_all_required = arguments.no_skip
    signal.signal(signal.SIGTERM, end)
    print(f"binary: {processes.program()}")
    work = Path(tempfile.mkdtemp(prefix="tributary-drills-"))
    failed = [name for name in names if not run(name, arguments, work)]
    if not any(work.iterdir()):
        work.rmdir()
    else:
        print(f"kept: {work}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def end(*_) -> None:
    """Ends what the drills started, as at an exit, which a signal would leave running."""
    processes.end_all()
    mounts.unmount_all()
    os._exit(1)


def run(name: str, arguments: argparse.Namespace, work: Path) -> bool:
    """Runs one drill and prints what it found. Returns whether it holds."""
    seed = arguments.seed if arguments.seed is not None else random.randrange(1, 1 << 30)
    folder = work / name
    folder.mkdir()
    settings = Settings(
        seed=seed, work=folder, is_long=arguments.long, is_replay=arguments.seed is not None,
        count=arguments.count, minutes=arguments.minutes, keep=arguments.keep,
    )  # fmt: skip
    print(f"== {name}: seed {seed}", flush=True)
    begun = time.monotonic()
    try:
        outcome = importlib.import_module(name).drill(settings)
    except Skipped as why:
        outcome = Outcome(skipped=[str(why)])
    except (Failed, Lost) as error:
        outcome = Outcome()
        outcome.fail(seed, str(error), folder=folder)
    for why in outcome.skipped:
        print(f"  skipped: {why}")
    for failure in outcome.failures[:SHOWN_FAILURES]:
        print(f"  FAILED with seed {failure.seed}: {failure.message}")
        for number, step in enumerate(failure.steps, 1):
            print(f"    {number}. {step[:2000]}")
        print(f"    replay: drills.py {name} --seed {failure.seed}; folder: {failure.folder}")
    for failure in outcome.failures[SHOWN_FAILURES:]:
        print(f"  FAILED with seed {failure.seed}: {failure.message[:300]}")
    for kind, number in Counter(kind_of(failure.message) for failure in outcome.failures).most_common():
        print(f"  {number} x {kind}")
    if not outcome.failures and not arguments.keep:
        shutil.rmtree(folder, ignore_errors=True)
    figures = ", ".join(f"{value} {figure}" for figure, value in outcome.figures.items())
    verdict = f"{len(outcome.failures)} FAILED" if outcome.failures else "holds" if figures else "nothing ran"
    print(f"{name}: {verdict}; {figures + '; ' if figures else ''}{time.monotonic() - begun:.0f} s", flush=True)
    return not outcome.failures


def kind_of(message: str) -> str:
    """Returns a message without what differs from run to run, so that failures can be counted by kind."""
    message = re.sub(r"\{.*|\[.*", "..", message)
    return re.sub(r"\S*\d\S*", "N", message)[:160]


if __name__ == "__main__":
    main()
