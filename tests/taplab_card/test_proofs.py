"""What the card proves, judged by others: pyemv for the cryptogram, the terminal's own verification for signatures,
and a personalisation made elsewhere under a published test CA key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pyemv.ac import PaddingType, generate_ac
from pyemv.kd import derive_icc_mk_a
from pyemv.tools import encrypt_tdes_ecb
from tests.card.vector_keys import KEY_IS_NOT_HERE, is_keyless, vector_stores
from tests.conformance import NotApplicable

from taplab.card import Card, Scheme
from taplab.card.pboc_personalisation import PersonalisationError, personalise_from_dgis
from taptill.card.outcome import Oda, OdaVerdict
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.proof.offline_authentication import (
    AuthenticatedRecord,
    Evidence,
    authenticate_fast,
    static_data_of,
)
from taptill.entropy import Entropy

UNIONPAY = bytes.fromhex("A000000333")
TapACard = Callable[..., Any]


def authenticate(tapped: Any, ca_keys: CaKeyStore) -> Oda:
    """fDDA as the terminal does it, over what this tap sent and got."""
    afl = tapped.got[0x94]
    signed = [
        AuthenticatedRecord(afl[at] >> 3, tapped.records[afl[at] >> 3, number])
        for at in range(0, len(afl), 4)
        for number in range(afl[at + 1], afl[at + 1] + afl[at + 3])
    ]
    pan = tapped.got[0x5A].hex().rstrip("f")
    static = static_data_of(signed, tapped.got)
    return authenticate_fast(Evidence(UNIONPAY, tapped.got, pan, static, "260115"), ca_keys, tapped.sent)


def read(tapped: Any) -> Any:
    assert tapped.process() == "9000"
    tapped.read()
    return tapped


@pytest.mark.parametrize("ttq", ["26000080", "26800080", "2E000080"], ids=["offline", "online", "offline only"])
def test_the_cryptogram_is_the_one_another_implementation_makes(tap: TapACard, scheme: Scheme, ttq: str) -> None:
    tapped = tap("offline_funds", _9F66=bytes.fromhex(ttq))
    tapped.process()
    card_key = derive_icc_mk_a(scheme.issuer_key, "6228000100001125", "01")
    atc = tapped.got[0x9F36]
    inverted = bytes(octet ^ 0xFF for octet in atc)
    session_key = encrypt_tdes_ecb(card_key, bytes(6) + atc + bytes(6) + inverted)
    tags = (0x9F02, 0x9F03, 0x9F1A, 0x95, 0x5F2A, 0x9A, 0x9C, 0x9F37)
    told = b"".join(tapped.sent[tag] for tag in tags) + tapped.got[0x82] + atc + tapped.got[0x9F10][3:7]
    assert tapped.got[0x9F26] == generate_ac(session_key, told, PaddingType.EMV)


@pytest.mark.parametrize("ttq", ["26000000", "26000080"], ids=["version 00", "version 01"])
def test_an_offline_tap_is_authentic_under_the_labs_ca_key(tap: TapACard, scheme: Scheme, ttq: str) -> None:
    tapped = read(tap("offline_funds", _9F66=bytes.fromhex(ttq)))
    oda = authenticate(tapped, CaKeyStore.of([scheme.ca_key()]))
    assert (oda.verdict, oda.reason, oda.test_key) == (OdaVerdict.PASSED, "", True)


def test_version_01_binds_the_amount(tap: TapACard, scheme: Scheme) -> None:
    tapped = read(tap("offline_funds"))
    tapped.sent[0x9F02] = bytes.fromhex("000000000100")
    assert authenticate(tapped, CaKeyStore.of([scheme.ca_key()])).verdict is OdaVerdict.FAILED


def test_the_bad_certificate_fails_and_nothing_else_about_the_card_does(tap: TapACard, scheme: Scheme) -> None:
    tapped = read(tap("bad_certificate"))
    assert tapped.got[0x9F10][4] & 0x30 == 0x10
    assert authenticate(tapped, CaKeyStore.of([scheme.ca_key()])).verdict is OdaVerdict.FAILED


def personalisations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if {"dgis", "icc_rsa_crt", "card_keys_3des"} <= set(document):
        yield "card", document


def of_known_keys(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any] | NotApplicable]]:
    for name, vector in personalisations(document):
        records = (bytes.fromhex(octets) for octets in vector["dgis"].values())
        indices = (octets.partition(b"\x8f\x01")[2][:1] for octets in records if octets[:1] == b"\x70")
        keyless = all(is_keyless(UNIONPAY, index) for index in indices if index)
        yield name, KEY_IS_NOT_HERE if keyless else vector


@pytest.mark.vectors(folder="cards", cases=of_known_keys)
@pytest.mark.parametrize("ttq", ["26000000", "26000080"], ids=["version 00", "version 01"])
def test_a_card_personalised_elsewhere_signs_under_its_published_test_ca(
    vector: dict[str, Any], ttq: str, tap: TapACard, entropy: Entropy
) -> None:
    card = Card(personalise_from_dgis(vector, balance_minor=5_000), entropy)
    tapped = read(tap(card, _9F66=bytes.fromhex(ttq), _9F02=bytes.fromhex("000000000900")))
    judged = [authenticate(tapped, ca_keys) for ca_keys in vector_stores()]
    assert (OdaVerdict.PASSED, "") in [(oda.verdict, oda.reason) for oda in judged]


@pytest.mark.vectors(folder="cards", cases=personalisations)
def test_a_card_personalised_without_funds_asks_the_issuer(
    vector: dict[str, Any], tap: TapACard, entropy: Entropy
) -> None:
    tapped = tap(Card(personalise_from_dgis(vector), entropy), _9F02=bytes.fromhex("000000000900"))
    assert tapped.process() == "9000"
    assert tapped.got[0x9F10][4] & 0x30 == 0x20
    assert 0x94 not in tapped.got


def test_a_personalisation_that_lacks_a_group_is_refused() -> None:
    with pytest.raises(PersonalisationError, match="icc_rsa_crt"):
        personalise_from_dgis({"dgis": {}, "card_keys_3des": {"AC": ""}, "icc_rsa_e": "07"})
    crt = {"p": "FB", "q": "F1"}
    with pytest.raises(PersonalisationError, match="9103"):
        personalise_from_dgis({"dgis": {}, "card_keys_3des": {"AC": ""}, "icc_rsa_crt": crt, "icc_rsa_e": "07"})
