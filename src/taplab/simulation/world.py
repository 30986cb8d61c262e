"""A shop day in one process on a time of its own: the real terminal, the real host, and everything that can fail.

Comes in: a `Day` and a folder (on a memory disk, for speed). Goes out: a `Verdict`: rules broken, the journal's head,
how often each thing happened, and the story if somebody listens.
Strategy: things happen one after the other on the agenda. A power cut throws away all that the terminal has in memory;
what the disk kept is what the next boot finds. When the last customer has left nothing new goes wrong, and then
everything has to come to its end.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NoReturn, cast

import apsw

from taphost.memory_store import MemoryStore
from taplab.simulation.acquirer import SimHost
from taplab.simulation.agenda import Agenda, VirtualTime
from taplab.simulation.boot import JOURNAL_NAME, TERMINAL, Boot, SeededEntropy, Surroundings, Watch
from taplab.simulation.cashier import Cashier
from taplab.simulation.day import Day, Habit, Visit
from taplab.simulation.disk import Disk, Image
from taplab.simulation.ground import common_ground
from taplab.simulation.parking_operator import ParkingOperator
from taplab.simulation.power import PowerCut
from taplab.simulation.rules import Rules
from taplab.simulation.schedule import Fault, Faults, Kind, Point
from taplab.simulation.slip_printer import Paper
from taplab.simulation.story import Story
from taplab.simulation.tap import CounterField
from taplab.simulation.wires import Wires
from taptill.credential.keystore import KeyStoreError
from taptill.errors import TapTillError
from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.disposition import Offer
from taptill.journal.port import ImpossibleEntry, JournalDamaged, JournalError, JournalForeign
from taptill.terminal.effects import Answer, Ask, Effect, Print, Tell
from taptill.terminal.events import DispositionOffered, Event, Started
from taptill.terminal.loop import StartNeeded, TerminalStopped

SECOND_US = 1_000_000
POWER_BACK_AFTER_US = 30 * SECOND_US
START_AGAIN_AFTER_US = 10 * SECOND_US
LOOK_EVERY_US = 10 * SECOND_US
DAY_US_MAX = 48 * 3_600 * SECOND_US
SETTLING_US_MAX = 3_600 * SECOND_US
OPERATOR_COMES_AFTER_US = 420 * SECOND_US
OPERATOR_SPEAKS_US = 10 * SECOND_US
NOBODYS_TICKET = 0  # no register waits for the answer
IMAGE_EVERY_STEPS, IMAGES_KEPT = 40, 10
NEVER_AT_A_START = (JournalDamaged, JournalForeign, ImpossibleEntry)
LAST_VISIT = Visit(1_250, "good_credit", Habit.PAYS_AFTER_ALL, pause_s=1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`broken` is empty for a sound day. `head` is the digest of the journal's last entry."""

    day: Day
    broken: tuple[str, ...]
    head: str
    counts: dict[Point, int]
    frames: tuple[tuple[Point, int], ...]
    struck: tuple[Fault, ...]
    story: tuple[str, ...]
    payments: int
    boots: int


@lru_cache(maxsize=1)
def empty_journal() -> bytes:
    """A journal's file before its first entry. Made before any world has its disk."""
    with TemporaryDirectory() as place:
        SqliteJournal.open(Path(place, JOURNAL_NAME)).close()
        return Path(place, JOURNAL_NAME).read_bytes()


