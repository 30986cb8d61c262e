"""The simulated network: for each thing that goes wrong, what the terminal is told and what the host has booked.

Real requests go through the product's session to the real acquirer, over nothing but an agenda.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.taphost.conftest import GOOD, Till, host_config, make_till

from taphost.memory_store import MemoryStore
from taplab.simulation.acquirer import HOST_IDLE_US, HOST_US, SimHost
from taplab.simulation.agenda import Agenda
from taplab.simulation.link import SimLink
from taplab.simulation.power import PowerCut
from taplab.simulation.schedule import Fault, Faults, Kind, Point
from taplab.simulation.story import Story
from taplab.simulation.wires import CONNECT_US, KINDS, OVERTAKEN_US_MAX, TERMINAL, WAY_US, NoSuchFault, Wires
from taptill.host.exchange import ExchangeResult, HostRequest, NotSent, Replied, Silent
from taptill.host.link import ExchangeEnded, LateAnswer, LinkChanged, LinkEvent

TIMEOUT_MS = 30_000
SECOND_US = 1_000_000
AMOUNT_MINOR = 1_000
WHOLE = 10_000  # more bytes than any frame has
STEPS_MAX = 20_000
ANSWERED_US = CONNECT_US + WAY_US + HOST_US + WAY_US


class Net:
    """A terminal's link, a host, and faults between them. `events` come with their moments in microseconds."""

    def __init__(self, till: Till, *faults: Fault) -> None:
        self.agenda = Agenda()
        self.story = Story(self.agenda)
        self.faults = Faults(faults)
        self.store = MemoryStore()
        self.host = SimHost(host_config(), self.store, self.agenda, self.story)
        self.wires = Wires(self.agenda, self.faults, self.story, self.host)
        self.events: list[tuple[int, LinkEvent]] = []
        self.power_cuts = 0
        self._till = till
        self.boot()

    def boot(self) -> None:
        self.link = SimLink(self.wires, self._till.profile, self._till.keys, self.agenda, self._heard, self._power)

    def ask(self, request: HostRequest, timeout_ms: int = TIMEOUT_MS, after_us: int = 0) -> None:
        self.agenda.after(after_us, partial(self._ask, request, timeout_ms), "cashier")

    def run(self) -> None:
        """To the end; a terminal whose power fails starts again at once."""
        for _ in range(STEPS_MAX):
            try:
                if not self.agenda.run_next():
                    return
            except PowerCut:
                self.power_cuts += 1
                self.agenda.forget(TERMINAL)
                self.boot()
        raise AssertionError("it does not end")

    def run_for(self, duration_us: int) -> None:
        until_us = self.agenda.now_us + duration_us
        while (next_us := self.agenda.next_us()) is not None and next_us <= until_us:
            self.agenda.run_next()

    def results(self) -> list[tuple[HostRequest, ExchangeResult]]:
        return [(event.request, event.result) for _, event in self.events if isinstance(event, ExchangeEnded)]

    def result(self) -> ExchangeResult:
        """The one there is."""
        [(_, result)] = self.results()
        return result

    def captured_minor(self) -> int:
        with self.store.transaction() as books:
            return sum(entry.captured_minor for entry in books.entries(captured_only=True))

    def _ask(self, request: HostRequest, timeout_ms: int) -> None:
        self.link.ask(request, timeout_ms)

    def _heard(self, event: LinkEvent) -> None:
        self.events.append((self.agenda.now_us, event))

    def _power(self) -> None:
        raise PowerCut


@pytest.fixture(scope="module")
def till(tmp_path_factory: pytest.TempPathFactory) -> Till:
    return make_till(tmp_path_factory.mktemp("till"))


@pytest.fixture(scope="module")
def sales(till: Till) -> list[HostRequest]:
    """They mean something to one host each, so every test may send them again."""
    return [till.pay(amount_minor=AMOUNT_MINOR) for _ in range(4)]


def said(result: ExchangeResult) -> str:
    return f"replied {result.reply.code}" if isinstance(result, Replied) else f"{type(result).__name__} {result.reason}"


