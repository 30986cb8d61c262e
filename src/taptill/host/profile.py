"""A host profile: how one acquirer wants to be asked, and what its answers mean, as data.

Comes in: TOML text. Goes out: `Profile`: a row per transaction (message, fields, what silence means), the answer codes
with a verdict for the machine and words for people, and what all messages share.
Strategy: acquirers differ here and nowhere else, so nothing of this is code. Loading is strict: an unknown key, a field
without format or a code named twice is an error that says where.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Annotated, Literal

import msgspec

from taptill.errors import TapTillError
from taptill.host.codec import FIELDS
from taptill.host.exchange import SilenceMeans, Verdict

AES_PROFILE = files("taptill.host") / "profiles" / "aes.toml"

Mti = Annotated[str, msgspec.Meta(pattern="^[0-9]{4}$")]
Hex = Annotated[str, msgspec.Meta(pattern="^([0-9A-F]{2})+$")]
Code = Annotated[str, msgspec.Meta(pattern="^[0-9A-Z]{2}$")]
Milliseconds = Annotated[int, msgspec.Meta(gt=0)]
PrivatePart = Literal["ksn", "envelope", "token", "payment_ref"]
ReplyText = Literal["", "status", "sign_on"]


class ProfileError(TapTillError):
    """The profile's text is not a profile."""

    code = 3103


class Texts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One sentence in both languages."""

    zh: str = msgspec.field(name="zh-CN")
    en: str

    def of(self, language: str) -> str:
        """`"zh-CN"` or `"en"`; English for any other."""
        return self.zh if language == "zh-CN" else self.en


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What DE39 means. `codes` share verdict and words."""

    codes: tuple[Code, ...]
    verdict: Verdict
    cashier: Texts
    customer: Texts
    next_step: Texts


class IccSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tags of DE55 in their order, in hex."""

    required: tuple[Hex, ...]
    optional: tuple[Hex, ...] = ()


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One transaction. DE60 is `transaction_type` (60.1), batch, `network_code` (60.3), `terminal_part` (60.4 on)."""

    mti: Mti
    reply_mti: Mti
    processing_code: str = ""
    condition: str = ""
    transaction_type: str
    network_code: str = "000"
    terminal_part: str = ""
    fields: tuple[int, ...]
    optional_fields: tuple[int, ...] = ()
    private_data: tuple[PrivatePart, ...]
    icc: str = ""  # which set of icc_sets goes into DE55
    silence: SilenceMeans
    closing_codes: tuple[Code, ...] = ()  # answers after which a debt of this row is closed
    parking_codes: tuple[Code, ...] = ()  # refusals of the message, not of the card: left to the operator
    unlisted_code: Verdict = Verdict.DECLINED  # an answer code this profile does not know
    shares_original_key: bool = False  # goes out under STAN and batch of the original
    batch_from_host: bool = False  # the answer may name another batch than the question
    reply_text: ReplyText = ""  # layout of DE62 in the answer


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`window` is how many debts may be under way unanswered."""

    name: str
    tpdu: Annotated[str, msgspec.Meta(pattern="^60[0-9A-F]{8}$")]
    header: Annotated[str, msgspec.Meta(pattern="^[0-9A-F]{12}$")]
    currency: Annotated[str, msgspec.Meta(pattern="^[0-9]{3}$")]
    entry_mode: Annotated[str, msgspec.Meta(pattern="^[0-9]{3}$")]
    window: Annotated[int, msgspec.Meta(gt=0)]
    connect_timeout_ms: Milliseconds
    late_answer_ms: Milliseconds  # how long an answer to a lost question is still recognised
    unauthenticated_declines: bool
    icc_sets: dict[str, IccSet]
    rows: dict[str, Row]
    answers: tuple[Answer, ...]
    unlisted_answer: Answer

    def row(self, name: str) -> Row:
        """Raises ProfileError for a transaction this host does not offer."""
        row = self.rows.get(name)
        if row is None:
            raise ProfileError(f"this host has no {name!r}", where=f"profile {self.name}")
        return row

    def answer(self, code: str) -> Answer:
        """Verdict and words of a code; `unlisted_answer` for one that is not in the table."""
        return next((answer for answer in self.answers if code in answer.codes), self.unlisted_answer)

    def verdict(self, row: Row, code: str) -> Verdict:
        """What `code` means as an answer to `row`."""
        answer = self.answer(code)
        return row.unlisted_code if answer is self.unlisted_answer else answer.verdict


def load_profile(text: str) -> Profile:
    """Raises ProfileError naming the place."""
    try:
        profile = msgspec.convert(tomllib.loads(text), Profile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ProfileError(str(error), where="profile") from None
    for name, row in profile.rows.items():
        _check_row(profile, name, row)
    _check_codes(profile)
    return profile


def _check_row(profile: Profile, name: str, row: Row) -> None:
    where = f"profile {profile.name}, rows.{name}"
    named = row.fields + row.optional_fields
    if len(set(named)) != len(named) or not set(named) <= FIELDS.keys():
        raise ProfileError("a field stands twice, or has no format", where=where)
    if row.icc and row.icc not in profile.icc_sets:
        raise ProfileError(f"there is no ICC set {row.icc!r}", where=where)
    if bool(row.icc) != (55 in named):
        raise ProfileError("DE55 and `icc` come together", where=where)


def _check_codes(profile: Profile) -> None:
    seen: set[str] = set()
    for answer in profile.answers:
        for code in answer.codes:
            if code in seen:
                raise ProfileError(f"code {code} stands twice", where=f"profile {profile.name}, answers")
            seen.add(code)
