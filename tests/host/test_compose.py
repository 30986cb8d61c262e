"""Messages as they leave: checked by hand-written field values and by the other end's key derivation."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import pytest
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from pyemv.tlv import decode as foreign_tlv_decode

from taptill.credential.adapters.file_keystore import FileKeyStore
from taptill.credential.dukpt import KeyUsage, derive_initial_key, derive_working_key
from taptill.credential.keystore import KeyStoreError
from taptill.host.codec import IsoMessage, decode_message, decode_private_data, unwrap
from taptill.host.compose import ComposeError, OriginalRef, RequestFacts, compose
from taptill.host.exchange import HostRequest, MatchKey
from taptill.host.profile import AES_PROFILE, Profile, load_profile

BDK = bytes.fromhex("FEDCBA9876543210F1F1F1F1F1F1F1F1")
ORIGINAL = OriginalRef(batch=2, stan=9, date_mmdd="1121", auth_code="A1B2C3", rrn="654321000009")


class MakeFacts(Protocol):
    def __call__(self, **changes: Any) -> RequestFacts: ...


def message_of(request: HostRequest) -> IsoMessage:
    return decode_message(unwrap(request.wire).message)


def test_a_sale_has_the_fields_of_its_row(profile: Profile, keys: FileKeyStore, facts: MakeFacts) -> None:
    request = compose(profile, "sale", facts(), keys)
    message = message_of(request)
    expected = {
        3: "000000",
        4: "000000001250",
        11: "000017",
        12: "064500",
        13: "1122",
        22: "072",
        23: "001",
        25: "00",
        41: "TT000001",
        42: "898440000000001",
        49: "156",
        60: "22000003000600",
    }
    assert message.mti == "0200"
    assert {number: content for number, content in message.fields.items() if isinstance(content, str)} == expected
    assert set(message.fields) - set(expected) == {55, 59, 64}
    assert request.wire[:11].hex() == "6000010000603100310000"
    assert request.key == MatchKey("TT000001", 3, 17, "0210")
    assert (request.row, request.amount_minor, request.payment_ref) == ("sale", 1250, "P-20261122-0001")


def test_field_55_holds_the_sets_tags_in_their_order(profile: Profile, keys: FileKeyStore, facts: MakeFacts) -> None:
    tags = list(foreign_tlv_decode(message_of(compose(profile, "sale", facts(), keys)).octets(55)))
    assert " ".join(tags) == "9F26 9F27 9F10 9F37 9F36 95 9A 9C 9F02 5F2A 82 9F1A 9F03 9F33 84"


def test_private_data_names_the_key_the_envelope_the_token_and_the_payment(
    profile: Profile, keys: FileKeyStore, facts: MakeFacts
) -> None:
    keys.reserve(0x0102)
    private = decode_private_data(message_of(compose(profile, "sale", facts(key_counter=0x0102), keys)).octets(59))
    assert private.ksn.hex() == "123456789012345600000102"
    assert (private.envelope, private.token) == (bytes(60), bytes(range(16)))
    assert private.payment_ref == "P-20261122-0001"


@pytest.mark.parametrize("row", ["sale", "status_query", "reversal", "echo", "sign_on"])
def test_the_host_finds_the_mac_it_computes(profile: Profile, keys: FileKeyStore, facts: MakeFacts, row: str) -> None:
    """Key from the base key, CMAC over what stands before the last eight bytes."""
    message = unwrap(compose(profile, row, facts(original=ORIGINAL, reversal_reason="98"), keys).wire).message
    initial = derive_initial_key(BDK, keys.key_set_id())
    mac = CMAC(AES(derive_working_key(initial, keys.key_set_id(), 1, KeyUsage.MAC_GENERATION)))
    mac.update(message[:-8])
    assert message[-8:] == mac.finalize()[:8]


def test_a_reversal_goes_out_under_the_number_of_its_original(
    profile: Profile, keys: FileKeyStore, facts: MakeFacts
) -> None:
    request = compose(profile, "reversal", facts(original=ORIGINAL, reversal_reason="A0"), keys)
    message = message_of(request)
    assert request.key == MatchKey("TT000001", 2, 9, "0410")
    assert [message.text(number) for number in (11, 37, 38, 39)] == ["000009", "654321000009", "A1B2C3", "A0"]
    assert (message.text(60), message.text(61)) == ("22000002000600", "0000020000091121")
    assert list(foreign_tlv_decode(message.octets(55))) == ["9F36", "95", "9F10"]
    assert decode_private_data(message.octets(59)).envelope == b""


def test_a_reversal_of_a_sale_nobody_answered_leaves_out_what_is_not_known(
    profile: Profile, keys: FileKeyStore, facts: MakeFacts
) -> None:
    original = dataclasses.replace(ORIGINAL, auth_code="", rrn="")
    request = compose(profile, "reversal", facts(original=original, reversal_reason="98", icc={}), keys)
    assert not {37, 38, 55} & set(message_of(request).fields)


def test_a_status_query_has_a_number_of_its_own_and_names_the_original(
    profile: Profile, keys: FileKeyStore, facts: MakeFacts
) -> None:
    request = compose(profile, "status_query", facts(original=ORIGINAL), keys)
    message = message_of(request)
    assert request.key == MatchKey("TT000001", 3, 17, "0210")
    assert (message.text(3), message.text(61)) == ("531000", "0000020000091121")
    assert request.amount_minor is None
    assert not {4, 55} & set(message.fields)


@pytest.mark.parametrize(
    ("row", "mti", "type_and_batch", "response_code"),
    [("offline_advice", "0200", "36000003000600", b"Y1"), ("deferred_advice", "0220", "30000003000600", b"Y3")],
)
def test_an_advice_says_how_the_terminal_decided(
    profile: Profile,
    keys: FileKeyStore,
    facts: MakeFacts,
    row: str,
    mti: str,
    type_and_batch: str,
    response_code: bytes,
) -> None:
    given = facts()
    with pytest.raises(ComposeError, match="8A is missing"):
        compose(profile, row, given, keys)
    message = message_of(compose(profile, row, facts(icc={**given.icc, 0x8A: response_code}), keys))
    assert (message.mti, message.text(60)) == (mti, type_and_batch)
    assert foreign_tlv_decode(message.octets(55))["8A"] == response_code


def test_a_sign_on_matches_whatever_batch_the_host_answers_with(
    profile: Profile, keys: FileKeyStore, facts: MakeFacts
) -> None:
    request = compose(profile, "sign_on", facts(), keys)
    assert request.key == MatchKey("TT000001", 0, 17, "0810")
    assert message_of(request).text(60) == "00000003004"


def test_the_same_facts_give_the_same_bytes(profile: Profile, keys: FileKeyStore, facts: MakeFacts) -> None:
    assert compose(profile, "sale", facts(), keys).wire == compose(profile, "sale", facts(), keys).wire


def test_no_part_of_the_card_number_is_in_any_message(profile: Profile, keys: FileKeyStore, facts: MakeFacts) -> None:
    request = compose(profile, "sale", facts(icc={**facts().icc, 0x5A: bytes.fromhex("6228000100001117")}), keys)
    assert "6228000100001117" not in request.wire.hex()


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"amount_minor": None}, "DE4"),
        ({"token": b""}, "token of DE59"),
        ({"envelope": b""}, "envelope of DE59"),
        ({"payment_ref": None}, "payment_ref of DE59"),
        ({"icc": {}}, "card data 9F26"),
    ],
)
def test_a_sale_without_a_needed_fact_is_not_composed(
    profile: Profile, keys: FileKeyStore, facts: MakeFacts, changes: dict[str, Any], missing: str
) -> None:
    with pytest.raises(ComposeError, match=missing):
        compose(profile, "sale", facts(**changes), keys)


def test_a_reversal_needs_its_original_and_its_reason(profile: Profile, keys: FileKeyStore, facts: MakeFacts) -> None:
    with pytest.raises(ComposeError, match="original"):
        compose(profile, "reversal", facts(reversal_reason="98"), keys)
    with pytest.raises(ComposeError, match="DE39"):
        compose(profile, "reversal", facts(original=ORIGINAL), keys)


def test_a_counter_the_store_did_not_reserve_signs_nothing(
    profile: Profile, keys: FileKeyStore, facts: MakeFacts
) -> None:
    with pytest.raises(KeyStoreError, match="not reserved"):
        compose(profile, "sale", facts(key_counter=5000), keys)


def test_another_profile_gives_another_message_without_code(keys: FileKeyStore, facts: MakeFacts) -> None:
    text = AES_PROFILE.read_text("utf-8").replace('"6000010000"', '"6000320000"').replace('"072"', '"071"')
    request = compose(load_profile(text), "sale", facts(), keys)
    assert request.wire[:5].hex() == "6000320000"
    assert message_of(request).text(22) == "071"