def test_a_question_takes_the_way_there_the_hosts_time_and_the_way_back(till: Till, sales: list[HostRequest]) -> None:
    net = Net(till)
    net.ask(sales[0])
    net.run()
    assert said(net.result()) == "replied 00"
    assert [at_us for at_us, event in net.events if isinstance(event, ExchangeEnded)] == [ANSWERED_US]
    assert net.captured_minor() == AMOUNT_MINOR


FATES: list[tuple[Point, Kind, int, str, int]] = [
    (Point.CONNECT, Kind.REFUSED, 0, "NotSent refused", 0),
    (Point.CONNECT, Kind.HANGS, 0, "NotSent connect timeout", 0),
    (Point.REQUEST, Kind.LOST, 0, "Silent timeout", 0),
    (Point.REQUEST, Kind.TWICE, 0, "replied 00", 1),
    (Point.REQUEST, Kind.LATE, 1_000, "replied 00", 1),
    (Point.REQUEST, Kind.LATE, 40_000, "Silent timeout", 1),
    (Point.REQUEST, Kind.OVERTAKEN, 0, "replied 00", 1),
    (Point.REQUEST, Kind.CUT, 10, "Silent link lost: connection reset", 0),
    (Point.REQUEST, Kind.CUT, WHOLE, "Silent link lost: connection reset", 1),
    (Point.REQUEST, Kind.HALF_OPEN, 0, "Silent timeout", 0),
    (Point.REQUEST, Kind.AWAY, 60_000, "Silent link lost: host unreachable", 0),
    (Point.REQUEST, Kind.SILENT, 0, "Silent timeout", 1),
    (Point.REQUEST, Kind.SLOW_HOST, 1_000, "replied 00", 1),
    (Point.REQUEST, Kind.SLOW_HOST, 40_000, "Silent timeout", 1),
    (Point.REQUEST, Kind.BUSY, 0, "replied 96", 0),
    (Point.REQUEST, Kind.REFUSES, 0, "replied 30", 0),
    (Point.REQUEST, Kind.DUPLICATE, 0, "replied 94", 1),
    (Point.REQUEST, Kind.POISON, 0, "Silent timeout", 0),
    (Point.REQUEST, Kind.HOST_RESTART, 0, "Silent link lost: closed by the host", 1),
    (Point.REPLY, Kind.LOST, 0, "Silent timeout", 1),
    (Point.REPLY, Kind.TWICE, 0, "replied 00", 1),
    (Point.REPLY, Kind.LATE, 1_000, "replied 00", 1),
    (Point.REPLY, Kind.LATE, 40_000, "Silent timeout", 1),
    (Point.REPLY, Kind.OVERTAKEN, 0, "replied 00", 1),
    (Point.REPLY, Kind.CUT, 10, "Silent link lost: connection reset", 1),
    (Point.REPLY, Kind.CUT, WHOLE, "replied 00", 1),
    (Point.REPLY, Kind.HALF_OPEN, 0, "Silent timeout", 1),
    (Point.REPLY, Kind.AWAY, 60_000, "Silent link lost: host unreachable", 1),
    (Point.REPLY, Kind.WRONG_MAC, 0, "Silent bad MAC", 1),
    (Point.REPLY, Kind.WRONG_MAC, 63, "Silent bad MAC", 1),
    (Point.REPLY, Kind.FORGED_DECLINE, 0, "Silent bad MAC", 1),
    (Point.REPLY, Kind.NONSENSE, 0, "Silent malformed: message, TPDU at offset 0", 1),
]


@pytest.mark.parametrize(("point", "kind", "value", "told", "booked"), FATES)
def test_a_fault_has_its_effect_on_both_ends(
    till: Till, sales: list[HostRequest], point: Point, kind: Kind, value: int, told: str, booked: int
) -> None:
    net = Net(till, Fault(point, 0, kind, value))
    net.ask(sales[0])
    net.run()
    assert said(net.result()) == told
    assert net.captured_minor() == booked * AMOUNT_MINOR
    assert len(net.faults.struck) == 1


