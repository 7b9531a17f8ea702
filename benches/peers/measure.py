"""Runs every question with every engine, each as a fresh process, in interleaved rounds.

    python measure.py ROUNDS FOLDER_OF_A_SIZE

A first round warms the page cache and keeps the answers; nothing is measured unless they agree. The rounds that count
go to FOLDER/runs.csv: seconds of the wall, seconds of user and system CPU, and peak memory, as the kernel counted them.
"""

import csv
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import tributary
import verify

HERE = Path(__file__).parent
PEERS = ["duckdb", "polars", "chdb", "datafusion"]
LAYOUTS = ["raw", "clustered"]
QUESTIONS = ["start", "scan", "credit", "paths", "transitions"]
LIMIT_S = 900
COLUMNS = ["round", "question", "engine", "layout", "status", "wall_s", "cpu_s", "peak_mb"]


def main(rounds: int, folder: Path) -> None:
    # Two cores for every process, whatever threads it starts.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    # A query that asks for more memory than there is ends before anything else does.
    Path("/proc/self/oom_score_adj").write_text("1000")
    answers = folder / "answers"
    answers.mkdir(exist_ok=True)
    for old in answers.iterdir():
        old.unlink()

    exact = run(peer("duckdb", "exact_credit", folder / "raw"), folder, answers / f"{verify.EXACT}.csv")
    if exact["status"] != "ok":
        sys.exit("the exact split did not run")
    runs = [warm_up(*one, folder) for one in everything(folder)]
    if disagreements := verify.disagreements(folder):
        sys.exit("\n".join(["the answers differ:", *disagreements]))
    available = {(one["question"], one["engine"], one["layout"]) for one in runs if one["status"] == "ok"}
    runs = [one for one in runs if one["status"] != "ok"]
    for number in range(1, rounds + 1):
        for question, engine, layout, command in everything(folder):
            if (question, engine, layout) in available:
                measured = run(command, folder, Path(os.devnull))
                runs.append(
                    {"round": number, "question": question, "engine": engine, "layout": layout, **measured}
                )
        print(f"{folder.name} touchpoints: round {number} of {rounds}", file=sys.stderr)

    with open(folder / "runs.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(runs)


def everything(folder: Path) -> Iterator[tuple[str, str, str, list[str]]]:
    """Yields question, engine, layout and command, the engines side by side within a question."""
    for question in QUESTIONS:
        for layout in LAYOUTS:
            for engine in PEERS:
                yield question, engine, layout, peer(engine, question, folder / layout)
        yield question, "tributary", "lake", tributary.command(question, folder)


def peer(engine: str, question: str, layout: Path) -> list[str]:
    return [sys.executable, f"{HERE}/ask.py", engine, question, f"{layout}"]


def warm_up(question: str, engine: str, layout: str, command: list[str], folder: Path) -> dict:
    answer = folder / "answers" / f"{engine}-{layout}-{question}.csv"
    measured = run(command, folder, answer)
    if measured["status"] != "ok":
        answer.unlink()
        reason = (folder / "stderr").read_text(errors="replace").strip().splitlines() or ["no message"]
        print(f"{engine} {layout} {question}: {measured['status']}: {reason[-1]}", file=sys.stderr)
    return {"round": 0, "question": question, "engine": engine, "layout": layout, **measured}


def run(command: list[str], folder: Path, answer: Path) -> dict:
    """Runs a process to its end; the kernel's own count of it includes all its threads."""
    with open(answer, "wb") as out, open(folder / "stderr", "wb") as err:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err, cwd=folder)
        limit = threading.Timer(LIMIT_S, process.kill)
        limit.start()
        _, code, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        limit.cancel()
    return {
        "status": "ok" if code == 0 else "out of bounds" if os.WIFSIGNALED(code) else "not available",
        "wall_s": round(wall, 4),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 4),
        "peak_mb": round(usage.ru_maxrss / 1024),
    }


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]).resolve())
