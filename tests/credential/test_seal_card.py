"""What leaves of a card, opened the way a host opens it."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pyemv.tlv import decode as foreign_tlv_decode

from taptill.card.outcome import CardNumber
from taptill.card.sensitive import SensitiveBytes
from taptill.credential.adapters.file_keystore import FileKeyStore
from taptill.credential.dukpt import KeyUsage, derive_initial_key, derive_working_key
from taptill.credential.keystore import KeyStoreError
from taptill.credential.seal_card import UnusableCardNumber, seal_card

PAN = b"6228000100001117"
TRACK2 = b"6228000100001117D30122010000000000"
NONCE = bytes(range(12))


def card(pan: bytes = PAN, track2: bytes = TRACK2) -> CardNumber:
    return CardNumber(SensitiveBytes(pan), SensitiveBytes(track2), "01", "3012")


def opened(envelope: bytes, bdk: bytes, key_set_id: bytes, counter: int, bound_to: bytes) -> bytes:
    initial = derive_initial_key(bdk, key_set_id)
    key = derive_working_key(initial, key_set_id, counter, KeyUsage.DATA_ENCRYPTION)
    return AESGCM(key).decrypt(envelope[:12], envelope[12:], bound_to)


def test_the_host_reads_number_track_sequence_and_expiry(keys: FileKeyStore, bdk: bytes) -> None:
    keys.reserve(5)
    credential = seal_card(card(), keys, 5, NONCE, "P-1")
    plaintext = opened(credential.envelope, bdk, keys.key_set_id(), 5, b"P-1")
    assert {tag: value.hex().upper() for tag, value in foreign_tlv_decode(plaintext).items()} == {
        "5A": PAN.decode(),
        "57": TRACK2.decode(),
        "5F34": "01",
        "5F24": "301200",
    }
    assert (credential.masked_pan, credential.sequence_number, credential.key_counter) == ("622800******1117", "01", 5)


def test_an_odd_number_of_digits_is_padded_with_f(keys: FileKeyStore, bdk: bytes) -> None:
    keys.reserve(1)
    envelope = seal_card(card(b"6228000100001117001"), keys, 1, NONCE, "P-1").envelope
    plaintext = opened(envelope, bdk, keys.key_set_id(), 1, b"P-1")
    assert plaintext.startswith(bytes.fromhex("5A0A6228000100001117001F"))


def test_an_envelope_opens_for_its_own_payment_only(keys: FileKeyStore, bdk: bytes) -> None:
    keys.reserve(1)
    envelope = seal_card(card(), keys, 1, NONCE, "P-1").envelope
    with pytest.raises(InvalidTag):
        opened(envelope, bdk, keys.key_set_id(), 1, b"P-2")


def test_the_token_is_stable_per_card_and_says_nothing_of_it(keys: FileKeyStore) -> None:
    for counter in (1, 2, 3):
        keys.reserve(counter)
    tokens = [
        seal_card(card(), keys, 1, NONCE, "P-1").token,
        seal_card(card(), keys, 2, NONCE, "P-2").token,
        seal_card(card(b"6228000100001125"), keys, 3, NONCE, "P-3").token,
    ]
    assert tokens[0] == tokens[1] != tokens[2]
    assert len(tokens[0]) == 16


def test_the_card_number_is_wiped_afterwards(keys: FileKeyStore) -> None:
    keys.reserve(1)
    number = card()
    seal_card(number, keys, 1, NONCE, "P-1")
    assert not any(number.pan.reveal())
    assert not any(number.track2.reveal())


def test_the_card_number_is_wiped_when_the_key_is_refused(keys: FileKeyStore) -> None:
    number = card()
    with pytest.raises(KeyStoreError, match="not reserved"):
        seal_card(number, keys, 1, NONCE, "P-1")
    assert not any(number.pan.reveal())


@pytest.mark.parametrize("pan", [b"", b"6228", b"62280001000011170001", b"62280001X0001117"])
def test_a_number_no_host_takes_is_refused_without_showing_it(keys: FileKeyStore, pan: bytes) -> None:
    keys.reserve(1)
    with pytest.raises(UnusableCardNumber) as refusal:
        seal_card(card(pan), keys, 1, NONCE, "P-1")
    assert not pan or pan.decode() not in str(refusal.value)


def test_track_data_with_other_characters_is_refused(keys: FileKeyStore) -> None:
    keys.reserve(1)
    with pytest.raises(UnusableCardNumber, match="tag 57"):
        seal_card(card(track2=b"6228000100001117=3012"), keys, 1, NONCE, "P-1")


def test_neither_credential_nor_plaintext_shows_in_a_repr(keys: FileKeyStore) -> None:
    keys.reserve(1)
    assert PAN.decode() not in repr(seal_card(card(), keys, 1, NONCE, "P-1"))
    assert PAN.decode() not in repr(card())