class World:
    """Run once. `told` keeps the story; without `renders` slips are not drawn."""

    def __init__(self, day: Day, directory: Path, told: bool = False, renders: bool = True) -> None:
        self._day = day
        agenda, faults, store = Agenda(), Faults(day.faults), MemoryStore()
        story = Story(agenda, told)
        base = common_ground()
        time = VirtualTime(agenda)
        host = SimHost(base.host, store, agenda, story)
        self._around = Surroundings(
            ground=base,
            agenda=agenda,
            time=time,
            faults=faults,
            story=story,
            disk=Disk(directory, faults, story, agenda, Random(f"{day.seed} disk")),
            wires=Wires(agenda, faults, story, host),
            counter=CounterField(base, SeededEntropy(f"{day.seed} cards"), story),
            paper=Paper(),
            rules=Rules(store, [account.pan for account in base.host.accounts], base.outage_limits, story),
            renders=renders,
        )
        self._host = host
        self._watch = Watch(self._look_at, self._tell, self._answer, self._cut)
        self._boot: Boot | None = None
        self._boots = 0
        self._directory = directory
        self._operator = ParkingOperator(base)
        self._older: deque[tuple[int, Image]] = deque(maxlen=IMAGES_KEPT)
        self._keeps_older = any(fault.kind is Kind.RESTORE for fault in day.faults)
        self._was_restored = False
        self._frames_until_now: tuple[tuple[Point, int], ...] = ()
        self._cashier = self._hire(day.visits, "order")

    def run(self) -> Verdict:
        """The whole day, and what has to be true after it."""
        self._provision()
        head, payments = "", 0
        try:
            self._open_shop()
            self._settle()
            self._sell_once_more()
            head, payments = self._look_over()
        except Exception as error:  # whatever it is, it is a finding and told with the story of its day
            at = traceback.extract_tb(error.__traceback__)[-1]
            what = f"{type(error).__name__}: {error} ({Path(at.filename).name}, line {at.lineno})"
            self._around.rules.must(False, f"the day did not end: {what}")
        finally:
            self._around.disk.cut(0)  # whatever is wrong with it, it can be let go of then
            if self._boot is not None:
                self._boot.close()
            self._around.disk.close()
        return self._verdict(head, payments)

    def _hire(self, visits: tuple[Visit, ...], name: str) -> Cashier:
        around = self._around
        return Cashier(name, visits, around.agenda, around.story, around.counter, self._post, self._page)

    def _provision(self) -> None:
        disk = self._around.disk
        for name, octets in self._around.ground.keystore.items():
            disk.provide(name, octets)
        disk.provide(JOURNAL_NAME, empty_journal())

    def _open_shop(self) -> None:
        self._survive(self._start)
        self._cashier.open_shop()
        self._around.agenda.after(OPERATOR_COMES_AFTER_US, self._operator_comes)
        self._go_on(lambda: self._cashier.has_closed, DAY_US_MAX)
        self._around.rules.must(self._cashier.has_closed, "the shop could not close within two days")

    def _settle(self) -> None:
        """Nothing new goes wrong: what is not poisoned ends by itself, and then the poison goes too."""
        self._around.story.tell("from now on nothing new goes wrong")
        self._around.faults.stop()
        self._around.disk.mend()
        self._around.wires.mend()
        self._frames_until_now = tuple(self._around.wires.frames)
        poisoned = self._host.poisoned()
        self._go_on(lambda: not self._waiting() - poisoned, SETTLING_US_MAX)
        for batch, stan in sorted(self._waiting() - poisoned):
            self._around.rules.must(False, f"batch {batch} STAN {stan} still waits, though only others are stuck")
        self._host.heal()
        self._go_on(lambda: not self._waiting(), SETTLING_US_MAX)
        self._speak(lambda boot: self._operator.last_words(boot.reading, self._around.rules.captured_refs()))
        self._go_on(lambda: False, OPERATOR_SPEAKS_US)
        self._go_on(lambda: not self._waiting(), SETTLING_US_MAX)

    def _operator_comes(self) -> None:
        """Now and then during the day: what the host refused is sent again."""
        self._speak(lambda boot: self._operator.words(boot.reading))
        self._around.agenda.after(OPERATOR_COMES_AFTER_US, self._operator_comes)

    def _speak(self, words: Callable[[Boot], Sequence[Offer]]) -> None:
        if self._boot is None:
            return
        for offer in words(self._boot):
            self._around.story.tell(f"the operator signs: {offer.statement.target} {offer.statement.decision}")
            self._boot.post(DispositionOffered(NOBODYS_TICKET, offer))

    def _sell_once_more(self) -> None:
        self._cashier = self._hire((LAST_VISIT,), "last order")
        self._cashier.open_shop()
        self._go_on(lambda: self._cashier.has_closed, SETTLING_US_MAX)
        self._around.rules.must(self._cashier.last_shown == "approved", f"at last a sale is {self._cashier.last_shown}")

    def _look_over(self) -> tuple[str, int]:
        """The head of the journal, and how many payments it holds."""
        around = self._around
        if self._boot is None:
            around.rules.must(False, "the terminal does not start any more")
            return "", 0
        around.rules.over(self._boot.reading, [visit.amount_minor for visit in self._day.visits])
        around.rules.chained(self._entries_as_stored())
        around.rules.hide_card_numbers(self._everything_written())
        return self._boot.journal.verify().head.hex(), len(self._boot.reading.payments())

    def _verdict(self, head: str, payments: int) -> Verdict:
        around = self._around
        return Verdict(
            day=self._day,
            broken=tuple(around.rules.broken),
            head=head,
            counts=dict(around.faults.counts),
            frames=self._frames_until_now,
            struck=tuple(around.faults.struck),
            story=tuple(around.story.sentences),
            payments=payments,
            boots=self._boots,
        )

    def _go_on(self, until: Callable[[], bool], for_us: int) -> None:
        agenda = self._around.agenda
        end_us = agenda.now_us + for_us
        while not until() and agenda.now_us < end_us:
            look_us = agenda.now_us + LOOK_EVERY_US
            while (due_us := agenda.next_us()) is not None and due_us <= look_us:
                self._survive(agenda.run_next)
            agenda.now_us = look_us
            self._compare_books()

    def _compare_books(self) -> None:
        boot = self._boot
        if boot is not None and boot.writes.is_idle:
            self._around.rules.compare_books(boot.reading)

    def _survive(self, happening: Callable[[], object]) -> None:
        """`happening`, and what follows if the power fails meanwhile or the program stops."""
        try:
            happening()
        except PowerCut:
            self._around.story.tell("the power fails")
            self._switch_off(POWER_BACK_AFTER_US)
        except StartNeeded as doubt:
            self._around.story.tell(f"the terminal stops, to be started again: {doubt}")
            self._switch_off(START_AGAIN_AFTER_US)
        except TerminalStopped as fault:
            self._around.rules.must(False, f"a fault of the program: {fault}")
            self._switch_off(START_AGAIN_AFTER_US)
        except TapTillError as error:
            self._around.rules.must(False, f"a fault of the program: {type(error).__name__}: {error}")
            self._switch_off(START_AGAIN_AFTER_US)

    def _switch_off(self, for_us: int) -> None:
        around = self._around
        if not around.disk.dead:
            around.disk.cut(self._boots)
        around.agenda.forget(TERMINAL)
        around.wires.terminal_died()
        around.counter.power_off()
        if self._boot is not None:
            self._boot.close()
            self._boot = None
        around.agenda.after(for_us, self._start)

    def _start(self) -> None:
        around = self._around
        self._directory = directory = around.disk.boot()
        self._boots += 1
        around.story.tell(f"the terminal starts for the {self._boots}. time")
        try:
            boot = Boot(around, self._watch, directory, f"{self._day.seed} terminal {self._boots}")
        except (
            JournalError,
            KeyStoreError,
        ) as error:  # the disk fails meanwhile; what it says of the journal is a finding
            self._around.rules.must(not isinstance(error, NEVER_AT_A_START), f"the journal is damaged: {error}")
            around.story.tell(f"the terminal does not start: {error}")
            self._switch_off(START_AGAIN_AFTER_US)
            return
        if around.disk.dead:
            boot.close()
            raise PowerCut
        self._boot = boot
        if self._was_restored:
            self._was_restored = False
            around.rules.restored(boot.reading)
        around.rules.booted(boot.reading)
        boot.handle(Started())
        self._cashier.power_is_back()

    def _cut(self) -> NoReturn:
        if not self._around.disk.dead:
            self._around.disk.cut(self._boots)
        raise PowerCut

    def _look_at(self, effect: Effect) -> None:
        self._step()
        match effect:
            case Ask(request=request):
                self._around.rules.leaves(request)
            case Tell(payment_ref=ref, state=state):
                self._around.rules.shown(ref, state)
            case Print(facts=facts):
                self._around.rules.printed(facts)
            case Answer(payment_ref=ref, refusal=refusal):
                self._around.rules.answered(ref, refusal)

    def _step(self) -> None:
        around = self._around
        if self._keeps_older and around.faults.counts[Point.STEP] % IMAGE_EVERY_STEPS == 0:
            self._older.append((around.faults.counts[Point.STEP], around.disk.image()))
        fault = around.faults.strike(Point.STEP)
        if fault is None:
            return
        around.story.tell(str(fault))
        if fault.kind is Kind.CLOCK_JUMP:
            around.time.jump_ms += fault.value
            return
        around.disk.cut(fault.value)
        if fault.kind is Kind.RESTORE:
            self._restore(fault.nth - fault.value)
        raise PowerCut

    def _restore(self, step: int) -> None:
        """The newest copy that is old enough, else the oldest there is."""
        old_enough = [image for at, image in self._older if at <= step]
        self._around.disk.put_in(old_enough[-1] if old_enough else self._older[0][1])
        self._was_restored = True

    def _tell(self, news: Tell) -> None:
        self._around.story.tell(f"shown: {news.payment_ref} {news.state} {news.message}")
        self._cashier.see(news)

    def _answer(self, answer: Answer) -> None:
        self._cashier.hear(answer)

    def _post(self, event: Event) -> None:
        """What people do while the terminal is off is not noticed by it."""
        if self._boot is not None:
            self._boot.post(event)

    def _page(self, payment_ref: str) -> str | None:
        row = self._boot.reading.payment(payment_ref) if self._boot is not None else None
        return row.state if row else None

    def _waiting(self) -> set[tuple[int, int]]:
        """Batch and STAN of every transaction and debt that has not ended."""
        if self._boot is None:
            return {(0, 0)}
        reading = self._boot.reading
        debts = {(debt.batch, debt.stan) for debt in reading.open_debts() if debt.state == "open"}
        return debts | {(act.batch, act.stan) for act in reading.open_transactions() if act.result != "parked"}

    def _entries_as_stored(self) -> list[tuple[int, bytes, bytes]]:
        """Read past the product: it may not know what it wrote."""
        connection = apsw.Connection(str(self._directory / JOURNAL_NAME), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            rows = connection.execute("SELECT seq, body, digest FROM entry ORDER BY seq").fetchall()
            return cast("list[tuple[int, bytes, bytes]]", rows)
        finally:
            connection.close()

    def _everything_written(self) -> list[tuple[str, bytes]]:
        around = self._around
        frames = (("a message", octets) for octets in (*around.wires.sent, *around.wires.replies))
        slips = (("a slip", octets) for octets in around.paper.slips)
        return [*around.disk.everything(), *frames, *slips]
