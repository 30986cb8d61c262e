"""The terminal's own kernel reads each of the lab's cards over PC/SC: the whole way of a tap, on real boundaries."""

from __future__ import annotations

import pytest

from taphost.issuer import derive_card_key, is_genuine
from taplab.card import Scheme, load_card
from taplab.pcsc.pcscd import OwnPcscd
from taptill.amount.money import Money
from taptill.card.adapters.pcsc import PcscReader
from taptill.card.outcome import OdaVerdict, OutcomeKind
from taptill.card.parameters import Combination, TapRequest
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.read_card import drive, read_card
from taptill.entropy import SystemEntropy

UNIONPAY_CREDIT = Combination(
    aid=bytes.fromhex("A000000333010102"), kernel_id=7, ttq=bytes.fromhex("26000080"), application_version=b"\x00\x30"
)
APDU_TIMEOUT_MS = 3000


def request(*, offline_allowed: bool) -> TapRequest:
    return TapRequest(
        amount=Money(2500),
        amount_other=Money(0),
        transaction_type=0x00,
        date_yymmdd="260115",
        time_hhmmss="120000",
        country="156",
        unpredictable_number=bytes.fromhex("2B29EBE4"),
        online_possible=True,
        offline_allowed=offline_allowed,
    )


@pytest.mark.parametrize(
    ("name", "offline_allowed", "kind", "authentic"),
    [
        ("good_credit", True, OutcomeKind.ONLINE_REQUEST, OdaVerdict.NOT_PERFORMED),
        ("low_limit", True, OutcomeKind.ONLINE_REQUEST, OdaVerdict.NOT_PERFORMED),
        ("offline_funds", True, OutcomeKind.APPROVED, OdaVerdict.PASSED),
        ("offline_funds", False, OutcomeKind.ONLINE_REQUEST, OdaVerdict.NOT_PERFORMED),
        ("no_9f27", True, OutcomeKind.APPROVED, OdaVerdict.PASSED),
        ("slow", True, OutcomeKind.APPROVED, OdaVerdict.PASSED),
        ("blocked", True, OutcomeKind.DECLINED, OdaVerdict.NOT_PERFORMED),
    ],
)
def test_a_tap_comes_to_what_the_card_is_made_for(
    daemon: OwnPcscd,
    reader: PcscReader,
    scheme: Scheme,
    name: str,
    offline_allowed: bool,
    kind: OutcomeKind,
    authentic: OdaVerdict,
) -> None:
    daemon.slots[0].present(load_card(name, scheme, SystemEntropy()))
    assert reader.wait_for_card(3000) is not None
    ca_keys = CaKeyStore.of([scheme.ca_key()])
    dialogue = read_card(request(offline_allowed=offline_allowed), [UNIONPAY_CREDIT], ca_keys)
    read = drive(dialogue, reader, APDU_TIMEOUT_MS)
    assert (read.outcome.kind, read.oda.verdict) == (kind, authentic)
    assert read.number is not None
    card_key = derive_card_key(scheme.issuer_key, read.number.pan.reveal().decode(), "01")
    assert is_genuine(card_key, read.data)


@pytest.mark.parametrize("name", ["expired", "bad_certificate"])
def test_a_card_that_approves_what_it_should_not_is_not_approved(
    daemon: OwnPcscd, reader: PcscReader, scheme: Scheme, name: str
) -> None:
    daemon.slots[0].present(load_card(name, scheme, SystemEntropy()))
    assert reader.wait_for_card(3000) is not None
    dialogue = read_card(request(offline_allowed=True), [UNIONPAY_CREDIT], CaKeyStore.of([scheme.ca_key()]))
    read = drive(dialogue, reader, APDU_TIMEOUT_MS)
    assert read.outcome.kind is not OutcomeKind.APPROVED
    assert read.outcome.kind in (OutcomeKind.DECLINED, OutcomeKind.ONLINE_REQUEST, OutcomeKind.TRY_ANOTHER_INTERFACE)
