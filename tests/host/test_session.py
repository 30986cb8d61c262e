"""The session as a table of what goes in and what comes out: no socket, no clock."""

from __future__ import annotations

from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taptill.credential.adapters.file_keystore import FileKeyStore
from taptill.host.compose import OriginalRef, RequestFacts, compose
from taptill.host.exchange import HostRequest, NotSent, Replied, Silent
from taptill.host.framing import frame
from taptill.host.link import ExchangeEnded, LateAnswer, LinkChanged
from taptill.host.profile import Profile
from taptill.host.session import OPEN_QUESTIONS_MAX, Close, Connect, HostSession, SendBytes, Step

FIRST, SECOND = "tls://first.test:1", "tls://second.test:2"
SECOND_US = 1_000_000
DEADLINE_US = 30 * SECOND_US
CONNECT_US = 5 * SECOND_US  # of the profile


class MakeFacts(Protocol):
    def __call__(self, **changes: Any) -> RequestFacts: ...


class AnswerRequest(Protocol):
    def __call__(
        self, request_wire: bytes, code: str = "00", /, *, mti: str = "", mac: bytes | None = None, **changes: Any
    ) -> bytes: ...


@pytest.fixture
def session(profile: Profile, keys: FileKeyStore) -> HostSession:
    return HostSession(profile, keys, [FIRST, SECOND])


@pytest.fixture
def sales(profile: Profile, keys: FileKeyStore, facts: MakeFacts) -> list[HostRequest]:
    """Three sales with STANs of their own."""
    return [compose(profile, "sale", facts(stan=stan), keys) for stan in (1, 2, 3)]


def ended(steps: list[Step]) -> list[tuple[HostRequest, str]]:
    """Who got which kind of result."""
    return [(step.request, type(step.result).__name__) for step in steps if isinstance(step, ExchangeEnded)]


def open_with(session: HostSession, *requests: HostRequest) -> None:
    """Brings the session to a connection over which `requests` have left."""
    for request in requests:
        session.ask(request, 0, DEADLINE_US)
    session.connection_made(0)


def test_the_first_question_connects_and_leaves_once_connected(session: HostSession, sales: list[HostRequest]) -> None:
    assert session.ask(sales[0], 0, DEADLINE_US) == [Connect(FIRST)]
    assert session.ask(sales[1], 0, DEADLINE_US) == []
    assert session.connection_made(10) == [
        LinkChanged(True, FIRST),
        SendBytes(frame(sales[0].wire)),
        SendBytes(frame(sales[1].wire)),
    ]
    assert session.ask(sales[2], 20, DEADLINE_US) == [SendBytes(frame(sales[2].wire))]


def test_answers_find_their_questions_in_any_order(
    session: HostSession, sales: list[HostRequest], answer: AnswerRequest
) -> None:
    open_with(session, *sales)
    stream = b"".join(frame(answer(sale.wire)) for sale in (sales[2], sales[0], sales[1]))
    steps = session.receive_data(stream, 1)
    assert ended(steps) == [(sales[2], "Replied"), (sales[0], "Replied"), (sales[1], "Replied")]
    assert session.next_tick_us() is None


def test_an_answer_may_come_byte_by_byte(session: HostSession, sales: list[HostRequest], answer: AnswerRequest) -> None:
    open_with(session, sales[0])
    steps = [step for octet in frame(answer(sales[0].wire)) for step in session.receive_data(bytes([octet]), 1)]
    assert ended(steps) == [(sales[0], "Replied")]


def test_a_sale_and_its_reversal_share_a_number_and_are_told_apart(
    session: HostSession,
    profile: Profile,
    keys: FileKeyStore,
    facts: MakeFacts,
    sales: list[HostRequest],
    answer: AnswerRequest,
) -> None:
    original = OriginalRef(3, 1, "1122")
    reversal = compose(profile, "reversal", facts(original=original, reversal_reason="98"), keys)
    open_with(session, sales[0], reversal)
    assert ended(session.receive_data(frame(answer(reversal.wire)), 1)) == [(reversal, "Replied")]
    assert ended(session.receive_data(frame(answer(sales[0].wire)), 1)) == [(sales[0], "Replied")]


