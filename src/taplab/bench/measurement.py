"""What is measured and how it is told: one plan in, one result out, for every measurement alike.

Comes in: where to work and how much to do. Goes out: a ratio beside its bar, each contender's figures, and what has to
be known to read them. Strategy: ratios of contenders that ran in turns on the same machine in the same minutes; figures
in seconds stand beside them and say nothing about another machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

Figure = float | int | str | bool
Progress = Callable[[str], None]


class Better(Enum):
    """Which way a ratio is good."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True)
class Plan:
    """`directory` lies on the disk that is measured. `divide` makes everything so many times smaller, to see the tool
    at work; its ratios then mean nothing."""

    directory: Path
    progress: Progress
    quick: bool = False
    full: bool = False
    divide: int = 1

    def count(self, normal: int, quick: int | None = None, full: int | None = None) -> int:
        """How many of something, at least one."""
        if self.full and full is not None:
            normal = full
        elif self.quick:
            normal = normal // 5 if quick is None else quick
        return max(1, normal // self.divide)

    def folder(self, name: str) -> Path:
        """A new one of this name."""
        place = self.directory / name
        place.mkdir(parents=True)
        return place


@dataclass(frozen=True, slots=True)
class Result:
    """`ratio` is what `bar` is about; a result without a bar is there to be looked at. `contenders` has figures by
    contender, the product first; `notes` says in sentences what the figures leave out."""

    ratio: float
    bar: float | None
    better: Better
    contenders: Mapping[str, Mapping[str, Figure]]
    details: Mapping[str, Figure] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def met(self) -> bool | None:
        """None without a bar."""
        if self.bar is None:
            return None
        return self.ratio >= self.bar if self.better is Better.HIGHER else self.ratio <= self.bar

    def as_json(self) -> dict[str, object]:
        return {
            "ratio": round(self.ratio, 4),
            "bar": self.bar,
            "met": self.met,
            "better": self.better.value,
            "contenders": {name: dict(figures) for name, figures in self.contenders.items()},
            "details": dict(self.details),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Skipped:
    """This machine cannot do it."""

    reason: str

    def as_json(self) -> dict[str, object]:
        return {"skipped": self.reason}


Measure = Callable[[Plan], Result | Skipped]
