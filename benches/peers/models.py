"""Markov attribution beside ChannelAttribution and MAM: the same journeys for everyone.

    python models.py JOURNEYS ROUNDS FOLDER

which models.sh calls, generates the journeys once, lands them in the lake FOLDER/lake, checks that the shares agree, measures in interleaved
rounds and prints a table in Markdown. Journeys have 1 to 12 touches of 16 channels, 3.2 on average.
"""

import contextlib
import io
import os
import statistics
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tributary import program

SEED = 20_250_101
CHANNELS = 16
LONGEST = 12
STOP = 0.3
STORE = "models"
INSTANT = pa.timestamp("us", tz="UTC")
START_US = int(np.datetime64("2025-03-01", "us").astype(np.int64))
HOUR_US = 3_600_000_000
HEADING = """# Markov chains beside other packages

    benches/peers/models.sh --rounds 5 --output benches/RESULTS-models.md

prints this table anew: medians of interleaved rounds on two cores. The shares agree.
"""
# Shares of a simulation are not exact.
TOLERANCE = {"ChannelAttribution": 0.02, "MAM": 1e-9}


def main(journeys: int, rounds: int, folder: Path) -> None:
    if not (folder / "landed").exists():
        touches, lengths, converted = generate(journeys)
        write(folder, touches, lengths, converted)
        land(folder)
        (folder / "landed").touch()
    grouped = pd.read_parquet(folder / "grouped.parquet")
    questions = {
        ("Tributary", 1, "a whole process: start, reading, grouping, model"): lambda: tributary(folder, 1),
        ("Tributary", 3, "the same"): lambda: tributary(folder, 3),
        ("Tributary", 0, "the same without a model"): lambda: grouping(folder),
        ("ChannelAttribution", 1, "its call alone, over grouped paths"): lambda: simulated(grouped, 1),
        ("ChannelAttribution", 3, "the same"): lambda: simulated(grouped, 3),
        ("MAM", 1, "its calls alone, over grouped paths"): lambda: matrix(grouped),
    }
    shares, seconds = {}, {question: [] for question in questions}
    for number in range(rounds + 1):
        for question, ask in questions.items():
            start = time.perf_counter()
            shares[question] = ask()
            if number:
                seconds[question].append(time.perf_counter() - start)
    check(shares)
    print(HEADING)
    print(f"## Markov chains over {journeys:,} journeys, {len(grouped):,} paths, {rounds} rounds\n")
    print("| model | order | seconds | what is timed |\n|---|---|---|---|")
    for (engine, order, what), of_rounds in seconds.items():
        print(f"| {engine} | {order or '-'} | {statistics.median(of_rounds):.2f} | {what} |")