def test_when_one_endpoint_refuses_the_next_is_tried(session: HostSession, sales: list[HostRequest]) -> None:
    session.ask(sales[0], 0, DEADLINE_US)
    assert session.connection_lost("refused", 1) == [LinkChanged(False, FIRST, "refused"), Connect(SECOND)]
    assert session.connection_made(2) == [LinkChanged(True, SECOND), SendBytes(frame(sales[0].wire))]


def test_when_all_endpoints_refuse_nothing_was_sent(session: HostSession, sales: list[HostRequest]) -> None:
    session.ask(sales[0], 0, DEADLINE_US)
    session.connection_lost("refused", 1)
    assert session.connection_lost("unreachable", 2) == [
        LinkChanged(False, SECOND, "unreachable"),
        ExchangeEnded(sales[0], NotSent("unreachable")),
    ]
    assert session.ask(sales[1], 3, DEADLINE_US) == [Connect(FIRST)]


def test_an_endpoint_that_does_not_answer_the_door_is_left_in_time(
    session: HostSession, sales: list[HostRequest]
) -> None:
    session.ask(sales[0], 0, DEADLINE_US)
    assert session.next_tick_us() == CONNECT_US
    assert session.tick(CONNECT_US - 1) == []
    assert session.tick(CONNECT_US) == [
        Close("connect timeout"),
        LinkChanged(False, FIRST, "connect timeout"),
        Connect(SECOND),
    ]


def test_a_deadline_before_the_connection_stands_is_not_sent(session: HostSession, sales: list[HostRequest]) -> None:
    session.ask(sales[0], 0, 2 * SECOND_US)
    assert session.tick(2 * SECOND_US) == [ExchangeEnded(sales[0], NotSent("no connection in time"))]
    assert session.connection_made(3 * SECOND_US) == [LinkChanged(True, FIRST)]


def test_a_deadline_after_the_bytes_left_is_silence_and_drops_the_connection(
    session: HostSession, sales: list[HostRequest]
) -> None:
    open_with(session, sales[0])
    steps = session.tick(DEADLINE_US)
    assert steps[0] == ExchangeEnded(sales[0], Silent("timeout"))
    assert isinstance(steps[1], Close)
    assert isinstance(steps[2], LinkChanged)
    assert session.ask(sales[1], DEADLINE_US, 2 * DEADLINE_US) == [Connect(SECOND)]


def test_after_a_lost_question_new_ones_wait_until_the_others_are_answered(
    session: HostSession, sales: list[HostRequest], answer: AnswerRequest
) -> None:
    """Closing at once would make the second question silent too."""
    session.ask(sales[0], 0, 1)
    session.ask(sales[1], 0, DEADLINE_US)
    session.connection_made(0)
    assert session.tick(1) == [ExchangeEnded(sales[0], Silent("timeout"))]
    assert session.ask(sales[2], 2, DEADLINE_US) == []
    steps = session.receive_data(frame(answer(sales[1].wire)), 3)
    assert ended(steps) == [(sales[1], "Replied")]
    assert isinstance(steps[1], Close)
    assert steps[-1] == Connect(SECOND)
    assert session.connection_made(4)[-1] == SendBytes(frame(sales[2].wire))


def test_a_lost_connection_makes_silent_what_left_and_sends_nothing_again(
    session: HostSession, sales: list[HostRequest]
) -> None:
    open_with(session, sales[0])
    assert session.connection_lost("reset", 1) == [
        LinkChanged(False, FIRST, "reset"),
        ExchangeEnded(sales[0], Silent("link lost: reset")),
    ]
    assert session.ask(sales[1], 2, DEADLINE_US) == [Connect(SECOND)]
    assert session.connection_made(3) == [LinkChanged(True, SECOND), SendBytes(frame(sales[1].wire))]


def test_a_connection_closed_while_idle_is_opened_to_the_same_endpoint(
    session: HostSession, sales: list[HostRequest], answer: AnswerRequest
) -> None:
    open_with(session, sales[0])
    session.receive_data(frame(answer(sales[0].wire)), 1)
    assert session.connection_lost("closed by the host", 2) == [LinkChanged(False, FIRST, "closed by the host")]
    assert session.ask(sales[1], 3, DEADLINE_US) == [Connect(FIRST)]


