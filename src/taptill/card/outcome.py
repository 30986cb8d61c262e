"""What a tap came to: the outcome and user interface request of EMV Book A, 6.2 and 7.1, and what the card said.

Comes in: nothing, these are shapes. Goes out: `CardRead`, the one thing the stages below read of a tap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from taptill.card.sensitive import SensitiveBytes
from taptill.card.torn import TornRecord


class OutcomeKind(Enum):
    """EMV Book A, 6.2."""

    APPROVED = "approved"
    DECLINED = "declined"
    ONLINE_REQUEST = "online request"
    TRY_AGAIN = "try again"
    SELECT_NEXT = "select next"
    TRY_ANOTHER_INTERFACE = "try another interface"
    END_APPLICATION = "end application"


class Start(Enum):
    """Where the entry point goes on after the outcome (EMV Book B, 3.1 to 3.5)."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"


class Cvm(Enum):
    """Cardholder verification the kernel asks for."""

    NONE = "none"
    SIGNATURE = "signature"
    ONLINE_PIN = "online PIN"
    CONSUMER_DEVICE = "consumer device"  # EMV Book A: "confirmation code verified"
    NOT_APPLICABLE = "N/A"


class MessageId(IntEnum):
    """EMV Book A, 9.4."""

    APPROVED = 0x03
    NOT_AUTHORISED = 0x07
    PLEASE_ENTER_PIN = 0x09
    PROCESSING_ERROR = 0x0F
    REMOVE_CARD = 0x10
    WELCOME = 0x14
    PRESENT_CARD = 0x15
    PROCESSING = 0x16
    CARD_READ_OK = 0x17
    INSERT_OR_SWIPE = 0x18
    PRESENT_ONE_CARD_ONLY = 0x19
    APPROVED_PLEASE_SIGN = 0x1A
    AUTHORISING = 0x1B
    INSERT_SWIPE_OR_TRY_ANOTHER_CARD = 0x1C
    INSERT_CARD = 0x1D
    CLEAR_DISPLAY = 0x1E
    SEE_PHONE = 0x20
    PRESENT_CARD_AGAIN = 0x21


class UiStatus(IntEnum):
    """EMV Book A, 7.1."""

    NOT_APPLICABLE = 0
    NOT_READY = 1
    IDLE = 2
    READY_TO_READ = 3
    PROCESSING = 4
    CARD_READ_SUCCESSFULLY = 5
    PROCESSING_ERROR = 6


class OnlineResponse(Enum):
    """EMV Book A, 6.2: what the entry point waits for before it is restarted."""

    EMV_DATA = "EMV data"  # something of the issuer's for the card
    ANY = "any"  # whatever comes, and if nothing comes


class AlternateInterface(Enum):
    """EMV Book A, 6.2: where the same card may go instead."""

    CONTACT_CHIP = "contact chip"
    MAGNETIC_STRIPE = "magnetic stripe"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class UiRequest:
    """What lights, tones and text are asked to show."""

    message: MessageId
    status: UiStatus
    hold_ms: int = 0
    language_preference: str = ""
    value_qualifier: str = ""  # "amount" or "balance" where `value_minor` is to be shown
    value_minor: int | None = None
    currency: str = ""  # ISO 4217 number


@dataclass(frozen=True, slots=True)
class Outcome:
    """EMV Book A, 6.2: the outcome with all its parameters."""

    kind: OutcomeKind
    start: Start | None = None
    online_response: OnlineResponse | None = None
    cvm: Cvm = Cvm.NOT_APPLICABLE
    ui_on_outcome: UiRequest | None = None
    ui_on_restart: UiRequest | None = None
    alternate_interface: AlternateInterface | None = None
    receipt: bool = False
    field_off_hold_ms: int | None = None
    removal_timeout_ms: int = 0
    reason: str = ""  # a stable word for why, e.g. "expired", "oda-failed", "no-ca-key"


class CryptogramType(Enum):
    """EMV Book 3, 6.5.5.2."""

    AAC = "AAC"
    TC = "TC"
    ARQC = "ARQC"


class OdaMethod(Enum):
    NONE = "none"
    SDA = "SDA"
    DDA = "DDA"
    FDDA = "fDDA"
    CDA = "CDA"


class OdaVerdict(Enum):
    PASSED = "passed"
    FAILED = "failed"
    NOT_PERFORMED = "not performed"


@dataclass(frozen=True, slots=True)
class Oda:
    """Offline data authentication: which method, how it ended, and the reason in words."""

    method: OdaMethod = OdaMethod.NONE
    verdict: OdaVerdict = OdaVerdict.NOT_PERFORMED
    reason: str = ""
    test_key: bool = False  # the CA key is a test key: the receipt has to say so
    signed_data: Mapping[int, bytes] = field(default_factory=dict, compare=False)  # what only a signature says: 9F4C


@dataclass(frozen=True, slots=True)
class CardNumber:
    """The sensitive part of a tap. PAN and track 2 are ASCII digits (track 2 with `D`), no padding."""

    pan: SensitiveBytes
    track2: SensitiveBytes
    sequence_number: str | None  # two digits, 5F34
    expiry_yymm: str


@dataclass(frozen=True, slots=True)
class CardRead:
    """One tap, as the rest of the sale sees it. `data` never holds 5A, 57, 56, 9F6B, 5F20."""

    outcome: Outcome
    aid: bytes = b""
    kernel: str = ""  # "C-7"
    label: str = ""
    number: CardNumber | None = None
    data: Mapping[int, bytes] = field(default_factory=dict)
    oda: Oda = Oda()
    tvr: bytes = bytes(5)
    tsi: bytes = bytes(2)
    cryptogram_type: CryptogramType | None = None
    torn_record: TornRecord | None = None  # to be kept for the next presentation of this card (EMV Book C-2, 3.7)
    recovered: bool = False  # the cryptogram is that of a torn record: the card made it in an earlier presentation
