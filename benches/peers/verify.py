"""Checks that all engines gave the same answers.

    python verify.py FOLDER_OF_A_SIZE

Paths, transitions and scans agree exactly; revenue agrees to the cent. Tributary splits every order to the cent and the
peers do not, so its credit is compared with the same split in SQL, and that with the peers within what rounding makes.
"""

import csv
import sys
from decimal import Decimal
from pathlib import Path

# How many columns, from the left, name a row of the answer; all others are numbers.
KEYS = {"start": 0, "scan": 0, "credit": 1, "paths": 1, "transitions": 2}
REFERENCE = "duckdb-raw"
EXACT = "exact-credit"
CENT = Decimal("0.01")


def main(folder: Path) -> None:
    found = disagreements(folder)
    print("\n".join(found) or "all answers agree")
    sys.exit(bool(found))


def disagreements(folder: Path) -> list[str]:
    answers, touchpoints = folder / "answers", int(folder.name)
    found = []
    for question, keys in KEYS.items():
        reference = read(answers / f"{REFERENCE}-{question}.csv", keys)
        exact = read(answers / f"{EXACT}.csv", keys) if question == "credit" else None
        for path in sorted(answers.glob(f"*-*-{question}.csv")):
            splits = exact is not None and path.name.startswith("tributary-")
            # Floating sums differ after the cent, and only there.
            tolerance = CENT / 2 if question == "credit" else Decimal(0)
            found += compare(path, read(path, keys), exact if splits else reference, tolerance)
        if exact:
            # A share is rounded by less than a cent, up or down: the sum strays as a random walk does.
            strays = CENT * Decimal(touchpoints).sqrt()
            found += compare(answers / f"{EXACT}.csv", exact, reference, strays)
    return found


def read(path: Path, keys: int) -> dict[tuple, list[Decimal]]:
    with open(path, newline="") as file:
        rows = list(csv.reader(file))[1:]
    return {tuple(row[:keys]): [Decimal(value) for value in row[keys:]] for row in rows}


def compare(path: Path, answer: dict, reference: dict, tolerance: Decimal) -> list[str]:
    """Returns a line for each row of an answer that is not the reference's."""
    found = [f"{path.name}: {key} is in one answer only" for key in sorted(answer.keys() ^ reference.keys())]
    for key in sorted(answer.keys() & reference.keys()):
        pairs = list(zip(answer[key], reference[key], strict=True))
        if any(abs(one - other) > tolerance for one, other in pairs):
            found.append(f"{path.name}: {key} {answer[key]} is not {reference[key]}")
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
