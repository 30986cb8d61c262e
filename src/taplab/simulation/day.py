"""A shop day as data: who comes, and what goes wrong.

Comes in: a seed. Goes out: a `Day`. Strategy: everything random about a day is drawn here, before it begins, so that
the same day can be run again with a visit or a fault less. Faults come in weathers, because a shop has fine days, and
days on which one thing fails again and again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from random import Random

from taplab.simulation.schedule import Fault, Kind, Point

VISITS_A_DAY = 20
CARDS = (
    *("good_credit",) * 6,
    *("offline_funds",) * 6,
    *("visa_credit", "visa_offline", "mastercard_credit", "mastercard_offline"),
    *("slow", "low_limit", "blocked"),
)
AMOUNTS_MINOR = (100, 450, 1_250, 1_250, 2_599, 4_000, 9_900, 20_000)
MS_A_MINUTE = 60_000
SOON = 6
STORMS = 0.25  # share of days
_STEPS_A_REQUEST, _OPERATIONS_A_REQUEST = 12, 50  # about, on a fine day


class Habit(Enum):
    """What a customer does at the counter."""

    PAYS = "pays"
    PAYS_AFTER_ALL = "pays after all"  # tries again when it did not work
    ASKED_TWICE = "is rung up twice"  # the register repeats its request at once, and once it is paid under a new key
    LEAVES_CARD = "leaves the card on the reader"
    CHANGES_MIND = "changes their mind"
    NEVER_TAPS = "never taps"


HABITS = (Habit.PAYS,) * 8 + (Habit.PAYS_AFTER_ALL,) * 6 + tuple(Habit)


@dataclass(frozen=True, slots=True)
class Visit:
    """One customer. `pause_s` lies between the customer before and this one."""

    amount_minor: int
    card: str
    habit: Habit = Habit.PAYS
    pause_s: int = 20

    def __str__(self) -> str:
        return f"{self.card} over {self.amount_minor} {self.habit.value} after {self.pause_s} s"


@dataclass(frozen=True, slots=True)
class Day:
    """`seed` feeds what the machines draw by themselves: jitter, references, what survives a power cut."""

    seed: int
    visits: tuple[Visit, ...]
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Trouble:
    """A kind of fault, where it strikes, about how often that place is passed on a fine day, and how much of it."""

    point: Point
    kind: Kind
    passes: int
    value_max: int = 0
    value_min: int = 0


_FRAME = 450  # octets; a cut behind the frame's end lets all of it through
_TROUBLES: tuple[Trouble, ...] = (
    Trouble(Point.STEP, Kind.POWER_CUT, 700, 1 << 30),
    Trouble(Point.DISK, Kind.POWER_CUT, 3_000, 1 << 30),
    Trouble(Point.REQUEST, Kind.POWER_CUT, 60, _FRAME),
    Trouble(Point.REPLY, Kind.POWER_CUT, 60, _FRAME),
    Trouble(Point.APDU, Kind.POWER_CUT, 90, 1),
    Trouble(Point.SLIP, Kind.POWER_CUT, 20, 1_000),
    Trouble(Point.STEP, Kind.RESTORE, 700, 400),
    Trouble(Point.STEP, Kind.CLOCK_JUMP, 700, 400 * 86_400_000, -400 * 86_400_000),
    Trouble(Point.DISK, Kind.IO_ERROR, 3_000),
    Trouble(Point.DISK, Kind.FULL, 3_000, 10 * MS_A_MINUTE, MS_A_MINUTE),
    Trouble(Point.DISK, Kind.SLOW, 3_000, 10 * MS_A_MINUTE, MS_A_MINUTE),
    Trouble(Point.CONNECT, Kind.REFUSED, 6),
    Trouble(Point.CONNECT, Kind.HANGS, 6),
    *(Trouble(Point.REQUEST, kind, 60) for kind in (Kind.LOST, Kind.TWICE, Kind.OVERTAKEN, Kind.HALF_OPEN)),
    *(Trouble(Point.REPLY, kind, 60) for kind in (Kind.LOST, Kind.TWICE, Kind.OVERTAKEN, Kind.HALF_OPEN)),
    Trouble(Point.REQUEST, Kind.LATE, 60, 90_000, 1),
    Trouble(Point.REPLY, Kind.LATE, 60, 90_000, 1),
    Trouble(Point.REQUEST, Kind.CUT, 60, _FRAME),
    Trouble(Point.REPLY, Kind.CUT, 60, _FRAME),
    Trouble(Point.REQUEST, Kind.AWAY, 60, 20 * MS_A_MINUTE, MS_A_MINUTE),
    Trouble(Point.REQUEST, Kind.SILENT, 60),
    Trouble(Point.REQUEST, Kind.SLOW_HOST, 60, 60_000, 100),
    Trouble(Point.REQUEST, Kind.BUSY, 60),
    Trouble(Point.REQUEST, Kind.DUPLICATE, 60),
    Trouble(Point.REQUEST, Kind.HOST_RESTART, 60),
    Trouble(Point.REQUEST, Kind.REFUSES, 60),
    Trouble(Point.REQUEST, Kind.POISON, 60),
    *(Trouble(Point.REPLY, kind, 60, 1 << 16) for kind in (Kind.WRONG_MAC, Kind.FORGED_DECLINE, Kind.NONSENSE)),
    Trouble(Point.APDU, Kind.PULLED, 90, 1),
    *(Trouble(Point.SLIP, kind, 20) for kind in (Kind.PAPER_OUT, Kind.NO_CONFIRMATION)),
)


def draw_day(seed: int, visits: int = VISITS_A_DAY) -> Day:
    """The day of `seed`."""
    random = Random(seed)
    faults_count = random.choice((0, 2, 4, 8, 16, 32))
    troubles = random.sample(_TROUBLES, random.choice((1, 3, len(_TROUBLES), len(_TROUBLES))))
    faults: dict[tuple[Point, int], Fault] = {}
    for _ in range(faults_count):
        fault = _draw_fault(random, random.choice(troubles), tuple(faults.values()))
        faults[fault.point, fault.nth] = fault
    if random.random() < STORMS:
        faults |= {(fault.point, fault.nth): fault for fault in _draw_storm(random)}
    return Day(seed, tuple(_draw_visit(random) for _ in range(visits)), tuple(faults.values()))


def _draw_storm(random: Random) -> tuple[Fault, ...]:
    """Faults that are worse together."""
    nth = random.randrange(4, 20)
    storms = (
        _chokes_after_an_outage,
        _chokes_on_what_it_undoes,
        _mostly_deaf,
        _refuses_what_is_owed,
        _never_clear,
        _told_nothing_and_power_fails,
        _deaf_and_the_machine_fails,
    )
    return random.choice(storms)(random, nth)


def _chokes_after_an_outage(random: Random, nth: int) -> tuple[Fault, ...]:
    """Customers pay while the host is away; when it is back it never answers the first that is owed: it comes behind
    the frame that was lost and the sign-on."""
    away_ms = random.randint(5, 15) * MS_A_MINUTE
    return Fault(Point.REQUEST, nth, Kind.AWAY, away_ms), Fault(Point.REQUEST, nth + 2, Kind.POISON)


def _chokes_on_what_it_undoes(random: Random, nth: int) -> tuple[Fault, ...]:
    """A lost sale is undone, behind the question about it and an echo, and that is never answered; then others are
    lost."""
    stuck = (Fault(Point.REQUEST, later, Kind.POISON) for later in (nth + 2, nth + 3))
    lost = (Fault(Point.REQUEST, later, Kind.LOST) for later in range(nth + 6, nth + 24, 2))
    return (Fault(Point.REQUEST, nth, Kind.LOST), *stuck, *lost)


def _refuses_what_is_owed(random: Random, nth: int) -> tuple[Fault, ...]:
    """A host that was away takes nothing of what is owed to it since; an operator has to speak, and before that the
    power fails."""
    away_ms, end = random.randint(3, 8) * MS_A_MINUTE, nth + random.randint(4, 12)
    refused = (Fault(Point.REQUEST, later, Kind.REFUSES) for later in range(nth + 2, end))
    cut = Fault(Point.REQUEST, end + random.randrange(4), Kind.POWER_CUT, random.randint(0, _FRAME))
    return (Fault(Point.REQUEST, nth, Kind.AWAY, away_ms), *refused, cut)


def _never_clear(random: Random, nth: int) -> tuple[Fault, ...]:
    """A sale is called a duplicate, and no question about it is answered: only an operator can end it."""
    silent = (Fault(Point.REQUEST, later, Kind.SILENT) for later in range(nth + 1, nth + 12))
    return (Fault(Point.REQUEST, nth, Kind.DUPLICATE), *silent)


def _told_nothing_and_power_fails(random: Random, nth: int) -> tuple[Fault, ...]:
    """A sale is not answered, what is owed for it neither, and again and again the terminal starts anew."""
    lost = (Fault(Point.REQUEST, later, Kind.SILENT) for later in range(nth, nth + 8))
    cuts = (Fault(Point.REQUEST, later, Kind.POWER_CUT, random.randint(0, _FRAME)) for later in (nth + 8, nth + 11))
    return (*lost, *cuts)


def _deaf_and_the_machine_fails(random: Random, nth: int) -> tuple[Fault, ...]:
    """While a sale is asked about in vain, about there disk, clock or power fail."""
    lost = (Fault(Point.REQUEST, later, Kind.LOST) for later in range(nth, nth + 6))
    operation, step = nth * _OPERATIONS_A_REQUEST, nth * _STEPS_A_REQUEST
    disk = (Kind.FULL, Kind.SLOW, Kind.SLOW, Kind.IO_ERROR)
    machine = (Kind.POWER_CUT, Kind.CLOCK_JUMP, Kind.RESTORE)
    disk_faults = (
        Fault(Point.DISK, operation + random.randrange(4 * _OPERATIONS_A_REQUEST), kind, MS_A_MINUTE)
        for kind in random.sample(disk, 2)
    )
    steps = (Fault(Point.STEP, step + random.randrange(40), kind, 400) for kind in random.sample(machine, 1))
    return (*lost, *disk_faults, *steps)


def _mostly_deaf(random: Random, nth: int) -> tuple[Fault, ...]:
    """For a while most of what is asked is not answered."""
    kinds = (Kind.LOST, Kind.LOST, Kind.SILENT)
    return tuple(
        Fault(Point.REQUEST, later, random.choice(kinds)) for later in range(nth, nth + 30) if random.random() < 0.6
    )


def _draw_fault(random: Random, trouble: Trouble, before: tuple[Fault, ...]) -> Fault:
    """Anywhere in the day, or soon after another one: while the terminal is busy with the first is the moment."""
    value = random.randint(trouble.value_min, trouble.value_max) if trouble.value_max else 0
    same_place = [fault.nth for fault in before if fault.point is trouble.point]
    if same_place and random.random() < 0.5:
        nth = random.choice(same_place) + random.randint(1, SOON)
    else:
        nth = random.randrange(trouble.passes)
    return Fault(trouble.point, nth, trouble.kind, value)


def _draw_visit(random: Random) -> Visit:
    return Visit(
        random.choice(AMOUNTS_MINOR), random.choice(CARDS), random.choice(HABITS), random.choice((2, 10, 30, 120))
    )
