"""Writing the message of one profile row.

Comes in: the row's name, the facts of the attempt, the key store. Goes out: a `HostRequest` with its final bytes.
Strategy: one small function per field; the row says which fields are written and in which set card data goes along. The
MAC comes last, so what is journaled, sent and repeated are the same bytes. A fact the row needs and does not get is an
error of this terminal, raised before anything is journaled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from taptill.card.tlv import encode_tlv
from taptill.credential.keystore import KeyStore
from taptill.errors import TapTillError
from taptill.host.codec import (
    MAC_FIELD,
    MAC_OCTETS,
    IsoMessage,
    PrivateData,
    encode_message,
    encode_private_data,
    mac_input,
    wrap,
)
from taptill.host.exchange import HostRequest, MatchKey
from taptill.host.profile import Profile, Row

TERMINAL_ID_CHARACTERS = 8
MERCHANT_ID_CHARACTERS = 15
BATCH_FROM_HOST = 0  # stands in the match key where the host names the batch


class ComposeError(TapTillError):
    """A row asks for a fact that was not given."""

    code = 3104


@dataclass(frozen=True, slots=True)
class OriginalRef:
    """The transaction a query or reversal is about. `date_mmdd` is the local date it was sent."""

    batch: int
    stan: int
    date_mmdd: str
    auth_code: str = ""
    rrn: str = ""


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """Everything that may stand in a message. `local_time` is YYYYMMDDhhmmss; `icc` is `CardRead.data`, with 8A where
    the terminal decided; an `envelope` was sealed under `key_counter`; `reversal_reason` is 98, A0 or 06."""

    terminal_id: str
    merchant_id: str
    stan: int
    batch: int
    key_counter: int
    local_time: str
    amount_minor: int | None = None
    card_sequence: str | None = None
    icc: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    token: bytes = b""
    envelope: bytes = field(default=b"", repr=False)
    payment_ref: str | None = None
    original: OriginalRef | None = None
    reversal_reason: str = ""


def compose(profile: Profile, row_name: str, facts: RequestFacts, keys: KeyStore) -> HostRequest:
    """The row's message, ready to send. Raises ComposeError, ProfileError, MalformedMessage (a fact that does not fit
    its field), KeyStoreError (a counter that was not reserved)."""
    row = profile.row(row_name)
    draft = _Draft(profile, row_name, row, facts, keys.key_set_id())
    unsigned = mac_input(encode_message(IsoMessage(row.mti, _fields(draft))))
    message = unsigned + keys.request_mac(facts.key_counter, unsigned)
    return HostRequest(
        row=row_name,
        key=MatchKey(_terminal_id(facts.terminal_id), draft.key_batch, draft.stan, row.reply_mti),
        key_counter=facts.key_counter,
        amount_minor=facts.amount_minor if 4 in row.fields else None,
        payment_ref=facts.payment_ref,
        wire=wrap(bytes.fromhex(profile.tpdu), bytes.fromhex(profile.header), message),
    )


@dataclass(frozen=True, slots=True)
class _Draft:
    """A message being written."""

    profile: Profile
    row_name: str
    row: Row
    facts: RequestFacts
    key_set_id: bytes

    @property
    def original(self) -> OriginalRef:
        if self.facts.original is None:
            raise self.lack("the original transaction")
        return self.facts.original

    @property
    def stan(self) -> int:
        return self.original.stan if self.row.shares_original_key else self.facts.stan

    @property
    def batch(self) -> int:
        return self.original.batch if self.row.shares_original_key else self.facts.batch

    @property
    def key_batch(self) -> int:
        return BATCH_FROM_HOST if self.row.batch_from_host else self.batch

    def lack(self, what: str) -> ComposeError:
        return ComposeError(f"{what} is missing", where=f"row {self.row_name}")


def _fields(draft: _Draft) -> dict[int, str | bytes]:
    """DE64 is there to count in the bitmap, its content comes after all others."""
    row = draft.row
    written: dict[int, str | bytes] = {}
    for number in sorted(row.fields + row.optional_fields):
        content = _WRITERS[number](draft)
        if content:
            written[number] = content
        elif number in row.fields:
            raise draft.lack(f"DE{number}")
    return written


def _amount(draft: _Draft) -> str:
    return "" if draft.facts.amount_minor is None else f"{draft.facts.amount_minor:012d}"


def _card_sequence(draft: _Draft) -> str:
    return draft.facts.card_sequence.rjust(3, "0") if draft.facts.card_sequence else ""


def _icc(draft: _Draft) -> bytes:
    """DE55 in the order of the set. Without one required tag the field is absent as a whole."""
    if not draft.row.icc:
        return b""
    wanted = draft.profile.icc_sets[draft.row.icc]
    icc = draft.facts.icc
    missing = [tag for tag in wanted.required if int(tag, 16) not in icc]
    if missing and 55 in draft.row.fields:
        raise draft.lack(f"card data {', '.join(missing)}")
    tags = () if missing else (int(tag, 16) for tag in wanted.required + wanted.optional)
    return b"".join(encode_tlv(tag, icc[tag]) for tag in tags if tag in icc)


def _private_data(draft: _Draft) -> bytes:
    facts, parts = draft.facts, draft.row.private_data
    found = {
        "ksn": draft.key_set_id + facts.key_counter.to_bytes(4, "big"),
        "envelope": facts.envelope,
        "token": facts.token,
        "payment_ref": (facts.payment_ref or "").encode("ascii", "replace"),
    }
    for part in parts:
        if not found[part]:
            raise draft.lack(f"{part} of DE59")
    return encode_private_data(
        PrivateData(
            ksn=found["ksn"],
            envelope=found["envelope"] if "envelope" in parts else b"",
            token=found["token"] if "token" in parts else b"",
            payment_ref=facts.payment_ref or "" if "payment_ref" in parts else "",
        )
    )


def _type_and_batch(draft: _Draft) -> str:
    row = draft.row
    return f"{row.transaction_type}{draft.batch:06d}{row.network_code}{row.terminal_part}"


def _original(draft: _Draft) -> str:
    original = draft.original
    return f"{original.batch:06d}{original.stan:06d}{original.date_mmdd}"


def _terminal_id(text: str) -> str:
    return text.ljust(TERMINAL_ID_CHARACTERS)


_WRITERS: Mapping[int, Callable[[_Draft], str | bytes]] = MappingProxyType(
    {
        3: lambda draft: draft.row.processing_code,
        4: _amount,
        11: lambda draft: f"{draft.stan:06d}",
        12: lambda draft: draft.facts.local_time[8:],
        13: lambda draft: draft.facts.local_time[4:8],
        22: lambda draft: draft.profile.entry_mode,
        23: _card_sequence,
        25: lambda draft: draft.row.condition,
        37: lambda draft: draft.original.rrn,
        38: lambda draft: draft.original.auth_code,
        39: lambda draft: draft.facts.reversal_reason,
        41: lambda draft: _terminal_id(draft.facts.terminal_id),
        42: lambda draft: draft.facts.merchant_id.ljust(MERCHANT_ID_CHARACTERS),
        49: lambda draft: draft.profile.currency,
        55: _icc,
        59: _private_data,
        60: _type_and_batch,
        61: _original,
        MAC_FIELD: lambda draft: bytes(MAC_OCTETS),
    }
)