def test_every_fault_that_can_happen_here_is_in_the_table_or_cuts_the_power() -> None:
    possible = {(point, kind) for point, kinds in KINDS.items() for kind in kinds if kind is not Kind.POWER_CUT}
    assert {(point, kind) for point, kind, *_ in FATES} == possible


def test_a_fault_at_a_point_where_it_cannot_happen_is_an_error(till: Till, sales: list[HostRequest]) -> None:
    net = Net(till, Fault(Point.REQUEST, 0, Kind.WRONG_MAC))
    net.ask(sales[0])
    with pytest.raises(NoSuchFault, match="WRONG_MAC"):
        net.run()


@pytest.mark.parametrize(("passed", "booked"), [(0, 0), (100, 0), (WHOLE, 1)])
def test_power_that_fails_while_a_request_leaves_lets_only_a_whole_one_be_booked(
    till: Till, sales: list[HostRequest], passed: int, booked: int
) -> None:
    net = Net(till, Fault(Point.REQUEST, 0, Kind.POWER_CUT, passed))
    net.ask(sales[0])
    net.run()
    assert (net.power_cuts, net.results()) == (1, [])
    assert net.captured_minor() == booked * AMOUNT_MINOR


@pytest.mark.parametrize("passed", [0, 100, WHOLE])
def test_power_that_fails_while_a_reply_arrives_leaves_nobody_to_tell(
    till: Till, sales: list[HostRequest], passed: int
) -> None:
    net = Net(till, Fault(Point.REPLY, 0, Kind.POWER_CUT, passed))
    net.ask(sales[0])
    net.run()
    assert (net.power_cuts, net.results()) == (1, [])
    assert net.captured_minor() == AMOUNT_MINOR


def test_power_that_fails_while_connecting_sends_nothing(till: Till, sales: list[HostRequest]) -> None:
    net = Net(till, Fault(Point.CONNECT, 0, Kind.POWER_CUT))
    net.ask(sales[0])
    net.run()
    assert (net.power_cuts, net.wires.frames) == (1, [])


def test_an_answer_to_a_terminal_that_died_reaches_neither_it_nor_the_next_start(
    till: Till, sales: list[HostRequest]
) -> None:
    net = Net(till)
    net.ask(sales[0])
    net.run_for(CONNECT_US + WAY_US + 1)
    net.agenda.forget(TERMINAL)
    net.wires.terminal_died()
    net.boot()
    net.ask(sales[1])
    net.run()
    assert [request for request, _ in net.results()] == [sales[1]]
    assert net.captured_minor() == 2 * AMOUNT_MINOR


def test_while_the_host_is_away_nobody_can_connect_and_afterwards_everybody(
    till: Till, sales: list[HostRequest]
) -> None:
    net = Net(till, Fault(Point.REPLY, 0, Kind.AWAY, 60_000))
    for number in range(3):
        net.ask(sales[number], after_us=number * 50 * SECOND_US)
    net.run()
    assert [said(result) for _, result in net.results()] == [
        "Silent link lost: host unreachable",
        "NotSent host unreachable",
        "replied 00",
    ]


def test_an_answer_after_its_questions_time_is_told_as_late(till: Till, sales: list[HostRequest]) -> None:
    net = Net(till, Fault(Point.REPLY, 0, Kind.LATE, 2_000), Fault(Point.REQUEST, 1, Kind.SLOW_HOST, 5_000))
    net.ask(sales[0], timeout_ms=1_000)
    net.ask(sales[1])  # keeps the connection open meanwhile
    net.run()
    assert [said(result) for _, result in net.results()] == ["Silent timeout", "replied 00"]
    assert [event.request for _, event in net.events if isinstance(event, LateAnswer)] == [sales[0]]


@pytest.mark.parametrize("point", [Point.REQUEST, Point.REPLY])
def test_an_overtaken_frame_arrives_right_behind_the_next(till: Till, sales: list[HostRequest], point: Point) -> None:
    net = Net(till, Fault(point, 0, Kind.OVERTAKEN))
    net.ask(sales[0])
    net.ask(sales[1])
    net.run()
    assert [request for request, _ in net.results()] == [sales[1], sales[0]]
    assert all(at_us < OVERTAKEN_US_MAX for at_us, event in net.events if isinstance(event, ExchangeEnded))