def generate(journeys: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the channels of all touches, the lengths of the journeys, and which of them converted."""
    rng = np.random.default_rng(SEED)
    lengths = np.minimum(rng.geometric(STOP, journeys), LONGEST)
    weights = 1 / np.sqrt(1 + np.arange(CHANNELS))
    touches = rng.choice(CHANNELS, lengths.sum(), p=weights / weights.sum())
    starts = np.cumsum(lengths) - lengths
    survives = 0.95 * np.exp(np.add.reduceat(np.log1p(-0.01 * (touches % 5)), starts))
    return touches, lengths, rng.random(journeys) > survives


def write(folder: Path, touches: np.ndarray, lengths: np.ndarray, converted: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = pa.array([f"channel_{number:02}" for number in range(CHANNELS)])
    journey = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(touches)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    customer = pa.array(journey).cast(pa.string())
    rows = {
        "touch_id": pa.array(np.arange(len(touches))).cast(pa.string()),
        "customer_id": customer,
        "touched_at": pa.array(START_US + place * HOUR_US).cast(INSTANT),
        "channel": names.take(pa.array(touches)),
    }
    pq.write_table(pa.table(rows), folder / "touchpoints.parquet")
    ids = pa.array(np.flatnonzero(converted)).cast(pa.string())
    ordered_at = START_US + lengths[converted] * HOUR_US
    rows = {
        "order_id": ids,
        "customer_id": ids,
        "ordered_at": pa.array(ordered_at).cast(INSTANT),
        "status": pa.array(["completed"] * len(ids)),
        "currency": pa.array(["USD"] * len(ids)),
        "revenue": pa.array([Decimal("1.00")] * len(ids), pa.decimal128(18, 2)),
    }
    pq.write_table(pa.table(rows), folder / "orders.parquet")
    channels = np.array(names.to_pylist(), dtype=object)[touches]
    ends = np.cumsum(lengths)
    paths = [" > ".join(channels[end - length : end]) for end, length in zip(ends, lengths)]
    grouped = pd.DataFrame({"path": paths, "conversions": converted, "non_conversions": ~converted})
    grouped.groupby("path", as_index=False).sum().to_parquet(folder / "grouped.parquet")


def land(folder: Path) -> None:
    where = ["--data", f"{folder}/lake", "--store", STORE]
    for step in (["land", "touchpoints"], ["land", "orders"], ["nightly"]):
        files = [f"{folder}/{step[1]}.parquet"] if len(step) > 1 else []
        subprocess.run([program(), *step, *files, *where], check=True, stdout=subprocess.DEVNULL)


def tributary(folder: Path, order: int) -> dict[str, float]:
    answer = asked(folder, f"select channel, share from markov(journey_paths(), chain_order => {order})")
    frame = answer.dropna()
    return dict(zip(frame["channel"], frame["share"]))


def grouping(folder: Path) -> dict[str, float]:
    columns = "count(channels), sum(conversions), sum(revenue), sum(non_conversions)"
    asked(folder, f"select {columns} from journey_paths()")
    return {}


def asked(folder: Path, sql: str) -> pd.DataFrame:
    where = ["--data", f"{folder}/lake", "--store", STORE, "--threads", "2", "--format", "csv"]
    answer = subprocess.run([program(), "sql", *where, "--command", sql], check=True, capture_output=True)
    return pd.read_csv(io.BytesIO(answer.stdout))


def simulated(grouped: pd.DataFrame, order: int) -> dict[str, float]:
    import ChannelAttribution

    with contextlib.redirect_stdout(io.StringIO()):
        result = ChannelAttribution.markov_model(
            grouped, "path", "conversions", var_null="non_conversions", order=order, flg_pro=False, verbose=False
        )
    result = result[0] if isinstance(result, (list, tuple)) else result
    total = result["total_conversions"].sum()
    names = result["channel_name"].str.strip()
    return dict(zip(names, result["total_conversions"] / total))


def matrix(grouped: pd.DataFrame) -> dict[str, float]:
    from mam.core import MAM

    parts = [
        grouped[grouped[column] > 0].assign(occurrences=grouped[column], is_conversion=column == "conversions")
        for column in ("conversions", "non_conversions")
    ]
    model = MAM(
        pd.concat(parts)[["path", "occurrences", "is_conversion"]],
        format_type="grouped_journey",
        channels_colname="path",
        journey_with_conv_colname="is_conversion",
        occurrences_colname="occurrences",
    )
    effects = model.run_markov(transition_to_same_state=True).metadata["removal_effect"]["removal_effect"]
    return dict(effects / effects.sum())


def check(shares: dict) -> None:
    shares = {question: answer for question, answer in shares.items() if answer}
    exact = {order: answer for (engine, order, _), answer in shares.items() if engine == "Tributary"}
    for (engine, order, _), answer in shares.items():
        for channel, share in exact[order].items():
            off = abs(answer[channel] - share)
            if off > TOLERANCE.get(engine, 0):
                sys.exit(f"order {order}: {engine} gives {channel} {answer[channel]:.4f}, not {share:.4f}")


if __name__ == "__main__":
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]).resolve())
