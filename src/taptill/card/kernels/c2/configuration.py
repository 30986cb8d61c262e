"""What a C-2 reader is set to: the book's configuration data objects (EMV Book C-2, Annex A.1).

Comes in: a combination and the sale. Goes out: a `Configuration`, by tag, with names for what the kernel asks of it.
Strategy: the book's default values, over them `Combination.kernel_data`, over them the combination's named limits where
those are lower. Two things differ from the book's defaults: mag-stripe mode is off, and floor and transaction limits
nobody set are none, as everywhere in this program: how much may stay offline is a budget's to say, before the tap
(DESIGN 5.10).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from taptill.card.bits import has_bit, without_bit
from taptill.card.dol import MalformedDol, parse_dol
from taptill.card.kernels.c2 import tags
from taptill.card.kernels.c2.data_exchange import tag_list
from taptill.card.parameters import Combination, TapRequest
from taptill.card.terminal_data import digits
from taptill.card.tlv import MalformedTlv
from taptill.errors import ConfigError

AMOUNT_OCTETS = 6
NO_LIMIT = bytes.fromhex("999999999999")

_NO_MAG_STRIPE, _NO_EMV = (0, 0x80), (0, 0x40)  # DF811B
_ON_DEVICE_CVM, _RELAY_RESISTANCE = (0, 0x20), (0, 0x10)
_COMBINED_AUTHENTICATION = (0, 0x08)  # DF811F, third octet of 9F33
_CONTACT_CHIP = (0, 0x40)  # DF8117, first octet of 9F33
_ONLINE_PIN = (0, 0x40)  # DF8118 and DF8119, second octet of 9F33

# EMV Book C-2, A.1: default values. DF8131: mask, value, message, status of each entry.
DEFAULTS: Mapping[int, bytes] = MappingProxyType(
    {
        0x9F40: bytes(5),
        0x9F09: bytes.fromhex("0002"),
        tags.MAG_STRIPE_VERSION: bytes.fromhex("0001"),
        tags.MOBILE_SUPPORT: b"\x01",
        tags.CARD_DATA_INPUT_CAPABILITY: b"\x00",
        tags.CVM_CAPABILITY_REQUIRED: b"\x00",
        tags.CVM_CAPABILITY_NOT_REQUIRED: b"\x00",
        tags.DEFAULT_UDOL: bytes.fromhex("9F6A04"),
        tags.KERNEL_CONFIGURATION: b"\x80",
        tags.TORN_LIFETIME: bytes.fromhex("012C"),
        tags.TORN_RECORDS_MAX: b"\x00",
        tags.MAG_STRIPE_CVM_REQUIRED: b"\xf0",
        tags.MAG_STRIPE_CVM_NOT_REQUIRED: b"\xf0",
        tags.SECURITY_CAPABILITY: b"\x00",
        tags.TAC_DEFAULT: bytes.fromhex("840000000C"),
        tags.TAC_DENIAL: bytes.fromhex("840000000C"),
        tags.TAC_ONLINE: bytes.fromhex("840000000C"),
        tags.FLOOR_LIMIT: NO_LIMIT,
        tags.TRANSACTION_LIMIT: NO_LIMIT,
        tags.TRANSACTION_LIMIT_ON_DEVICE: NO_LIMIT,
        tags.CVM_LIMIT: bytes(AMOUNT_OCTETS),
        tags.TIME_OUT: bytes.fromhex("01F4"),
        tags.MESSAGE_HOLD_TIME: bytes.fromhex("000013"),
        tags.HOLD_TIME: b"\x0d",
        tags.PHONE_MESSAGES: bytes.fromhex(
            "000001 000001 2000 000800 000800 2000 000400 000400 2000"
            "000100 000100 2000 000200 000200 2000 000000 000000 0700"
        ),
        tags.RELAY_GRACE_MIN: bytes.fromhex("0014"),
        tags.RELAY_GRACE_MAX: bytes.fromhex("0032"),
        tags.RELAY_EXPECTED_COMMAND: bytes.fromhex("0012"),
        tags.RELAY_EXPECTED_RESPONSE: bytes.fromhex("0018"),
        tags.RELAY_ACCURACY: bytes.fromhex("012C"),
        tags.RELAY_MISMATCH: b"\x32",
    }
)
_ANY_LENGTH = frozenset({tags.DEFAULT_UDOL, tags.PHONE_MESSAGES})
_LIMITS = (tags.FLOOR_LIMIT, tags.TRANSACTION_LIMIT, tags.TRANSACTION_LIMIT_ON_DEVICE, tags.CVM_LIMIT)
_DECIMAL = frozenset({*_LIMITS, tags.MESSAGE_HOLD_TIME})
PHONE_MESSAGE_OCTETS = 8
HOLD_UNIT_MS = 100  # of DF812D and DF8130
_NEXT_STEP = "see EMV Book C-2, A.1"
_PUBLIC_TAGS_MAX = 0xFFFF  # DF81xx and DF83xx have three octets


@dataclass(frozen=True, slots=True)
class Configuration:
    """Every configured data object by tag."""

    values: Mapping[int, bytes] = field(repr=False)

    @classmethod
    def of(cls, combination: Combination, request: TapRequest) -> Configuration:
        """Raises ConfigError for a data object of the wrong length, or one that should be digits and is not."""
        values = _configured(combination)
        values.setdefault(0x9F35, bytes([request.terminal_type]))
        if not request.pin_pad:  # DESIGN 5.11
            for tag in (tags.CVM_CAPABILITY_REQUIRED, tags.CVM_CAPABILITY_NOT_REQUIRED):
                values[tag] = without_bit(values[tag], _ONLINE_PIN)
        return cls(MappingProxyType(values))

    def number(self, tag: int) -> int:
        """A binary number."""
        return int.from_bytes(self.values[tag], "big")

    def decimal(self, tag: int) -> int:
        """A number in digits: amounts in minor units, the hold time."""
        return int(self.values[tag].hex())

    @property
    def mag_stripe(self) -> bool:
        return not has_bit(self.values[tags.KERNEL_CONFIGURATION], _NO_MAG_STRIPE)

    @property
    def emv(self) -> bool:
        return not has_bit(self.values[tags.KERNEL_CONFIGURATION], _NO_EMV)

    @property
    def on_device_verification(self) -> bool:
        return has_bit(self.values[tags.KERNEL_CONFIGURATION], _ON_DEVICE_CVM)

    @property
    def relay_resistance(self) -> bool:
        return has_bit(self.values[tags.KERNEL_CONFIGURATION], _RELAY_RESISTANCE)

    @property
    def combined_authentication(self) -> bool:
        return has_bit(self.values[tags.SECURITY_CAPABILITY], _COMBINED_AUTHENTICATION)

    @property
    def contact_chip(self) -> bool:
        return has_bit(self.values[tags.CARD_DATA_INPUT_CAPABILITY], _CONTACT_CHIP)

    def capabilities(self, cvm: bytes = b"\x00") -> bytes:
        """9F33. Its second octet is settled only when the amount meets the CVM limit (S456.32 and S456.33)."""
        return self.values[tags.CARD_DATA_INPUT_CAPABILITY] + cvm + self.values[tags.SECURITY_CAPABILITY]

    def for_card(self) -> dict[int, bytes]:
        """What a card's data object lists may ask for: everything but the kernel's private data objects."""
        return {tag: value for tag, value in self.values.items() if value and tag <= _PUBLIC_TAGS_MAX}


def check_combination(combination: Combination) -> None:
    """What `Configuration.of` would say at the first tap, and what no tap should find out. Raises ConfigError."""
    values = _configured(combination)
    try:
        parse_dol(values[tags.DEFAULT_UDOL], f"kernel_data {tags.DEFAULT_UDOL:X}")
        tag_list(values.get(tags.TAGS_TO_READ, b""))
    except (MalformedDol, MalformedTlv) as broken:
        raise ConfigError(broken.what, where=broken.where, next_step=_NEXT_STEP) from broken


def _configured(combination: Combination) -> dict[int, bytes]:
    values = dict(DEFAULTS)
    values |= {tag: value for tag, value in combination.kernel_data.items() if value or tag not in DEFAULTS}
    check_kernel_data(values)
    values |= _named(combination)
    check_kernel_data(values)
    return values


def _named(combination: Combination) -> dict[int, bytes]:
    """The named limits, unless the acquirer's data object is lower: the merchant's limits arrive here by name. A named
    CVM limit is the first amount that needs verification (EMV Book B, 3.1.1.8), DF8126 the last that needs none (EMV
    Book C-2, S456.32). One of 0 becomes 0: every sale is verified but one of no amount, which DF8126 cannot express."""
    floor, most, cvm = combination.floor_limit_minor, combination.transaction_limit_minor, combination.cvm_limit_minor
    cvm = None if cvm is None else max(cvm - 1, 0)
    floor = combination.terminal_floor_limit_minor if floor is None else floor  # as EMV Book B, 3.1.1.7
    limits = zip(_LIMITS, (floor, most, most, cvm), strict=True)
    named = {tag: digits(limit, AMOUNT_OCTETS) for tag, limit in limits if limit is not None}
    named = {tag: min(limit, combination.kernel_data.get(tag) or limit) for tag, limit in named.items()}
    if combination.application_version:
        named[0x9F09] = combination.application_version
    return named


def check_kernel_data(values: Mapping[int, bytes]) -> None:
    """Whether every data object of this kernel has its form. Raises ConfigError naming the first that has not."""
    for tag in DEFAULTS.keys() & values.keys():
        value = values[tag]
        right = len(value) == len(DEFAULTS[tag]) or tag in _ANY_LENGTH
        if tag == tags.PHONE_MESSAGES:
            right = len(value) % PHONE_MESSAGE_OCTETS == 0
        if not right or (tag in _DECIMAL and not value.hex().isdigit()):
            where = f"kernel_data {tag:X}"
            raise ConfigError(f"{value.hex().upper()} is not of its form", where=where, next_step=_NEXT_STEP)