@pytest.mark.parametrize("point", [Point.REQUEST, Point.REPLY])
def test_a_frame_that_nothing_overtakes_arrives_a_second_later(
    till: Till, sales: list[HostRequest], point: Point
) -> None:
    net = Net(till, Fault(point, 0, Kind.OVERTAKEN))
    net.ask(sales[0])
    net.run()
    [at_us] = [at_us for at_us, event in net.events if isinstance(event, ExchangeEnded)]
    assert at_us == ANSWERED_US + OVERTAKEN_US_MAX


def test_a_request_that_arrives_twice_is_answered_twice_and_booked_once(till: Till, sales: list[HostRequest]) -> None:
    net = Net(till, Fault(Point.REQUEST, 0, Kind.TWICE, 100))
    net.ask(sales[0])
    net.run()
    assert len(net.wires.replies) == 2
    assert said(net.result()) == "replied 00"
    assert net.captured_minor() == AMOUNT_MINOR


def test_a_reply_that_arrives_twice_is_told_once(till: Till, sales: list[HostRequest]) -> None:
    net = Net(till, Fault(Point.REPLY, 0, Kind.TWICE))
    net.ask(sales[0])
    net.run()
    arrived = [sentence for sentence in net.story.sentences if "answer 00" in sentence and sentence.endswith("arrives")]
    assert (len(arrived), said(net.result())) == (2, "replied 00")


def test_a_late_request_is_booked_though_its_connection_is_gone_and_its_answer_goes_to_nobody(
    till: Till, sales: list[HostRequest]
) -> None:
    net = Net(till, Fault(Point.REQUEST, 0, Kind.LATE, 5_000))
    net.ask(sales[0], timeout_ms=1_000)
    net.run()
    assert (net.captured_minor(), net.wires.replies) == (AMOUNT_MINOR, [])


def test_a_late_frame_does_not_hold_up_the_next(till: Till, sales: list[HostRequest]) -> None:
    net = Net(till, Fault(Point.REQUEST, 0, Kind.LATE, 500))
    net.ask(sales[0])
    net.ask(sales[1])
    net.run()
    assert [(event.request, at_us) for at_us, event in net.events if isinstance(event, ExchangeEnded)] == [
        (sales[1], ANSWERED_US),
        (sales[0], ANSWERED_US + 500_000),
    ]


def test_the_host_serves_one_message_after_the_other(till: Till, sales: list[HostRequest]) -> None:
    net = Net(till)
    for sale in sales:
        net.ask(sale)
    net.run()
    moments = [at_us for at_us, event in net.events if isinstance(event, ExchangeEnded)]
    assert moments == [ANSWERED_US + number * HOST_US for number in range(len(sales))]


def test_what_waits_at_a_host_that_restarts_is_lost(till: Till, sales: list[HostRequest]) -> None:
    net = Net(till, Fault(Point.REQUEST, 0, Kind.HOST_RESTART))
    net.ask(sales[0])
    net.ask(sales[1])
    net.run()
    assert {said(result) for _, result in net.results()} == {"Silent link lost: closed by the host"}
    assert net.captured_minor() == AMOUNT_MINOR


def test_a_poisoned_message_is_never_answered_until_the_host_heals(till: Till, sales: list[HostRequest]) -> None:
    net = Net(till, Fault(Point.REQUEST, 0, Kind.POISON))
    for sale in (sales[0], sales[0], sales[1]):
        net.ask(sale, timeout_ms=1_000)
        net.run()
    assert net.host.poisoned() == {(sales[0].key.batch, sales[0].key.stan)}
    net.host.heal()
    net.ask(sales[0])
    net.run()
    assert [said(result) for _, result in net.results()] == [
        "Silent timeout",
        "Silent timeout",
        "replied 00",
        "replied 00",
    ]


