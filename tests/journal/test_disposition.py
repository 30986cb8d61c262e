"""A statement counts once, for one parking of one target on one terminal, and only from who signed it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.disposition import (
    DECISIONS,
    Offer,
    Parking,
    Refusal,
    Statement,
    StatementMalformed,
    is_signed,
    parking_of,
    read_offer,
    refusal_of,
    statement_text,
)

if TYPE_CHECKING:
    from tests.journal.conftest import Shop

# RFC 8032, 7.1, TEST 2: the secret key, and the public key that goes with it.
LI = Ed25519PrivateKey.from_private_bytes(
    bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
)
LI_PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
WANG = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OPERATORS = {"li": LI_PUBLIC}
TERMINAL = "10000001"
PARKED_BY = bytes(range(32))
PARKING = Parking("P1/1/reversal", PARKED_BY, frozenset({"send again", "settled"}))
STATEMENT = Statement(
    terminal_id=TERMINAL,
    target="P1/1/reversal",
    decision="settled",
    reason="acquirer confirmed by phone, case 4711",
    operator="li",
    parked_by=PARKED_BY.hex(),
)


def signed(statement: Statement, key: Ed25519PrivateKey = LI) -> Offer:
    text = statement_text(statement)
    return read_offer(text, key.sign(text.encode()).hex())


def with_(**changes: str) -> Statement:
    return msgspec.structs.replace(STATEMENT, **changes)


def test_a_signature_of_the_standard_verifies_and_no_other() -> None:
    """RFC 8032, 7.1, TEST 2: the message is the one octet 72, the letter r."""
    signature = (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert is_signed(Offer(STATEMENT, "r", signature), LI_PUBLIC)
    assert not is_signed(Offer(STATEMENT, "s", signature), LI_PUBLIC)
    assert not is_signed(Offer(STATEMENT, "r", signature[:-2] + "01"), LI_PUBLIC)


def test_a_statement_is_written_in_one_way() -> None:
    assert statement_text(STATEMENT) == (
        '{"decision":"settled","operator":"li","parked_by":"' + PARKED_BY.hex() + '",'
        '"reason":"acquirer confirmed by phone, case 4711","target":"P1/1/reversal","terminal_id":"10000001"}'
    )
    assert STATEMENT.payment_ref == "P1"


def test_a_good_statement_counts() -> None:
    assert refusal_of(signed(STATEMENT), OPERATORS, TERMINAL, PARKING) is None
    chinese = with_(reason="收单机构电话确认")
    assert refusal_of(signed(chinese), OPERATORS, TERMINAL, PARKING) is None


@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        (with_(operator="zhao"), Refusal.UNKNOWN_OPERATOR),
        (with_(terminal_id="10000002"), Refusal.OTHER_TERMINAL),
        (with_(target="P1/1"), Refusal.NOT_PARKED),
        (with_(parked_by=bytes(32).hex()), Refusal.STALE),
        (with_(parked_by=PARKED_BY.hex().upper()), Refusal.STALE),
        (with_(decision="paid"), Refusal.IMPOSSIBLE),
        (with_(decision="Settled"), Refusal.IMPOSSIBLE),
        (with_(reason="card 6228000100001117 called"), Refusal.CARD_NUMBER),
        (with_(reason="card 6228 0001 0000 1117 called"), Refusal.CARD_NUMBER),
    ],
)
def test_what_is_signed_but_does_not_fit_is_refused_by_its_reason(statement: Statement, refusal: Refusal) -> None:
    assert refusal_of(signed(statement), OPERATORS, TERMINAL, PARKING) is refusal


def test_another_ones_signature_or_none_is_refused_whatever_the_statement_says() -> None:
    text = statement_text(STATEMENT)
    for signature in (WANG.sign(text.encode()).hex(), LI.sign(b"something else").hex(), "", "zz", "00" * 64, "é"):
        offer = read_offer(text, signature)
        assert refusal_of(offer, OPERATORS, TERMINAL, PARKING) is Refusal.WRONG_SIGNATURE
        assert refusal_of(offer, OPERATORS, "10000002", None) is Refusal.WRONG_SIGNATURE


def test_one_changed_letter_breaks_the_signature() -> None:
    text = statement_text(STATEMENT)
    signature = LI.sign(text.encode()).hex()
    changed = read_offer(text.replace("settled", "settles"), signature)
    assert refusal_of(changed, OPERATORS, TERMINAL, PARKING) is Refusal.WRONG_SIGNATURE


def test_what_is_not_parked_cannot_be_disposed_of() -> None:
    assert refusal_of(signed(STATEMENT), OPERATORS, TERMINAL, None) is Refusal.NOT_PARKED


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "statement"),
        ("[]", "statement"),
        ("{}", "terminal_id"),
        (statement_text(STATEMENT).replace('"li"', "7"), "operator"),
        (statement_text(STATEMENT).replace('"li"', '""'), "operator"),
        (statement_text(with_(reason="x" * 501)), "reason"),
        (statement_text(STATEMENT)[:-1] + ',"amount":1}', "amount"),
        (statement_text(STATEMENT)[:-1] + ',"target":"P2/1"}', "sorted"),
        (statement_text(STATEMENT).replace(",", ", "), "sorted"),
        ("\ud800", "statement"),
    ],
)
def test_a_text_that_is_no_statement_is_refused_by_the_field_at_fault(text: str, named: str) -> None:
    with pytest.raises(StatementMalformed, match=named):
        read_offer(text, "00" * 64)


def test_a_parking_is_the_last_one_and_ends_with_its_disposition(journal: SqliteJournal, shop: Shop) -> None:
    def parking() -> Parking | None:
        return parking_of(journal.records("P1"), "P1/1/reversal")

    journal.append([shop.armed("P1"), shop.sale("P1"), shop.decided("P1", "unknown"), shop.owed("P1")])
    assert parking() is None
    (first,) = journal.append([shop.parked("P1", "reversal", "parked")])
    assert parking() == Parking("P1/1/reversal", first.digest, frozenset({"send again", "settled"}))
    journal.append([shop.disposed("P1/1/reversal", "send again", "reversing")])
    assert parking() is None
    (second,) = journal.append([shop.parked("P1", "reversal", "parked")])
    found = parking()
    assert found is not None
    assert found.digest == second.digest != first.digest
    assert parking_of(journal.records("P1"), "P1/1") is None


@pytest.mark.parametrize(
    ("steps", "target", "decisions"),
    [
        (("sale", "unknown", "park"), "P1/1", {"paid", "not paid"}),
        (("offline_advice", "refuse"), "P1/1/offline_advice", {"send again", "settled"}),
        (("deferred_advice", "refuse"), "P1/1/deferred_advice", {"send again", "settled", "not paid"}),
    ],
)
def test_what_can_be_decided_depends_on_what_is_parked(
    journal: SqliteJournal, shop: Shop, steps: Sequence[str], target: str, decisions: set[str]
) -> None:
    journal.append([shop.armed("P1")])
    if steps[0] == "sale":
        journal.append([shop.sale("P1"), shop.decided("P1", "unknown"), shop.decided("P1", "parked")])
    else:
        state = {"offline_advice": "approved_offline", "deferred_advice": "deferred"}[steps[0]]
        journal.append([shop.owed("P1", steps[0]), shop.parked("P1", steps[0], state)])
    parking = parking_of(journal.records("P1"), target)
    assert parking is not None
    assert parking.decisions == decisions
    assert decisions < set(DECISIONS)
