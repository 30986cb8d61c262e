"""What is written into a card before it leaves the issuer, and how it is to behave.

Comes in: nothing, these are shapes; card_file and pboc_personalisation fill them. Goes out: what a `Card` and its
applications answer from.
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


class Brand(Enum):
    """The scheme whose rules an application follows."""

    UNIONPAY = "unionpay"
    VISA = "visa"
    MASTERCARD = "mastercard"


class Decision(Enum):
    """The value is the cryptogram information data 9F27 (EMV Book 3, Table 15)."""

    AAC = 0x00
    TC = 0x40
    ARQC = 0x80

    @property
    def cvr_bits(self) -> int:
        """Bits 6 and 5 of the first CVR octet: 00 AAC, 10 TC, 20 ARQC."""
        return self.value >> 2


class Blocked(Enum):
    """How a card answers once its issuer has blocked the application: by cryptogram, or by refusing GPO."""

    NO = "no"
    AAC = "aac"
    REFUSES = "6985"


class Locator(Enum):
    """When the answer to GPO lists records (94)."""

    OFFLINE = "offline"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class OfflineFunds:
    """Electronic cash of PBOC 3.0, and Visa's low-value payment: balance 9F79 at the first use, limit per transaction
    9F78, ceiling 9F77. A Mastercard counts the same money in 9F50."""

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
    decide_ms: int = 0  # GPO or GENERATE AC with its cryptogram
    sign_ms: int = 0  # a dynamic signature, on top of `decide_ms`
    record_ms: int = 0


@dataclass(frozen=True, slots=True)
class CardKeys:
    """16-byte 3DES master keys of one application: cryptogram, script integrity, dynamic verification code."""

    cryptogram: bytes = field(repr=False)
    scripts: bytes = field(default=bytes(16), repr=False)
    codes: bytes = field(default=bytes(16), repr=False)


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong with an application on purpose, beside what its records hold."""

    decides: Decision | None = None  # answers this whatever it is asked
    processing_status: bytes = b""  # answers GPO with this status word
    wrong_signature: bool = False
    wrong_cryptogram: bool = False
    omits_qualifiers: bool = False  # no 9F6C
    qualifiers_differ: bool = False  # the copy of 9F6C in 9F69 is another one
    tells_cryptogram_type: bool = True  # answers 9F27; real cards leave it out, the CVR says the same


@dataclass(frozen=True, slots=True)
class Phone:
    """A payment phone: above `verifies_above_minor`, or where a Visa or UnionPay reader requires verification, the
    first tap asks its holder to look at it; the next one is verified."""

    verifies_above_minor: int = 0


@dataclass(frozen=True, slots=True)
class Qvsdc:
    """What only Visa applications have. `form_factor` is 9F6E, empty for none."""

    form_factor: bytes = b""
    locator: Locator = Locator.OFFLINE
    signs_online: bool = False  # offline data authentication for online transactions, where the reader knows it
    signature_in_record: bool = False


@dataclass(frozen=True, slots=True)
class Relay:
    """EXCHANGE RELAY RESISTANCE DATA: what the card claims, in hundreds of microseconds, and what it takes."""

    min_100us: int
    max_100us: int
    response_100us: int  # estimated time of the answer on the air
    takes_ms: int = 0


@dataclass(frozen=True, slots=True)
class MChip:
    """What only Mastercard applications have."""

    cdol1: bytes
    cdol2: bytes
    signs: bool = True  # combined dynamic data authentication
    reads_balance: bool = True  # GET DATA 9F50
    recovers: bool = True  # RECOVER AC
    relay: Relay | None = None
    udol: bytes = b""  # of a card in mag-stripe mode; empty: no COMPUTE CRYPTOGRAPHIC CHECKSUM
    track2_data: bytes = field(default=b"", repr=False)  # 9F6B


@dataclass(frozen=True, slots=True)
class Issued:
    """One application. Records are whole 70 templates by (SFI, number)."""

    brand: Brand
    aid: bytes
    fci: bytes
    pdol: bytes
    aip: bytes
    afl: bytes
    records: Mapping[tuple[int, int], bytes] = field(repr=False)
    track2: bytes = field(repr=False)  # 57
    sequence_number: bytes  # 5F34
    issuer_data: bytes  # 9F10 as personalised; what changes is filled in per transaction
    keys: CardKeys
    icc_key: RsaKey = field(repr=False)
    extended_selection: bytes = b""  # 9F29
    fdda_version: int = 1
    currency: bytes = bytes.fromhex("0156")  # 9F51
    funds: OfflineFunds = OfflineFunds()
    verification: CardVerification = CardVerification()
    compute: ComputeTime = ComputeTime()
    blocked: Blocked = Blocked.NO
    faults: Faults = Faults()
    phone: Phone | None = None
    qvsdc: Qvsdc = Qvsdc()
    mchip: MChip | None = None


@dataclass(frozen=True, slots=True)
class Personalisation:
    """One contactless card with its applications, in the order of its PPSE."""

    label: str
    ppse: bytes  # FCI of 2PAY.SYS.DDF01
    applications: tuple[Issued, ...]
    compute: ComputeTime = ComputeTime()
    uid: bytes | None = None  # None: a new random one (08 x x x) at each reset
    ats: bytes = ATS