def test_an_idle_connection_is_closed_by_the_host_and_made_again_when_needed(
    till: Till, sales: list[HostRequest]
) -> None:
    net = Net(till)
    net.ask(sales[0])
    net.ask(sales[1], after_us=30 * SECOND_US)
    net.ask(sales[2], after_us=200 * SECOND_US)
    net.run()
    ups = [(at_us, event.up) for at_us, event in net.events if isinstance(event, LinkChanged)]
    heard_us = 30 * SECOND_US + WAY_US
    assert ups[:3] == [
        (CONNECT_US, True),
        (heard_us + HOST_IDLE_US + WAY_US, False),
        (200 * SECOND_US + CONNECT_US, True),
    ]
    assert len([1 for _, result in net.results() if isinstance(result, Replied)]) == 3


def test_nothing_gets_through_a_half_open_connection_and_the_host_keeps_its_end_for_a_minute(
    till: Till, sales: list[HostRequest]
) -> None:
    net = Net(till, Fault(Point.REPLY, 0, Kind.HALF_OPEN))
    net.ask(sales[0])
    net.ask(sales[1], timeout_ms=1_000, after_us=SECOND_US)
    net.run()
    assert {said(result) for _, result in net.results()} == {"Silent timeout"}
    assert net.captured_minor() == AMOUNT_MINOR
    assert net.story.sentences[-1].endswith("the host closes connection 0: nothing was heard for a minute")


def test_a_question_after_a_half_open_connection_goes_over_a_new_one(till: Till, sales: list[HostRequest]) -> None:
    net = Net(till, Fault(Point.REQUEST, 0, Kind.HALF_OPEN))
    net.ask(sales[0], timeout_ms=1_000)
    net.ask(sales[1], after_us=2 * SECOND_US)
    net.run()
    assert [said(result) for _, result in net.results()] == ["Silent timeout", "replied 00"]
    assert net.faults.counts[Point.CONNECT] == 2


@pytest.mark.parametrize("octets", [b"\x00\x00", b"\x10\x01" + bytes(20), b"\x00\x05hello"])
def test_the_host_closes_a_connection_on_which_no_message_comes(till: Till, octets: bytes) -> None:
    class End:
        reasons: tuple[str, ...] = ()

        def made(self) -> None: ...
        def received(self, octets: bytes) -> None: ...
        def power_fails(self) -> None: ...
        def lost(self, reason: str) -> None:
            self.reasons += (reason,)

    net, end = Net(till), End()
    connection = net.wires.connect(end)
    net.run_for(CONNECT_US)
    net.wires.send(connection, octets)
    net.run_for(SECOND_US)
    assert end.reasons == ("closed by the host",)


def test_closing_ends_every_question_and_takes_no_more(till: Till, sales: list[HostRequest]) -> None:
    net = Net(till)
    net.ask(sales[0])
    net.run_for(CONNECT_US + 1)
    net.link.close()
    net.link.ask(sales[1], TIMEOUT_MS)
    assert net.results() == []  # nothing is told before its own turn
    net.run()
    assert [said(result) for _, result in net.results()] == ["Silent closed", "NotSent closed"]
    assert net.captured_minor() == AMOUNT_MINOR  # what had left is under way all the same


def test_the_story_names_each_frame_and_what_became_of_it(till: Till, sales: list[HostRequest]) -> None:
    net = Net(till, Fault(Point.REPLY, 0, Kind.CUT, 7))
    net.ask(sales[0])
    net.run_for(SECOND_US)
    stan = sales[0].key.stan
    assert [sentence.partition(" s  ")[2] for sentence in net.story.sentences] == [
        "connection 0 is tried",
        f"the terminal sends sale, STAN {stan} (frame 0, connection 0)",
        f"sale, STAN {stan} (frame 0, connection 0) arrives",
        f"the host sends answer 00 to sale, STAN {stan} (frame 1, connection 0): "
        "the connection breaks inside the frame (7)",
        f"answer 00 to sale, STAN {stan} (frame 1, connection 0) arrives to byte 7",
        "connection 0 is lost: connection reset",
    ]