def test_an_answer_with_a_wrong_mac_is_silence_at_once(
    session: HostSession, sales: list[HostRequest], answer: AnswerRequest
) -> None:
    open_with(session, sales[0])
    steps = session.receive_data(frame(answer(sales[0].wire, mac=b"12345678")), 1)
    assert steps[0] == ExchangeEnded(sales[0], Silent("bad MAC"))
    assert isinstance(steps[1], Close)


def test_an_answer_to_nothing_asked_is_ignored(
    session: HostSession, sales: list[HostRequest], answer: AnswerRequest
) -> None:
    open_with(session, sales[0])
    assert session.receive_data(frame(answer(sales[1].wire)), 1) == []


@pytest.mark.parametrize("stream", ["0000", "FFFF", "0003414243", "0010" + "00" * 16])
def test_bytes_that_are_no_message_end_the_connection(
    session: HostSession, sales: list[HostRequest], stream: str
) -> None:
    open_with(session, sales[0])
    steps = session.receive_data(bytes.fromhex(stream), 1)
    assert isinstance(steps[0], Close)
    assert ended(steps) == [(sales[0], "Silent")]


def test_an_answer_before_the_broken_bytes_still_counts(
    session: HostSession, sales: list[HostRequest], answer: AnswerRequest
) -> None:
    open_with(session, sales[0], sales[1])
    steps = session.receive_data(frame(answer(sales[0].wire)) + b"\0\0", 1)
    assert ended(steps) == [(sales[0], "Replied"), (sales[1], "Silent")]


def test_a_late_answer_is_told_once_also_over_the_next_connection(
    session: HostSession, sales: list[HostRequest], answer: AnswerRequest
) -> None:
    open_with(session, sales[0])
    session.tick(DEADLINE_US)
    open_with(session, sales[1])
    steps = session.receive_data(frame(answer(sales[0].wire)), DEADLINE_US)
    assert [type(step) for step in steps] == [LateAnswer]
    assert session.receive_data(frame(answer(sales[0].wire)), DEADLINE_US) == []


def test_a_late_answer_with_a_wrong_mac_is_nothing(
    session: HostSession, sales: list[HostRequest], answer: AnswerRequest
) -> None:
    open_with(session, sales[0])
    session.tick(DEADLINE_US)
    open_with(session, sales[1])
    assert session.receive_data(frame(answer(sales[0].wire, mac=b"12345678")), DEADLINE_US) == []


def test_a_late_answer_is_recognised_for_two_minutes(
    session: HostSession, sales: list[HostRequest], answer: AnswerRequest
) -> None:
    open_with(session, sales[0])
    session.tick(DEADLINE_US)
    open_with(session, sales[1])
    too_late_us = DEADLINE_US + 120 * SECOND_US
    assert session.receive_data(frame(answer(sales[0].wire)), too_late_us) == []


def test_a_repeat_of_a_lost_message_is_a_question_again(
    session: HostSession, sales: list[HostRequest], answer: AnswerRequest
) -> None:
    open_with(session, sales[0])
    session.connection_lost("reset", 1)
    open_with(session, sales[0])
    assert ended(session.receive_data(frame(answer(sales[0].wire)), 2)) == [(sales[0], "Replied")]


def test_a_second_answer_to_an_answered_repeat_is_nothing(
    session: HostSession, sales: list[HostRequest], answer: AnswerRequest
) -> None:
    open_with(session, sales[0])
    session.connection_lost("reset", 1)
    open_with(session, sales[0])
    twice = frame(answer(sales[0].wire)) * 2
    assert [type(step) for step in session.receive_data(twice, 2)] == [ExchangeEnded]


def test_an_answer_to_the_first_sending_is_late_while_the_repeat_still_waits(
    session: HostSession, sales: list[HostRequest], answer: AnswerRequest
) -> None:
    session.ask(sales[0], 0, 1)
    session.ask(sales[1], 0, DEADLINE_US)
    session.connection_made(0)
    session.tick(1)
    assert session.ask(sales[0], 2, DEADLINE_US) == []
    assert [type(step) for step in session.receive_data(frame(answer(sales[0].wire)), 3)] == [LateAnswer]


def test_a_question_after_a_half_tried_round_gets_a_whole_one(session: HostSession, sales: list[HostRequest]) -> None:
    session.ask(sales[0], 0, SECOND_US)
    session.tick(SECOND_US)
    session.connection_lost("refused", SECOND_US)
    assert session.ask(sales[1], SECOND_US, DEADLINE_US) == [Connect(SECOND)]
    assert session.connection_lost("refused", SECOND_US)[-1] == Connect(FIRST)


