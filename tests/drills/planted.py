"""Brings known faults back, one after the other, and sees that the tests and the drills find each of them.

    python planted.py [FAULT ...]

Needs a program and tests that were built with the cargo features `failpoints` and `planted-bugs`: `just planted` builds
them. First everything runs without a fault, and has to hold. Then each fault has to fail one of its checks. Exits with 1 if
one does not.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass

import processes

FEATURES = "failpoints,planted-bugs"
TIMEOUT_S = 900


@dataclass(frozen=True)
class Check:
    """One test of a test program, or one drill."""

    program: str
    name: str
    arguments: tuple[str, ...] = ()
    # How often a test of many schedules or seeds tries; none for its own number.
    count: int | None = None

    def __str__(self) -> str:
        return f"{self.program} {self.name}"


def drill(name: str, count: int) -> Check:
    return Check("drills.py", name, ("--count", str(count), "--seed", "1"))


STAGED = Check("lib", "a_body_that_was_long_under_way_replaces_what_was_compacted_meanwhile")
OUTLASTS = Check("lib", "a_rewrite_outlasts_landings_that_leave_its_files_alone")
LOSES = Check("lib", "a_rewrite_loses_to_one_that_was_committed_meanwhile")
REPEATED = Check("it", "a_batch_sent_again_gets_the_first_receipt_and_changes_nothing")
STORES = Check("it", "one_store_never_sees_anothers_rows_or_their_existence")
AT_ONCE = Check("it", "two_processes_that_land_one_batch_at_once_land_it_once")
RETENTION = Check("it", "a_vacuum_takes_what_the_retention_does_not_need_and_nothing_else")
BESIDE_ERASURE = Check("it", "a_person_who_is_landed_beside_their_erasure_is_there_anew_or_nowhere", count=510)
AMBIGUOUS = Check("it", "a_commit_whose_answer_is_lost_is_made_once_and_its_sender_learns_of_it")

# What has to find each fault. The fault is found if one of them fails.
FAULTS: dict[str, list[Check]] = {
    "purge-by-difference": [BESIDE_ERASURE],
    "order-of-staging": [STAGED],
    "lost-to-any-commit": [OUTLASTS],
    "unchecked-removes": [LOSES],
    "added-again": [AMBIGUOUS],
    "no-sync": [drill("power_cut", 4)],
    "no-notes": [REPEATED],
    "acknowledged-early": [REPEATED],
    "no-store-wall": [STORES],
    "taken-ignored": [AT_ONCE],
    "vacuumed-early": [RETENTION],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"one of {', '.join(FAULTS)}")
    arguments = parser.parse_args()
    if unknown := set(arguments.faults) - set(FAULTS):
        parser.error(f"unknown fault {', '.join(sorted(unknown))}; known are {', '.join(FAULTS)}")
    names = arguments.faults or list(FAULTS)
    programs = built()
    found = {name: is_found(name, FAULTS[name], programs) for name in names}
    checks = {check: None for name in names for check in FAULTS[name]}
    broken = [check for check in checks if holds(check, programs, fault=None) is False]
    for check in broken:
        print(f"{check} fails without a fault: it proves nothing")
    print(f"planted: {list(found.values()).count(True)} of {len(names)} faults were found")
    if broken or False in found.values():
        sys.exit(1)


def built() -> dict[str, str]:
    """Returns the test programs by name."""
    command = ["cargo", "test", "--workspace", "--locked", "--no-run", "--features", FEATURES, "--message-format=json"]
    lines = subprocess.run(command, cwd=processes.PROJECT, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    programs = {}
    for message in map(json.loads, lines):
        target = message.get("target", {})
        if message.get("executable") and target.get("name") in ("tributary", "it"):
            is_library = "lib" in target["kind"]
            if is_library or target["name"] == "it":
                programs["lib" if is_library else "it"] = message["executable"]
            elif "bin" in target["kind"]:
                programs["tributary"] = message["executable"]
    return programs


def is_found(fault: str, checks: list[Check], programs: dict[str, str]) -> bool | None:
    """Returns whether a check fails; none if no check could run."""
    results = []
    for check in checks:
        begun = time.monotonic()
        results.append(holds(check, programs, fault))
        if results[-1] is False:
            print(f"{fault}: found by {check} in {time.monotonic() - begun:.0f} s", flush=True)
            return True
    has_run = True in results
    print(f"{fault}: {'NOT FOUND' if has_run else 'left out: its drills cannot run on this machine'}", flush=True)
    return False if has_run else None


def holds(check: Check, programs: dict[str, str], fault: str | None) -> bool | None:
    """Returns whether a check succeeds in a program that has a fault, or none; none if this machine cannot run it."""
    if check.program == "drills.py":
        command = [sys.executable, "drills.py", check.name, *check.arguments]
    else:
        command = [programs[check.program], check.name]
    more = {"TRIBUTARY": os.environ["TRIBUTARY"]}
    if fault:
        more[processes.PLANTED] = fault
    if check.count:
        more["TRIBUTARY_DRILL_COUNT"] = str(check.count)
    environment = processes.environment(**more)
    run = subprocess.run(
        command, cwd=os.path.dirname(__file__), env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if "result: ok. 0 passed" in run.stdout:
        sys.exit(f"{check} ran nothing:\n{run.stdout}{run.stderr}")
    if "nothing ran" in run.stdout:
        return None
    return run.returncode == 0


if __name__ == "__main__":
    main()
