"""What is written into a card before it leaves the issuer.

Comes in: nothing, these are shapes; card_file and pboc_personalisation fill them. Goes out: what `Card` answers from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from taplab.card.rsa_key import RsaKey

# ISO/IEC 14443-4, 5.2: TL, T0 (FSCI 8: 256 bytes; TA, TB, TC follow), TA (106 kbit/s only), TB (FWI 8, 77 ms; no guard
# time), TC (CID, no NAD), historical bytes.
HISTORICAL_BYTES = b"TapLab"
ATS = bytes([5 + len(HISTORICAL_BYTES), 0x78, 0x80, 0x80, 0x02]) + HISTORICAL_BYTES


class Blocked(Enum):
    """How a card answers GPO once its issuer has blocked the application."""

    NO = "no"
    AAC = "aac"
    REFUSES = "6985"


@dataclass(frozen=True, slots=True)
class OfflineFunds:
    """The electronic cash of PBOC 3.0: balance 9F79 at the first use, single transaction limit 9F78, ceiling 9F77."""

    balance_minor: int = 0
    single_limit_minor: int = 0
    ceiling_minor: int = 0


@dataclass(frozen=True, slots=True)
class CardVerification:
    """What the card may ask for in 9F6C when the reader requires cardholder verification. `qualifiers`: 9F6C without
    those bits."""

    online_pin: bool = False
    signature: bool = False
    consumer_device: bool = False
    qualifiers: bytes = bytes(2)


@dataclass(frozen=True, slots=True)
class ComputeTime:
    """How long the card thinks, in milliseconds per kind of work."""

    select_ms: int = 0
    decide_ms: int = 0  # GPO with its cryptogram
    sign_ms: int = 0  # fDDA, on top of `decide_ms`
    record_ms: int = 0


@dataclass(frozen=True, slots=True)
class Personalisation:
    """One contactless card with one application. Records are whole 70 templates by (SFI, number)."""

    label: str
    ppse: bytes  # FCI of 2PAY.SYS.DDF01
    aid: bytes
    fci: bytes  # FCI of the application
    pdol: bytes
    aip: bytes
    afl: bytes
    records: Mapping[tuple[int, int], bytes] = field(repr=False)
    track2: bytes = field(repr=False)  # 57
    sequence_number: bytes  # 5F34
    issuer_data: bytes  # 9F10 as personalised; CVR, balance and MAC are filled in per transaction
    card_key: bytes = field(repr=False)  # 16-byte 3DES master key of the application cryptogram
    icc_key: RsaKey = field(repr=False)
    currency: bytes = bytes.fromhex("0156")  # 9F51
    funds: OfflineFunds = OfflineFunds()
    verification: CardVerification = CardVerification()
    compute: ComputeTime = ComputeTime()
    blocked: Blocked = Blocked.NO
    tells_cryptogram_type: bool = True  # answers 9F27; real cards leave it out, the CVR says the same
    uid: bytes | None = None  # None: a new random one (08 x x x) at each reset
    ats: bytes = ATS
