"""Whose card is it: the accounts of the issuers this host speaks for.

Comes in: the configuration, an opened card and field 55. Goes out: an account and whether the card proved itself.
Strategy: a card number is known here only while a message is judged; everything that is kept carries the account's
name, a keyed hash of the number.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from taphost.config import CardAccount, HostConfig, Issuer
from taphost.issuer import CryptogramType, cryptogram_type, derive_card_key, is_genuine

ACCOUNT_ID_OCTETS = 16
_ATC = 0x9F36


@dataclass(frozen=True, slots=True)
class OpenedCard:
    """What the envelope held. `sequence` is 5F34 as two digits, None where the card has none."""

    pan: str = field(repr=False)
    sequence: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """A credit line. `expiry` is YYMM; `credit_minor` is what may be owed in all, in fen."""

    account_id: str
    masked_pan: str
    credit_minor: int
    expiry: str
    blocked: bool
    partial: bool
    note: str
    issuer_name: str


@dataclass(frozen=True, slots=True)
class Presentation:
    """One tap as the issuer sees it. Without `account` nobody here knows the card; `decision` is what the card itself
    decided, None unless its cryptogram is right."""

    masked_pan: str
    account: Account | None
    sequence: str | None
    atc: int
    decision: CryptogramType | None


class Accounts:
    """All accounts of one configuration, with the keys to check their cards."""

    def __init__(self, config: HostConfig) -> None:
        self._hash_key = bytes.fromhex(config.account_key)
        self._issuers = sorted(config.issuers, key=lambda issuer: len(issuer.prefix), reverse=True)
        self._card_keys: dict[str, bytes] = {}
        self._accounts: dict[str, Account] = {}
        for entry in config.accounts:
            account = self._account_of(entry)
            self._accounts[account.account_id] = account
            if entry.card_key:
                self._card_keys[account.account_id] = bytes.fromhex(entry.card_key)

    def __iter__(self) -> Iterator[Account]:
        return iter(self._accounts.values())

    def present(self, card: OpenedCard, icc: Mapping[int, bytes]) -> Presentation:
        """Finds the account and checks the cryptogram. Raises MissingCardData where field 55 lacks what that needs."""
        account = self._accounts.get(self._account_id(card.pan))
        genuine = account is not None and self._is_genuine(account, card, icc)
        return Presentation(
            masked_pan=mask_pan(card.pan),
            account=account,
            sequence=card.sequence,
            atc=int.from_bytes(icc.get(_ATC, b""), "big"),
            decision=cryptogram_type(icc) if genuine else None,
        )

    def _is_genuine(self, account: Account, card: OpenedCard, icc: Mapping[int, bytes]) -> bool:
        card_key = self._card_keys.get(account.account_id)
        if card_key is None:
            issuer = self._issuer_of(card.pan)
            if issuer is None:
                return False
            card_key = derive_card_key(bytes.fromhex(issuer.key), card.pan, card.sequence)
        return is_genuine(card_key, icc)

    def _account_of(self, entry: CardAccount) -> Account:
        issuer = self._issuer_of(entry.pan)
        return Account(
            account_id=self._account_id(entry.pan),
            masked_pan=mask_pan(entry.pan),
            credit_minor=entry.credit_minor,
            expiry=entry.expiry,
            blocked=entry.blocked,
            partial=entry.partial,
            note=entry.note,
            issuer_name=issuer.name if issuer else "",
        )

    def _issuer_of(self, pan: str) -> Issuer | None:
        return next((issuer for issuer in self._issuers if pan.startswith(issuer.prefix)), None)

    def _account_id(self, pan: str) -> str:
        digest = hmac.new(self._hash_key, b"account" + pan.encode("ascii"), hashlib.sha256).digest()
        return digest[:ACCOUNT_ID_OCTETS].hex()


def mask_pan(pan: str) -> str:
    """At most the first six and the last four digits."""
    return pan[:6] + "*" * (len(pan) - 10) + pan[-4:] if len(pan) >= 12 else "*" * len(pan)
