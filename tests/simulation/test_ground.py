"""The ground that worlds stand on is the same in every process."""

from __future__ import annotations

import hashlib
import subprocess
import sys

from taplab.simulation.ground import Ground, common_ground
from taptill.card.proof.ca_keys import CaKeyStore

PRINT_DIGEST = "from tests.simulation.test_ground import digest, common_ground; print(digest(common_ground()))"


def digest(ground: Ground) -> str:
    """Over everything that could find its way into a journal."""
    told = hashlib.sha256()
    for name, card in sorted(ground.cards.items()):
        told.update(name.encode())
        for issued in card.applications:
            told.update(issued.track2 + issued.keys.cryptogram)
            told.update(b"".join(octets for _, octets in sorted(issued.records.items())))
    for _, octets in sorted(ground.keystore.items()):
        told.update(octets)
    told.update(ground.scheme.card.sign(bytes(127) + b"\x02"))
    return told.hexdigest()


def test_another_process_stands_on_the_same_ground() -> None:
    other = subprocess.run([sys.executable, "-c", PRINT_DIGEST], capture_output=True, text=True, check=True, timeout=60)
    assert other.stdout.strip() == digest(common_ground())


def test_what_a_key_signs_its_public_half_opens() -> None:
    for key in (common_ground().scheme.authority, common_ground().scheme.issuer, common_ground().scheme.card):
        modulus, exponent = (int.from_bytes(part, "big") for part in (key.modulus, key.exponent))
        for block in (2, 3, modulus // 7):  # a factor that is no prime would spoil each of them
            signed = int.from_bytes(key.sign(block.to_bytes(len(key.modulus), "big")), "big")
            assert pow(signed, exponent, modulus) == block


def test_the_terminal_believes_the_cards_and_knows_that_their_key_is_a_test_key() -> None:
    ground = common_ground()
    assert isinstance(ground.ca_keys, CaKeyStore)
    for own in ground.scheme.ca_keys():
        assert ground.ca_keys.find(own.rid, own.index) == own
        assert own.test


def test_both_ways_through_an_outage_are_open() -> None:
    assert common_ground().terminal.offline is not None
    assert common_ground().terminal.deferred is not None
    assert common_ground().terminal.readers == ["pcsc:counter"]
    assert common_ground().profile.name == "aes"


def test_the_ground_is_made_once() -> None:
    assert common_ground() is common_ground()
