"""The tables of a card file: what a card in TOML can be told.

Comes in: nothing, these are shapes. Goes out: `CardFile`, checked for types and unknown keys by msgspec.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Hex = Annotated[str, msgspec.Meta(pattern="^([0-9A-Fa-f]{2})*$")]
Word = Annotated[str, msgspec.Meta(pattern="^([0-9A-Fa-f]{4})?$")]
ActionCode = Annotated[str, msgspec.Meta(pattern="^[0-9A-Fa-f]{10}$")]
CountryOrCurrency = Annotated[str, msgspec.Meta(pattern="^[0-9]{3}$")]
Hundreds = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]


class OfflineTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the card may spend by itself."""

    balance_minor: int = 0
    single_limit_minor: int = 0
    ceiling_minor: int = 0


class VerificationTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which cardholder verification the card knows."""

    online_pin: bool = True
    signature: bool = True
    consumer_device: bool = False


class QualifiersTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Personalised bits of 9F6C (UnionPay and Visa)."""

    online_if_oda_fails: bool = False
    switch_if_oda_fails: bool = False
    online_if_expired: bool = False
    switch_for_cash: bool = False
    switch_for_cashback: bool = False
    not_at_machines: bool = False
    issuer_update: bool = False


class ComputeTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the card thinks."""

    select_ms: int = 3
    decide_ms: int = 15
    sign_ms: int = 60
    record_ms: int = 2


class FaultsTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is wrong with the card on purpose. `decides` is answered whatever the reader asks; `processing_status`
    answers GPO."""

    blocked: Literal["no", "aac", "6985"] = "no"
    decides: Literal["", "tc", "arqc", "aac"] = ""
    processing_status: Word = ""
    broken_certificate: bool = False
    expired_certificate: bool = False
    wrong_signature: bool = False
    wrong_cryptogram: bool = False
    omits_cryptogram_type: bool = False
    omits_qualifiers: bool = False
    qualifiers_differ: bool = False  # 9F69 copies another 9F6C than the answer holds


class PhoneTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The card is a phone; `verifies_above_minor` counts for a Mastercard, the others ask the reader's qualifiers."""

    verifies_above_minor: int = 0


class VisaTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What only a Visa card can be told."""

    cryptogram_version: Literal[10, 18] = 18
    form_factor: Hex = ""
    locator: Literal["offline", "always", "never"] = "offline"
    signs_online: bool = False
    signature_in_record: bool = False


class RelayTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Relay resistance: times the card claims, in hundreds of microseconds, and the time it takes."""

    min_100us: Hundreds = 20
    max_100us: Hundreds = 100
    response_100us: Hundreds = 18
    takes_ms: int = 0


class MastercardTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What only a Mastercard can be told. `cvm_list` is 8E, empty: made from [verification]; the action codes are 9F0D
    to 9F0F."""

    mode: Literal["emv", "mag-stripe"] = "emv"
    cryptogram_version: Literal["10", "11", "14", "15"] = "14"  # as in 9F10, hex
    signs: bool = True
    reads_balance: bool = True
    recovers: bool = True
    cvm_list: Hex = ""
    usage_control: Word = "FFC0"
    action_code_default: ActionCode = "F450848000"
    action_code_denial: ActionCode = "0000000000"
    action_code_online: ActionCode = "F470848000"
    relay: RelayTable | None = None


class ApplicationTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One application. Empty texts mean what is usual for the scheme; a further application has the first one's number
    and expiry unless it says otherwise."""

    pan: str = ""
    expiry: str = ""  # YYYY-MM
    scheme: Literal["unionpay", "visa", "mastercard"] = "unionpay"
    aid: Annotated[str, msgspec.Meta(pattern="^([0-9A-Fa-f]{10,32})?$")] = ""
    application_label: str = ""
    priority: Annotated[int, msgspec.Meta(ge=0, le=15)] = 1
    kernel_identifier: Hex = ""  # 9F2A
    extended_selection: Hex = ""  # 9F29
    pdol: Hex | None = None
    fdda_version: Literal[0, 1] = 1  # the highest this card knows (UnionPay and Visa)
    sequence: int = 1
    effective: str = "2020-01"
    service_code: str = "201"
    country: CountryOrCurrency = "156"
    currency: CountryOrCurrency = "156"
    offline: OfflineTable = OfflineTable()
    verification: VerificationTable = VerificationTable()
    qualifiers: QualifiersTable | None = None
    faults: FaultsTable = FaultsTable()
    phone: PhoneTable | None = None
    visa: VisaTable | None = None
    mastercard: MastercardTable | None = None


class CardFile(ApplicationTable, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One TOML file, as it is written: the card, its first application, and further ones as `[[also]]`."""

    label: str
    pan: str
    expiry: str
    uid: str = ""  # hex; empty: random
    compute: ComputeTable = ComputeTable()
    also: tuple[ApplicationTable, ...] = ()

    def applications(self) -> tuple[ApplicationTable, ...]:
        """All of them, each with its number and expiry."""
        further = (
            msgspec.structs.replace(each, pan=each.pan or self.pan, expiry=each.expiry or self.expiry)
            for each in self.also
        )
        return (self, *further)
