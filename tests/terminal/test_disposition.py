"""What only an operator can end ends by a signed word, and by nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.terminal.parked import (
    LI,
    NOBODY,
    WANG,
    dispose,
    new_shop,
    offer,
    parked_advice,
    parked_reversal,
    parked_sale,
    statement,
)
from tests.terminal.shop import CONFIG, Shop, absent_host, good_host, reply
from tests.terminal.test_payment import assert_states_fold

from taptill.card.outcome import CryptogramType, OutcomeKind
from taptill.host.exchange import Verdict
from taptill.journal import entries as e
from taptill.journal.adapters.migration import migrate
from taptill.journal.adapters.schema import provision
from taptill.journal.disposition import DECISIONS, parking_of, read_offer, statement_text
from taptill.receipt.compose import compose
from taptill.receipt.facts import Language, Line
from taptill.settlement.totals import totals
from taptill.terminal.effects import Answer
from taptill.terminal.events import DispositionOffered
from taptill.terminal.reasons import REASONS


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = new_shop(tmp_path)
    yield shop
    shop.power_cut()


def stored(shop: Shop) -> list[e.Disposed]:
    return [record.entry for record in shop.journal.records() if isinstance(record.entry, e.Disposed)]


def slip(shop: Shop, language: Language) -> list[str]:
    items = compose(shop.printed[-1].facts, language).items
    return [item.text for item in items if isinstance(item, Line)]


def test_a_sale_that_stayed_unclear_is_paid_by_an_operators_word_and_the_slip_says_whose(shop: Shop) -> None:
    ref = parked_sale(shop)
    slips = len(shop.printed)
    assert dispose(shop, f"{ref}/1", "paid") == Answer(shop._tickets, ref)
    assert shop.state(ref) == "approved"
    (entry,) = stored(shop)
    assert (entry.operator, entry.decision, entry.target) == ("li", "paid", f"{ref}/1")
    assert len(shop.printed) == slips + 1
    assert slip(shop, Language.EN).count("UNVERIFIED: decided by operator li") == 1
    assert slip(shop, Language.ZH).count("人工确认:操作员li") == 1
    assert shop.log[-2:] == ["told approved", "printed approved"]
    row = shop.journal.payment(ref)
    assert row is not None
    assert row.approved_minor == 1250
    assert str(totals([row], []).net) == "¥12.50"
    assert ref not in shop.desk.payments


def test_a_sale_that_stayed_unclear_is_not_paid_and_may_be_asked_for_again(shop: Shop) -> None:
    ref = parked_sale(shop)
    assert shop.arm(client_ref="order-1").refusal == "client-ref-used"
    assert dispose(shop, f"{ref}/1", "not paid").refusal is None
    assert shop.state(ref) == "declined"
    english = slip(shop, Language.EN)
    assert "UNVERIFIED: decided by operator li" in english
    assert "The card was not charged." not in english
    row = shop.journal.payment(ref)
    assert row is not None
    assert str(totals([row], []).net) == "¥0.00"
    assert shop.arm(client_ref="order-1").refusal is None


def test_a_parked_reversal_is_sent_again_byte_for_byte(shop: Shop) -> None:
    ref = parked_reversal(shop)
    before = [request.wire for request in shop.asked if request.row == "reversal"]
    shop.host = good_host
    assert dispose(shop, f"{ref}/1/reversal", "send again").refusal is None
    after = [request.wire for request in shop.asked if request.row == "reversal"]
    assert shop.state(ref) == "reversed"
    assert len(after) == len(before) + 1
    assert set(after) == set(before)
    assert shop.journal.open_debts() == []
    assert "UNVERIFIED: decided by operator li" not in slip(shop, Language.EN)


def test_what_is_sent_again_and_refused_again_is_parked_again_and_needs_a_new_word(shop: Shop) -> None:
    ref = parked_reversal(shop)
    first = statement(shop, f"{ref}/1/reversal", "send again")
    assert offer(shop, first).refusal is None
    assert shop.state(ref) == "parked"
    assert offer(shop, first).refusal == "statement-stale"
    assert len(stored(shop)) == 1
    assert dispose(shop, f"{ref}/1/reversal", "settled").refusal is None
    assert shop.state(ref) == "reversed"


def test_a_parked_reversal_that_was_settled_by_hand_ends_the_payment_as_reversed(shop: Shop) -> None:
    ref = parked_reversal(shop)
    assert dispose(shop, f"{ref}/1/reversal", "settled").refusal is None
    assert shop.state(ref) == "reversed"
    assert shop.journal.open_debts() == []
    assert shop.journal.wire_of(f"{ref}/1/reversal") is None
    english = slip(shop, Language.EN)
    assert "UNVERIFIED: decided by operator li" in english
    assert not any("bank confirmed" in line for line in english)
    shop.journal.verify()


def test_a_parked_advice_that_was_settled_leaves_the_cards_approval_as_it_was(shop: Shop) -> None:
    ref = parked_advice(shop, OutcomeKind.APPROVED, CryptogramType.TC)
    slips = len(shop.printed)
    assert shop.desk.money_at_risk_minor() == 1250
    assert dispose(shop, f"{ref}/1/advice", "settled").refusal is None
    assert shop.state(ref) == "approved_offline"
    assert shop.journal.open_debts() == []
    assert shop.desk.money_at_risk_minor() == 0
    assert len(shop.printed) == slips
    row = shop.journal.payment(ref)
    assert row is not None
    assert row.approved_minor == 1250


@pytest.mark.parametrize(("decision", "state"), [("settled", "approved"), ("not paid", "deferred_declined")])
def test_a_parked_deferred_sale_ends_either_way(shop: Shop, decision: str, state: str) -> None:
    ref = parked_advice(shop, OutcomeKind.ONLINE_REQUEST, CryptogramType.ARQC)
    assert dispose(shop, f"{ref}/1/advice", decision).refusal is None
    assert shop.state(ref) == state
    assert "UNVERIFIED: decided by operator li" in slip(shop, Language.EN)
    assert_states_fold(shop.journal)


def test_an_advice_sent_again_goes_out_with_the_next_forwarding(shop: Shop) -> None:
    ref = parked_advice(shop, OutcomeKind.APPROVED, CryptogramType.TC)
    shop.host = absent_host
    shop.pass_time(CONFIG.host.echo_idle_ms + 1)
    assert dispose(shop, f"{ref}/1/advice", "send again").refusal is None
    assert [debt.state for debt in shop.journal.open_debts()] == ["open"]
    shop.host = good_host
    shop.pass_time(200_000)
    assert shop.journal.open_debts() == []
    assert shop.state(ref) == "approved_offline"


def test_a_decision_outlives_a_power_cut(shop: Shop) -> None:
    ref, other = parked_sale(shop), parked_reversal(shop)
    shop.host = absent_host
    shop.restart()
    assert dispose(shop, f"{ref}/1", "paid").refusal is None
    assert dispose(shop, f"{other}/1/reversal", "send again").refusal is None
    shop.restart()
    assert shop.state(ref) == "approved"
    shop.host = good_host
    shop.pass_time(400_000)
    assert shop.journal.open_debts() == []
    assert_states_fold(shop.journal)
    shop.journal.verify()


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"operator": "zhao"}, "operator-unknown"),
        ({"terminal_id": "10000002"}, "statement-for-another-terminal"),
        ({"target": "261122-00009-0000/1"}, "target-not-parked"),
        ({"parked_by": NOBODY}, "statement-stale"),
        ({"decision": "settled"}, "decision-impossible"),
        ({"decision": "send again"}, "decision-impossible"),
        ({"reason": "6228000100001117"}, "reason-holds-a-card-number"),
    ],
)
def test_a_statement_that_does_not_fit_is_refused_by_its_reason_and_nothing_is_stored(
    shop: Shop, changes: dict[str, str], refusal: str
) -> None:
    ref = parked_sale(shop)
    entries = shop.journal.verify().count
    said = msgspec.structs.replace(statement(shop, f"{ref}/1", "paid"), **changes)
    assert offer(shop, said).refusal == refusal
    assert shop.journal.verify().count == entries
    assert shop.state(ref) == "parked"


def test_a_signature_of_somebody_else_stores_nothing(shop: Shop) -> None:
    ref = parked_sale(shop)
    entries = shop.journal.verify().count
    assert offer(shop, statement(shop, f"{ref}/1", "paid"), WANG).refusal == "signature-wrong"
    assert shop.journal.verify().count == entries


def test_a_statement_cannot_be_used_twice(shop: Shop) -> None:
    ref = parked_sale(shop)
    said = statement(shop, f"{ref}/1", "paid")
    assert offer(shop, said).refusal is None
    assert offer(shop, said).refusal == "target-not-parked"
    shop.restart()
    assert offer(shop, said).refusal == "target-not-parked"
    assert len(stored(shop)) == 1


def test_two_words_at_once_are_taken_one_after_the_other(shop: Shop) -> None:
    ref = parked_sale(shop)
    paid, not_paid = statement(shop, f"{ref}/1", "paid"), statement(shop, f"{ref}/1", "not paid")
    shop.disk_slow = True
    for ticket, said in ((901, paid), (902, not_paid)):
        text = statement_text(said)
        shop.post(DispositionOffered(ticket, read_offer(text, LI.sign(text.encode()).hex())))
    assert not {901, 902} & shop.answers.keys()
    shop.disk_catches_up()
    assert shop.answers[901].refusal is None
    assert shop.answers[902].refusal == "target-not-parked"
    assert shop.state(ref) == "approved"


def test_a_word_that_could_not_be_stored_was_not_said(shop: Shop) -> None:
    ref = parked_sale(shop)
    shop.disk_full = True
    assert dispose(shop, f"{ref}/1", "paid").refusal == "disposition-not-stored: disk full"
    assert dispose(shop, f"{ref}/1", "paid").refusal == "journal-not-writable"
    shop.disk_full = False
    shop.pass_time(5_000)
    assert shop.state(ref) == "parked"
    assert stored(shop) == []
    assert dispose(shop, f"{ref}/1", "paid").refusal is None
    assert shop.state(ref) == "approved"


def test_a_journal_of_the_format_before_holds_no_decision_and_says_what_to_do(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "journal.sqlite"))
    connection.execute("PRAGMA journal_mode = wal").fetchall()
    provision(connection, 1)
    connection.close()
    shop = new_shop(tmp_path)
    ref = parked_sale(shop)
    assert dispose(shop, f"{ref}/1", "paid").refusal == "journal-format-too-old"
    assert shop.state(ref) == "parked"
    assert not shop.desk.storage_fault
    assert "taptill journal migrate" in REASONS["journal-format-too-old"].next_step.en
    shop.power_cut()
    migrate(tmp_path / "journal.sqlite")
    shop.open()
    assert dispose(shop, f"{ref}/1", "paid").refusal is None
    assert shop.state(ref) == "approved"
    shop.power_cut()


SCENES = st.sampled_from(["sale", "reversal", "offline", "deferred", "approved", "declined"])
WORDS = st.tuples(st.sampled_from(["1", "1/reversal", "1/advice"]), st.sampled_from(DECISIONS))


@settings(max_examples=40, deadline=None)
@given(scene=SCENES, words=st.lists(WORDS, max_size=5), host_is_well=st.booleans())
def test_no_words_of_an_operator_approve_what_was_not_parked(
    scene: str, words: list[tuple[str, str]], host_is_well: bool
) -> None:
    with TemporaryDirectory() as folder:
        shop = new_shop(Path(folder))
        ref = _play(shop, scene)
        if host_is_well:
            shop.host = good_host
        for target, decision in words:
            before = shop.state(ref)
            parked = parking_of(shop.journal.records(ref), f"{ref}/{target}") is not None
            answer = dispose(shop, f"{ref}/{target}", decision)
            assert (answer.refusal is None) <= parked
            if shop.state(ref) == "approved" != before:
                assert parked
                assert decision in {"paid", "settled"} or (decision == "send again" and before == "deferred")
        assert_states_fold(shop.journal)
        shop.journal.verify()
        shop.power_cut()


def _play(shop: Shop, scene: str) -> str:
    match scene:
        case "sale":
            return parked_sale(shop)
        case "reversal":
            return parked_reversal(shop)
        case "offline":
            return parked_advice(shop, OutcomeKind.APPROVED, CryptogramType.TC)
        case "deferred":
            return parked_advice(shop, OutcomeKind.ONLINE_REQUEST, CryptogramType.ARQC)
        case "declined":
            shop.host = lambda request: reply(request, "51", Verdict.DECLINED)
    return shop.sell()
