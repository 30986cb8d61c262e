"""Which slips come out at the end of a payment, and for whom."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.terminal.shop import CONFIG, Shop, absent_host, good_host, reply, silent_host, tapped

from taptill.card.outcome import CardRead, CryptogramType, Cvm, OutcomeKind
from taptill.host.exchange import ExchangeResult, HostRequest, Verdict
from taptill.receipt.facts import Copy, Language


def signing(kind: OutcomeKind = OutcomeKind.ONLINE_REQUEST, language: bytes = b"zh") -> CardRead:
    """A tap whose holder has to sign."""
    cryptogram = CryptogramType.TC if kind is OutcomeKind.APPROVED else CryptogramType.ARQC
    card = tapped(kind, cryptogram)
    return replace(card, outcome=replace(card.outcome, cvm=Cvm.SIGNATURE), data=dict(card.data) | {0x5F2D: language})


def slips(shop: Shop) -> list[tuple[str, Copy]]:
    return [(printed.facts.state, printed.facts.copy) for printed in shop.printed]


def test_what_is_signed_stays_with_the_shop_and_comes_out_first(shop: Shop) -> None:
    shop.sell(signing())
    assert slips(shop) == [("approved", Copy.MERCHANT), ("approved", Copy.CUSTOMER)]
    merchant, customer = (printed.facts for printed in shop.printed)
    assert replace(merchant, copy=Copy.CUSTOMER) == customer


def test_the_shop_reads_its_own_language_on_its_copy(shop: Shop) -> None:
    shop.sell(signing(language=b"en"))
    assert [printed.language for printed in shop.printed] == [Language.ZH, Language.EN]


@pytest.mark.parametrize("cvm", [Cvm.NONE, Cvm.CONSUMER_DEVICE, Cvm.NOT_APPLICABLE])
def test_without_a_signature_there_is_one_slip(shop: Shop, cvm: Cvm) -> None:
    card = tapped(OutcomeKind.ONLINE_REQUEST)
    shop.sell(replace(card, outcome=replace(card.outcome, cvm=cvm)))
    assert slips(shop) == [("approved", Copy.CUSTOMER)]


def test_an_offline_approval_is_signed_too(shop: Shop) -> None:
    shop.lose_host()
    shop.sell(signing(OutcomeKind.APPROVED))
    assert slips(shop) == [("approved_offline", Copy.MERCHANT), ("approved_offline", Copy.CUSTOMER)]


def test_a_deferred_sale_is_signed_at_the_counter_and_not_again_when_nobody_is_there(shop: Shop) -> None:
    shop.lose_host()
    ref = shop.sell(signing())
    shop.host = good_host
    shop.pass_time(86_400_000)
    assert shop.state(ref) == "approved"
    assert slips(shop) == [
        ("deferred", Copy.MERCHANT),
        ("deferred", Copy.CUSTOMER),
        ("approved", Copy.CUSTOMER),
    ]


def test_nobody_signs_for_a_decline_or_for_what_is_undone(shop: Shop) -> None:
    def declines(request: HostRequest) -> ExchangeResult:
        return reply(request, "51", Verdict.DECLINED)

    shop.host = declines
    shop.sell(signing())
    shop.host = silent_host
    shop.sell(signing())
    shop.host = absent_host
    shop.pass_time(120_000)
    assert slips(shop) == [("declined", Copy.CUSTOMER), ("reversing", Copy.CUSTOMER)]


def test_a_slip_shows_the_shop_s_own_time_of_day(tmp_path: Path) -> None:
    elsewhere = msgspec.structs.replace(CONFIG.identity, utc_offset_minutes=330)
    shop = Shop(tmp_path, config=msgspec.structs.replace(CONFIG, identity=elsewhere))
    shop.open()
    shop.sell()
    assert shop.printed[-1].facts.utc_offset_minutes == 330
    shop.power_cut()
