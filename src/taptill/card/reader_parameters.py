"""Reader parameters: which applications a terminal serves, and what their kernels are told (EMV Book A, 5.2).

Comes in: TOML text with one `[[combination]]` table per AID and kernel, or an acquirer's download record. Goes out:
`Combination`s. Strategy: the acquirer's data is complete or refused; nothing is guessed but an absent limit, which
means no limit. Mistakes are found here, with their place, and not by the first card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import msgspec

from taptill.card.kernels.c2.configuration import check_combination
from taptill.card.parameters import Combination, ProgrammeLimits
from taptill.card.tlv import MalformedTlv, flatten, parse_tlv
from taptill.errors import ConfigError, TapTillError

TTQ_OCTETS = 4
AID_OCTETS = range(5, 17)
TTQ_KERNELS = {3, 7}  # the kernels whose cards ask for 9F66
MASTERCARD_KERNEL, VISA_KERNEL = 2, 3
APPLICATION_VERSION_OCTETS = (0, 2)
PROGRAMME_ID_OCTETS_MAX = 16  # 9F5A
LIMIT_MINOR_MAX = 999_999_999_999  # twelve digits, as 9F02 has them

# The UnionPay download record of one application: what acquirers' terminals call these tags.
_RECORD_AID, _RECORD_PARTIAL, _RECORD_VERSION = 0x9F06, 0xDF01, 0x9F08
_RECORD_FLOOR_LIMIT, _RECORD_TRANSACTION_LIMIT, _RECORD_CVM_LIMIT = 0xDF19, 0xDF20, 0xDF21
# A sale says these itself; configured ones would win over it.
_OF_THE_SALE = frozenset({0x95, 0x9A, 0x9C, 0x9F02, 0x9F03, 0x9F21, 0x9F34, 0x9F37, 0x9F41, 0x5F2A})
_RECORD_KERNEL_DATA = (0xDF11, 0xDF12, 0xDF13, 0x9F1B)


class ReaderParametersRefused(TapTillError):
    """Reader parameters that are malformed or incomplete; says which combination and key."""

    code = 1205


@dataclass(frozen=True, slots=True)
class SchemeCombination:
    """A combination and the scheme it belongs to, as the configuration names it ("unionpay")."""

    scheme: str
    combination: Combination


class _Programme(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[combination.programme]]`: limits of cards whose 9F5A begins with `id` (hex; "" for every card). They only
    tighten those of the combination."""

    id: str
    transaction_limit_minor: int | None = None
    floor_limit_minor: int | None = None
    cvm_limit_minor: int | None = None
    zero_amount_allowed: bool = False
    zero_amount_offline_allowed: bool = False
    status_check: bool = False


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[combination]]`, as it is written. Octets, tags and transaction types are hex."""

    scheme: str
    aid: str
    kernel: int
    ttq: str = ""
    application_version: str = ""
    partial_match: bool = True
    zero_amount_allowed: bool = False
    zero_amount_offline_allowed: bool = False
    status_check: bool = False
    extended_selection: bool = False
    transaction_limit_minor: int | None = None
    floor_limit_minor: int | None = None
    terminal_floor_limit_minor: int | None = None
    cvm_limit_minor: int | None = None
    small_amount_limit_minor: int | None = None
    transaction_types: list[str] | None = None
    kernel_data: dict[str, str] = {}
    programme: list[_Programme] = []


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: str
    combination: list[_Table]


def parse_reader_parameters(toml_text: str, where: str = "reader parameters") -> tuple[SchemeCombination, ...]:
    """A `version` and `[[combination]]` tables. Raises ReaderParametersRefused."""
    try:
        document = msgspec.toml.decode(toml_text, type=_Document)
    except msgspec.DecodeError as broken:
        raise ReaderParametersRefused(str(broken), where=where) from broken
    if not document.combination:
        raise ReaderParametersRefused("no combinations", where=where, next_step="write [[combination]] tables")
    return tuple(_combination(table, f"{where}, combination {at}") for at, table in enumerate(document.combination, 1))


def download_record(raw: bytes, kernel_id: int, ttq: bytes) -> Combination:
    """A UnionPay AID download record (field 62) as a combination. Raises ReaderParametersRefused."""
    where = "AID download record"
    try:
        data = flatten(parse_tlv(raw, where))
    except MalformedTlv as broken:
        raise ReaderParametersRefused(broken.what, where=where) from broken
    aid = data.get(_RECORD_AID, b"")
    if len(aid) not in AID_OCTETS:
        raise ReaderParametersRefused("9F06 is no AID", where=where)
    return Combination(
        aid=aid,
        kernel_id=kernel_id,
        ttq=ttq,
        partial_match=data.get(_RECORD_PARTIAL, b"\x00") == b"\x00",
        application_version=data.get(_RECORD_VERSION, b""),
        floor_limit_minor=_amount(data, _RECORD_FLOOR_LIMIT, where),
        transaction_limit_minor=_amount(data, _RECORD_TRANSACTION_LIMIT, where),
        cvm_limit_minor=_amount(data, _RECORD_CVM_LIMIT, where),
        kernel_data={tag: data[tag] for tag in _RECORD_KERNEL_DATA if tag in data},
    )


def _combination(table: _Table, where: str) -> SchemeCombination:
    types = table.transaction_types
    try:
        combination = Combination(
            aid=bytes.fromhex(table.aid),
            kernel_id=table.kernel,
            ttq=bytes.fromhex(table.ttq),
            partial_match=table.partial_match,
            transaction_limit_minor=table.transaction_limit_minor,
            floor_limit_minor=table.floor_limit_minor,
            terminal_floor_limit_minor=table.terminal_floor_limit_minor,
            cvm_limit_minor=table.cvm_limit_minor,
            zero_amount_allowed=table.zero_amount_allowed,
            zero_amount_offline_allowed=table.zero_amount_offline_allowed,
            status_check=table.status_check,
            extended_selection=table.extended_selection,
            application_version=bytes.fromhex(table.application_version),
            transaction_types=None if types is None else frozenset(int(each, 16) for each in types),
            small_amount_limit_minor=table.small_amount_limit_minor,
            kernel_data={int(tag, 16): bytes.fromhex(value) for tag, value in table.kernel_data.items()},
            programme_limits=tuple(_programme(each) for each in table.programme),
        )
    except ValueError as broken:
        raise ReaderParametersRefused(f"not in hex: {broken}", where=where) from broken
    _check(combination, where)
    return SchemeCombination(table.scheme, combination)


def _programme(table: _Programme) -> ProgrammeLimits:
    return ProgrammeLimits(
        programme_id=bytes.fromhex(table.id),
        transaction_limit_minor=table.transaction_limit_minor,
        floor_limit_minor=table.floor_limit_minor,
        cvm_limit_minor=table.cvm_limit_minor,
        zero_amount_allowed=table.zero_amount_allowed,
        zero_amount_offline_allowed=table.zero_amount_offline_allowed,
        status_check=table.status_check,
    )


def _check(combination: Combination, where: str) -> None:
    _check_form(combination, where)
    _check_limits(combination, where)
    _check_programmes(combination, where)
    own = sorted(_OF_THE_SALE & combination.kernel_data.keys())
    if own:
        raise ReaderParametersRefused(f"{own[0]:X} is each sale's own", where=f"{where}, kernel_data")
    if combination.kernel_id == MASTERCARD_KERNEL:
        try:
            check_combination(combination)
        except ConfigError as refused:
            place = f"{where}, {refused.where}"
            raise ReaderParametersRefused(refused.what, where=place, next_step=refused.next_step) from refused


def _check_limits(combination: Combination, where: str) -> None:
    holders: list[tuple[str, Combination | ProgrammeLimits]] = [(where, combination)]
    holders += ((f"{where}, programme {at}", each) for at, each in enumerate(combination.programme_limits, 1))
    for place, holder in holders:
        for name in (each.name for each in fields(holder) if each.name.endswith("_limit_minor")):
            limit: int | None = getattr(holder, name)
            if limit is not None and not 0 <= limit <= LIMIT_MINOR_MAX:
                raise ReaderParametersRefused(f"`{name}` is no amount of up to twelve digits", where=place)


def _check_programmes(combination: Combination, where: str) -> None:
    names = [each.programme_id for each in combination.programme_limits]
    if names and combination.kernel_id != VISA_KERNEL:
        raise ReaderParametersRefused(f"programmes are known to kernel {VISA_KERNEL} alone", where=where)
    if len(set(names)) != len(names):
        raise ReaderParametersRefused("two programmes of one `id`", where=where)
    if any(len(name) > PROGRAMME_ID_OCTETS_MAX for name in names):
        raise ReaderParametersRefused(f"a programme's `id` has at most {PROGRAMME_ID_OCTETS_MAX} bytes", where=where)


def _check_form(combination: Combination, where: str) -> None:
    if len(combination.aid) not in AID_OCTETS:
        raise ReaderParametersRefused("an AID has 5 to 16 bytes", where=where)
    needs_ttq = combination.kernel_id in TTQ_KERNELS
    if len(combination.ttq) != (TTQ_OCTETS if needs_ttq else len(combination.ttq)):
        raise ReaderParametersRefused(f"kernel {combination.kernel_id} needs a `ttq` of four bytes", where=where)
    if len(combination.application_version) not in APPLICATION_VERSION_OCTETS:
        raise ReaderParametersRefused("an `application_version` has two bytes", where=where)


def _amount(data: Mapping[int, bytes], tag: int, where: str) -> int | None:
    """A numeric amount in minor units; None when the record sets none."""
    digits = data.get(tag, b"").hex()
    if not digits:
        return None
    if not digits.isdigit():
        raise ReaderParametersRefused(f"{tag:X} is no amount", where=where)
    return int(digits)
