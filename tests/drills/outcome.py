"""What a drill is told, and what it says when it has ended."""

import itertools
import shutil
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Settings:
    """How a drill is to run."""

    seed: int
    work: Path
    is_long: bool = False
    # A seed was named: the drill runs that one alone, unless a count is named as well.
    is_replay: bool = False
    count: int | None = None
    minutes: int = 120
    keep: bool = False
    _number: itertools.count = field(default_factory=itertools.count)

    def folder(self, name: str) -> Path:
        """Returns a new folder for one run."""
        path = self.work / f"{next(self._number):04d}-{name}"
        path.mkdir()
        return path

    def discard(self, folder: Path) -> None:
        """Removes a run's folder unless it is to be kept."""
        if not self.keep:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Failure:
    """One run that went wrong."""

    seed: int
    message: str
    steps: list[str]
    folder: Path | None


@dataclass
class Outcome:
    """What a drill found."""

    figures: dict = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def fail(self, seed: int, message: str, steps: list[str] | None = None, folder: Path | None = None) -> None:
        self.failures.append(Failure(seed, message, steps or [], folder))

    def skip(self, why: str) -> None:
        self.skipped.append(why)
