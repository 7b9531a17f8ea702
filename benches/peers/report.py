"""Writes the medians of the measured runs as Markdown.

python report.py COMMAND FOLDER_OF_A_SIZE...
"""

import csv
import os
import statistics
import subprocess
import sys
from pathlib import Path

import tributary
from measure import QUESTIONS

TITLES = {
    "start": "start",
    "scan": "bare scan",
    "credit": "credit, five models",
    "paths": "top 20 paths",
    "transitions": "transitions",
}
LAYOUTS = {"lake": "its lake", "clustered": "by customer", "raw": "by time"}


def main(command: str, folders: list[Path]) -> None:
    print(heading(command))
    for folder in folders:
        print(table(folder))


def heading(command: str) -> str:
    requirements = (Path(__file__).parent / "requirements.txt").read_text().splitlines()
    version = subprocess.run([tributary.program(), "--version"], capture_output=True, text=True, check=True)
    engines = ", ".join(
        [version.stdout.strip(), *(line.replace("==", " ") for line in requirements if "==" in line)]
    )
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"""# Tributary beside its peers

    {command}

makes these tables anew. A cell holds the wall's seconds / CPU seconds / peak memory in MB: medians of whole processes,
fresh for every question, interleaved, with two threads on two of {os.cpu_count()} cores, {memory_gb:.0f} GB of memory
and a warm page cache. All answers that there are agree. The first column is a process that does nothing but start: the
peers' is mostly Python's. `benches/peers/README.md` says what is asked.

{engines}
"""


def table(folder: Path) -> str:
    with open(folder / "runs.csv", newline="") as file:
        runs = list(csv.DictReader(file))
    rounds = max(int(run["round"]) for run in runs)
    lines = [
        f"## {int(folder.name):,} touchpoints, {rounds} rounds",
        "",
        "| engine | layout | " + " | ".join(TITLES[question] for question in QUESTIONS) + " |",
        "|---|---|" + "---|" * len(QUESTIONS),
    ]
    rows = dict.fromkeys((run["layout"], run["engine"]) for run in runs)
    for layout, engine in sorted(rows, key=lambda row: list(LAYOUTS).index(row[0])):
        mine = [run for run in runs if (run["layout"], run["engine"]) == (layout, engine)]
        cells = [cell([run for run in mine if run["question"] == question]) for question in QUESTIONS]
        lines.append(f"| {engine} | {LAYOUTS[layout]} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def cell(runs: list[dict]) -> str:
    """Returns the medians, or what kept a question from being answered."""
    failed = [run["status"] for run in runs if run["status"] != "ok"]
    if failed:
        return failed[0]
    wall, cpu, peak = [
        statistics.median(float(run[name]) for run in runs) for name in ("wall_s", "cpu_s", "peak_mb")
    ]
    return f"{wall:.2f} / {cpu:.2f} / {peak:,.0f}"


if __name__ == "__main__":
    main(sys.argv[1], [Path(folder).resolve() for folder in sys.argv[2:]])