def test_a_loss_nobody_waits_for_changes_nothing(session: HostSession) -> None:
    assert session.connection_lost("refused", 1) == []


def test_asking_twice_what_is_under_way_is_never_called_not_sent(
    session: HostSession, sales: list[HostRequest]
) -> None:
    open_with(session, sales[0])
    assert ended(session.ask(sales[0], 1, DEADLINE_US)) == [(sales[0], "Silent")]


def test_too_many_open_questions_are_refused_before_they_leave(
    session: HostSession, profile: Profile, keys: FileKeyStore, facts: MakeFacts
) -> None:
    requests = [compose(profile, "echo", facts(stan=stan), keys) for stan in range(1, OPEN_QUESTIONS_MAX + 2)]
    for request in requests[:-1]:
        session.ask(request, 0, DEADLINE_US)
    assert ended(session.ask(requests[-1], 0, DEADLINE_US)) == [(requests[-1], "NotSent")]


def test_closing_ends_every_question_honestly(session: HostSession, sales: list[HostRequest]) -> None:
    open_with(session, sales[0])
    steps = session.close(1)
    assert steps[0] == Close("closed")
    assert ended(steps) == [(sales[0], "Silent")]
    session.ask(sales[1], 2, DEADLINE_US)
    assert ended(session.close(3)) == [(sales[1], "NotSent")]


ACTS = st.lists(
    st.sampled_from(["ask", "made", "lost", "answer", "late", "garbage", "tick", "wait"]), min_size=1, max_size=40
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(acts=ACTS)
def test_whatever_happens_every_question_ends_once_and_not_sent_means_not_sent(
    profile: Profile, keys: FileKeyStore, facts: MakeFacts, answer: AnswerRequest, acts: list[str]
) -> None:
    """A model of the connection beside it: bytes handed out, results given."""
    world = World(HostSession(profile, keys, [FIRST, SECOND]), answer)
    for number, act in enumerate(acts, 1):
        if act == "ask":
            world.ask(compose(profile, "sale", facts(stan=number), keys))
        else:
            world.do(act)
    world.note(world.session.close(world.now_us))
    assert sorted(world.results) == sorted(request.wire for request in world.asked)
    for wire, result in world.results.items():
        assert isinstance(result, NotSent) == (wire not in world.sent), result


class World:
    """Does to a session what a network may do to it, and keeps the books."""

    def __init__(self, session: HostSession, answer: AnswerRequest) -> None:
        self.session = session
        self.answer = answer
        self.now_us = 0
        self.asked: list[HostRequest] = []
        self.sent: list[bytes] = []
        self.results: dict[bytes, Replied | Silent | NotSent] = {}
        self.state = "idle"

    def ask(self, request: HostRequest) -> None:
        self.asked.append(request)
        self.note(self.session.ask(request, self.now_us, self.now_us + 8 * SECOND_US))

    def do(self, act: str) -> None:
        self.now_us += SECOND_US
        if act == "made" and self.state == "connecting":
            self.state = "up"
            self.note(self.session.connection_made(self.now_us))
        elif act == "lost" and self.state != "idle":
            self.state = "idle"
            self.note(self.session.connection_lost("lost", self.now_us))
        elif act in ("answer", "late", "garbage") and self.state == "up" and self.sent:
            wire = self.sent[-1] if act == "answer" else self.sent[0]
            octets = b"\0\0" if act == "garbage" else frame(self.answer(wire))
            self.note(self.session.receive_data(octets, self.now_us))
        elif act == "wait":
            self.now_us += 4 * SECOND_US
        self.note(self.session.tick(self.now_us))

    def note(self, steps: list[Step]) -> None:
        for step in steps:
            match step:
                case Connect():
                    assert self.state == "idle"
                    self.state = "connecting"
                case Close():
                    assert self.state != "idle"
                    self.state = "idle"
                case SendBytes(octets):
                    assert self.state == "up"
                    assert octets[2:] not in self.sent, "sent twice"
                    self.sent.append(octets[2:])
                case ExchangeEnded(request, result):
                    assert request.wire not in self.results, "ended twice"
                    self.results[request.wire] = result
