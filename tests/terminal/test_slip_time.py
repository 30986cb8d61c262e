"""The time on a slip: when it was decided, and whether that time could be trusted."""

from __future__ import annotations

import pytest
from tests.terminal.shop import NOON_MS, Shop, good_host, tapped

from taptill.card.outcome import CryptogramType, OutcomeKind
from taptill.clock import Trust
from taptill.receipt.compose import compose
from taptill.receipt.facts import Language, Line, ReceiptFacts
from taptill.terminal.recovering import read_payment
from taptill.terminal.telling import receipt_facts


def words(facts: ReceiptFacts, language: Language) -> str:
    lines = [item for item in compose(facts, language).items if isinstance(item, Line)]
    return "\n".join(f"{line.text} {line.value or ''}" for line in lines)


def reprinted(shop: Shop, ref: str) -> ReceiptFacts:
    """From the journal, as a reprint would be."""
    payment = read_payment(shop.journal, ref)
    assert payment is not None
    return receipt_facts(payment, shop.desk.config, shop.desk.profile, reprint=0)


def test_a_slip_says_that_the_clock_was_not_set(shop: Shop) -> None:
    shop.clock.trust = Trust.GUESS
    shop.sell()
    assert "时间未校准" in words(shop.printed[-1].facts, Language.ZH)
    assert "CLOCK NOT SET" in words(shop.printed[-1].facts, Language.EN)


@pytest.mark.parametrize("trust", [Trust.RTC, Trust.NTP, Trust.HOST])
def test_a_slip_with_a_good_time_says_nothing_of_it(shop: Shop, trust: Trust) -> None:
    shop.clock.trust = trust
    shop.sell()
    assert "未校准" not in words(shop.printed[-1].facts, Language.ZH)


def test_what_is_learned_later_leaves_the_slip_as_it_was(shop: Shop) -> None:
    """Approved offline by a trusted clock; its advice is delivered a day later, by a clock that guesses."""
    shop.lose_host()
    sold_ms = NOON_MS + shop.clock.now_us // 1000
    ref = shop.sell(tapped(OutcomeKind.APPROVED, CryptogramType.TC))
    printed = shop.printed[-1].facts
    assert (printed.state, printed.at_ms, printed.time_trusted) == ("approved_offline", sold_ms, True)
    shop.host, shop.clock.trust = good_host, Trust.GUESS
    shop.pass_time(86_400_000)
    assert not shop.journal.open_debts()
    again = reprinted(shop, ref)
    assert (again.at_ms, again.time_trusted) == (sold_ms, True)


def test_nothing_is_sold_offline_by_a_clock_that_guesses(shop: Shop) -> None:
    shop.clock.trust = Trust.GUESS
    shop.lose_host()
    ref = shop.sell(tapped(OutcomeKind.APPROVED, CryptogramType.TC))
    assert shop.state(ref) == "declined"
    assert shop.printed[-1].facts.reason == "time-not-trusted"
    assert shop.printed[-1].facts.reason_text[Language.EN] == "the terminal's clock is not set"


def test_a_deferred_sale_needs_a_clock_too(shop: Shop) -> None:
    """The cashier is told the real reason, not that the bank is away."""
    shop.clock.trust = Trust.GUESS
    shop.lose_host()
    ref = shop.sell(tapped(OutcomeKind.ONLINE_REQUEST))
    assert shop.state(ref) == "declined"
    assert shop.printed[-1].facts.reason == "time-not-trusted"
