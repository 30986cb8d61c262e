"""Any story of a counter leaves a journal that verifies, states that can be folded again, and nothing open for ever.

Comes in: random lists of what people, cards, disk and host do. Goes out: the shortest story that breaks a law.
Strategy: the host of a story answers at random, so it need not make sense; the terminal has to. What both sides' books
say about one another is the simulation's to judge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.terminal.shop import READER, Shop, absent_host, good_host, reply, silent_host, tapped

from taptill.card.outcome import CryptogramType, OutcomeKind
from taptill.host.exchange import ExchangeResult, HostRequest, Replied, Verdict
from taptill.host.link import LateAnswer
from taptill.journal import entries as e
from taptill.journal.adapters.sqlite import SqliteJournalReader
from taptill.terminal.events import ArmRequested, CardDone
from taptill.terminal.machine import PaymentState, is_open
from taptill.terminal.payment import Payment, fold

STORY_STEPS_MAX = 14
QUIET_MS = 3_600_000
TICKETS = count(1_000)

CARDS = {
    "asks the bank": (OutcomeKind.ONLINE_REQUEST, CryptogramType.ARQC),
    "approves offline": (OutcomeKind.APPROVED, CryptogramType.TC),
    "declines": (OutcomeKind.DECLINED, CryptogramType.AAC),
    "leaves too early": (OutcomeKind.TRY_AGAIN, None),
    "has no application": (OutcomeKind.SELECT_NEXT, None),
}


def _coded(code: str, verdict: Verdict) -> Callable[[HostRequest], ExchangeResult]:
    return lambda request: good_host(request) if request.row in {"sign_on", "echo"} else reply(request, code, verdict)


def _found(original: str, code: str) -> Callable[[HostRequest], ExchangeResult]:
    """Silent about sales, and this is what it says of them when asked."""

    def host(request: HostRequest) -> ExchangeResult:
        if request.row == "status_query":
            return reply(request, original_state=original, original_code=code)
        return silent_host(request) if request.row == "sale" else good_host(request)

    return host


HOSTS: dict[str, Callable[[HostRequest], ExchangeResult | None]] = {
    "good": good_host,
    "silent": silent_host,
    "absent": absent_host,
    "slow": lambda request: None,
    "slow with sales": lambda request: None if request.row == "sale" else good_host(request),
    "refuses": _coded("51", Verdict.DECLINED),
    "finds a format error": _coded("30", Verdict.DECLINED),
    "knows the key": _coded("94", Verdict.DUPLICATE),
    "is in doubt": _coded("98", Verdict.IN_DOUBT),
    "is busy": _coded("91", Verdict.TRY_LATER),
    "wants a sign-on": _coded("77", Verdict.SIGN_ON_FIRST),
    "gives a part": _coded("10", Verdict.PARTIAL),
    "never heard of it": _coded("25", Verdict.NOT_FOUND),
    "lost an approval": _found("approved", "00"),
    "lost a decline": _found("declined", "51"),
    "is still at it": _found("in progress", ""),
    "has undone it": _found("reversed", ""),
}


@dataclass(frozen=True)
class Step:
    """One line of a story."""

    what: str
    with_what: str | int = ""


def play(shop: Shop, step: Step) -> None:
    match step.what:
        case "host":
            shop.host = HOSTS[str(step.with_what)]
        case "wait":
            shop.pass_time(int(step.with_what))
        case "sell":
            _arm(shop)
            _tap(shop, str(step.with_what))
        case "tap":
            _tap(shop, str(step.with_what))
        case _:
            PLAIN_STEPS[step.what](shop)


def _arm(shop: Shop) -> None:
    """On a slow disk the answer comes later."""
    ticket = next(TICKETS)
    shop.post(ArmRequested(ticket, f"key-{ticket}", f"story-{ticket}", 1250, "CNY", "digest"))


def _tap(shop: Shop, card: str) -> None:
    kernels = len(shop.ran)
    shop.hold_card()
    if len(shop.ran) > kernels:
        shop.post(CardDone(READER, shop.ran[-1].payment_ref, tapped(*CARDS[card])))


def _answer_late(shop: Shop) -> None:
    sale = next((request for request in reversed(shop.asked) if request.row == "sale"), None)
    if sale is not None and sale not in shop.unanswered:
        answer = good_host(sale)
        assert isinstance(answer, Replied)
        shop.post(LateAnswer(sale, answer.reply))


def _answer_question(shop: Shop) -> None:
    if shop.unanswered:
        shop.answer_now(good_host)


def _disk_fills_up(shop: Shop) -> None:
    shop.disk_full = True


def _disk_is_freed(shop: Shop) -> None:
    shop.disk_full = False


def _disk_slows_down(shop: Shop) -> None:
    shop.disk_slow = True


def _power_cut(shop: Shop) -> None:
    shop.disk_full = shop.disk_slow = False  # a terminal that cannot write does not start
    shop.restart()


PLAIN_STEPS: dict[str, Callable[[Shop], object]] = {
    "arm": _arm,
    "hold card": lambda shop: shop.hold_card(),
    "cancel": lambda shop: shop.cancel(shop.desk.at_counter or "nothing at the counter"),
    "power cut": _power_cut,
    "answer": _answer_question,
    "late answer": _answer_late,
    "disk full": _disk_fills_up,
    "disk free": _disk_is_freed,
    "disk slow": _disk_slows_down,
    "disk catches up": lambda shop: shop.disk_catches_up(),
}


STEPS = st.one_of(
    st.sampled_from(sorted(CARDS)).map(lambda card: Step("sell", card)),
    st.sampled_from(sorted(CARDS)).map(lambda card: Step("tap", card)),
    st.sampled_from(sorted(HOSTS)).map(lambda host: Step("host", host)),
    st.sampled_from((1, 700, 5_000, 61_000, 400_000)).map(lambda pause_ms: Step("wait", pause_ms)),
    st.sampled_from(sorted(PLAIN_STEPS)).map(Step),
)
STORIES = st.lists(STEPS, min_size=1, max_size=STORY_STEPS_MAX)


def the_host_is_well_again(shop: Shop) -> None:
    """Faults stop, a reader comes to its end, questions left open run into their deadlines, and time passes."""
    shop.disk_full = False
    shop.disk_catches_up()
    shop.host = good_host
    while shop.unanswered:
        shop.answer_now(silent_host)
    for run in shop.ran[-1:]:
        shop.post(CardDone(READER, run.payment_ref, tapped(*CARDS["leaves too early"])))
    shop.pass_time(QUIET_MS)


def assert_states_fold(journal: SqliteJournalReader) -> None:
    """Every entry says the state that the table makes of it, and the projection agrees with the fold about money."""
    folding: dict[str, Payment | None] = {row.payment_ref: None for row in journal.payments()}
    for record in journal.records():
        entry = record.entry
        if isinstance(entry, e.PaymentEntry):
            payment = fold(folding[entry.payment_ref], entry).payment
            assert payment.state.value == entry.state, entry
            folding[entry.payment_ref] = payment
    for row in journal.payments():
        folded = folding[row.payment_ref]
        assert folded is not None
        assert (folded.state.value, folded.approved_minor) == (row.state, row.approved_minor), row


def assert_nothing_waits_but_for_the_operator(shop: Shop) -> None:
    debts = shop.journal.open_debts()
    assert {debt.state for debt in debts} <= {"parked"}
    waiting = {debt.payment_ref for debt in debts}
    for row in shop.journal.payments():
        ends = not is_open(PaymentState(row.state)) or row.state == "parked"
        assert ends or row.payment_ref in waiting, row
    assert shop.desk.at_counter is None
    assert not shop.desk.writing
    assert not shop.desk.held
    assert set(shop.desk.debts) == {debt.debt for debt in debts}


@settings(max_examples=150, deadline=None, print_blob=True)
@example(story=[Step("disk full"), Step("arm"), Step("disk free")])
@example(story=[Step("host", "absent"), Step("wait", 400_000), Step("disk full"), Step("arm"), Step("wait", 400_000)])
@example(story=[Step("arm"), Step("disk slow"), Step("cancel"), Step("tap", "approves offline")])
@given(story=STORIES)
def test_any_story_ends_with_a_sound_journal_and_nothing_open_but_what_is_parked(story: list[Step]) -> None:
    with TemporaryDirectory() as folder:
        shop = Shop(Path(folder))
        shop.open()
        try:
            for step in story:
                play(shop, step)
                assert_states_fold(shop.journal)
            the_host_is_well_again(shop)
            shop.journal.verify()
            assert_states_fold(shop.journal)
            assert_nothing_waits_but_for_the_operator(shop)
            assert shop.state(shop.sell()) == "approved"
        finally:
            shop.power_cut()
