"""What a qPBOC or qVSDC card decides in GPO: cryptogram type and cardholder verification.

Comes in: the terminal's answer to the PDOL and the card's funds. Goes out: a decision, or the 9F6C to send with it.
Strategy: PBOC 3.0 Part 12 (JR/T 0025.12) as far as public sources tell, and the same bits of 9F66 and 9F6C in Visa's
qVSDC. The order of the tests is our own reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from taplab.card.personalisation import CardVerification, Decision

TTQ, AMOUNT, CURRENCY, TYPE = 0x9F66, 0x9F02, 0x5F2A, 0x9C

# TTQ: (octet, bit)
QUICK_SUPPORTED = (0, 0x20)  # qPBOC, EMV mode of qVSDC
OFFLINE_ONLY = (0, 0x08)
ONLINE_PIN_SUPPORTED = (0, 0x04)
SIGNATURE_SUPPORTED = (0, 0x02)
SIGNS_ONLINE = (0, 0x01)  # Visa: offline data authentication for online authorisations
ONLINE_CRYPTOGRAM_REQUIRED = (1, 0x80)
CVM_REQUIRED = (1, 0x40)
FDDA_VERSION_1 = (3, 0x80)

CTQ_ONLINE_PIN, CTQ_SIGNATURE, CTQ_CONSUMER_DEVICE = b"\x80\x00", b"\x40\x00", b"\x00\x80"
PURCHASE = b"\x00"


@dataclass(frozen=True, slots=True)
class Spendable:
    """What the card may spend by itself at one time, in its own currency (9F51)."""

    balance_minor: int
    single_limit_minor: int
    currency: bytes


def ttq_has(asked: Mapping[int, bytes], bit: tuple[int, int]) -> bool:
    octet, mask = bit
    return bool(asked.get(TTQ, bytes(4))[octet] & mask)


def decide(spendable: Spendable, blocked: bool, asked: Mapping[int, bytes]) -> Decision:
    """TC only for a purchase the funds cover at a reader that does not want the issuer; an offline-only reader gets AAC
    where another would get ARQC."""
    if blocked:
        return Decision.AAC
    if not ttq_has(asked, ONLINE_CRYPTOGRAM_REQUIRED) and funds_cover(spendable, asked):
        return Decision.TC
    return Decision.AAC if ttq_has(asked, OFFLINE_ONLY) else Decision.ARQC


def funds_cover(spendable: Spendable, asked: Mapping[int, bytes]) -> bool:
    """Whether it is a purchase in the card's currency within its limits."""
    if asked.get(CURRENCY) != spendable.currency or asked.get(TYPE, PURCHASE) != PURCHASE:
        return False
    return 0 < amount_minor(asked) <= min(spendable.single_limit_minor, spendable.balance_minor)


def amount_minor(asked: Mapping[int, bytes]) -> int:
    """9F02 as a number; 0 where its digits are none."""
    digits = asked.get(AMOUNT, b"").hex()
    return int(digits) if digits.isdecimal() else 0


def transaction_qualifiers(card: CardVerification, asked: Mapping[int, bytes]) -> bytes:
    """9F6C: the personalised bits, and one kind of verification when the reader requires it and both know it."""
    if not ttq_has(asked, CVM_REQUIRED):
        return card.qualifiers
    if card.consumer_device:
        return _either(card.qualifiers, CTQ_CONSUMER_DEVICE)
    if card.online_pin and ttq_has(asked, ONLINE_PIN_SUPPORTED):
        return _either(card.qualifiers, CTQ_ONLINE_PIN)
    if card.signature and ttq_has(asked, SIGNATURE_SUPPORTED):
        return _either(card.qualifiers, CTQ_SIGNATURE)
    return card.qualifiers


def _either(one: bytes, other: bytes) -> bytes:
    return bytes(a | b for a, b in zip(one, other, strict=True))