def test_all_that_leaves_is_kept_for_a_search_and_holds_no_card_number(till: Till, sales: list[HostRequest]) -> None:
    net = Net(till)
    net.ask(sales[0])
    net.run()
    assert [octets[2:] for octets in net.wires.sent] == [sales[0].wire]
    frames = [(Point.REQUEST, len(net.wires.sent[0])), (Point.REPLY, len(net.wires.replies[0]))]
    assert net.wires.frames == frames
    everything = b"".join(net.wires.sent + net.wires.replies)
    assert GOOD.encode() not in everything
    assert bytes.fromhex(GOOD) not in everything


@pytest.mark.parametrize("point", [Point.REQUEST, Point.REPLY])
@pytest.mark.parametrize("kind", [Kind.CUT, Kind.POWER_CUT])
def test_cut_at_any_byte_nothing_is_replied_or_booked_before_all_of_it_arrived(
    till: Till, sales: list[HostRequest], point: Point, kind: Kind
) -> None:
    fine = Net(till)
    fine.ask(sales[0])
    fine.run()
    length = dict(fine.wires.frames)[point]
    for cut in range(length + 1):
        net = Net(till, Fault(point, 0, kind, cut))
        net.story.told = False
        net.ask(sales[0])
        net.run()
        replied = [result for _, result in net.results() if isinstance(result, Replied)]
        assert bool(replied) == (point is Point.REPLY and kind is Kind.CUT and cut == length), cut
        assert net.captured_minor() == AMOUNT_MINOR * (point is Point.REPLY or cut == length), cut


def faults_at(points: Iterable[Point]) -> st.SearchStrategy[list[Fault]]:
    choices = [(point, kind) for point in points for kind in KINDS[point]]
    values = st.sampled_from((0, 1, 2, 100, 300, 2_000, 40_000))
    made = st.builds(
        lambda choice, nth, value: Fault(choice[0], nth, choice[1], value),
        st.sampled_from(choices),
        st.integers(0, 5),
        values,
    )
    return st.lists(made, max_size=8, unique_by=lambda fault: (fault.point, fault.nth))


ASKS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from((500, 1_000, 30_000)), st.sampled_from((0, 10, 60, 1_500, 61_000))),
    min_size=1,
    max_size=6,
)
Asks = Sequence[tuple[int, int, int]]


def run_day(till: Till, sales: Sequence[HostRequest], faults: Sequence[Fault], asks: Asks) -> Net:
    net, at_us = Net(till, *faults), 0
    for sale, timeout_ms, pause_ms in asks:
        at_us += pause_ms * 1000
        net.ask(sales[sale], timeout_ms, at_us)
    net.run()
    return net


@settings(max_examples=150, deadline=None)
@given(faults=faults_at(KINDS), asks=ASKS)
def test_whatever_happens_each_question_has_one_result_unless_the_power_failed(
    till: Till, sales: list[HostRequest], faults: list[Fault], asks: Asks
) -> None:
    net = run_day(till, sales, faults, asks)
    asked = Counter(sales[sale].key.stan for sale, _, _ in asks)
    told = Counter(request.key.stan for request, _ in net.results())
    assert told == asked or (net.power_cuts and told <= asked)
    approved = {
        request.key.stan
        for request, result in net.results()
        if isinstance(result, Replied) and result.reply.code == "00"
    }
    assert len(approved) * AMOUNT_MINOR <= net.captured_minor() <= len(asked) * AMOUNT_MINOR
    assert all(isinstance(result, Replied | Silent | NotSent) for _, result in net.results())


@settings(max_examples=60, deadline=None)
@given(faults=faults_at(KINDS), asks=ASKS)
def test_the_same_faults_make_the_same_story_twice(
    till: Till, sales: list[HostRequest], faults: list[Fault], asks: Asks
) -> None:
    one, other = run_day(till, sales, faults, asks), run_day(till, sales, faults, asks)
    assert one.events == other.events
    assert one.story.sentences == other.story.sentences
    assert one.wires.replies == other.wires.replies
