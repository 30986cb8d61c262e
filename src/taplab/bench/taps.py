"""Taps by the thousand, each with a cryptogram of its own that the host finds genuine.

Comes in: what the terminal asks of a kernel. Goes out: `CardRead`s. Strategy: the product's kernel reads the lab's card
once; a later tap is that reading with the next transaction counter and a cryptogram that the lab's issuer key makes, so
that ten thousand of them cost no RSA signatures. `ReadCard` reads anew each time, for taps that are timed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Self

from taphost.issuer import application_cryptogram, cryptogram_input, derive_card_key, derive_session_key
from taplab.card import Scheme, load_card, packaged_cards
from taplab.card.card_file import CardFile, read_card_file
from taplab.card.in_hand import CardInHand
from taplab.provision import LabFiles
from taptill.card.outcome import CardNumber, CardRead
from taptill.card.parameters import TapRequest
from taptill.card.read_card import drive, read_card
from taptill.card.reader import Presentation
from taptill.card.sensitive import SensitiveBytes
from taptill.entropy import SystemEntropy
from taptill.errors import TapTillError
from taptill.terminal.config import CardLimits
from taptill.terminal.wiring import combinations, trusted_ca_keys

ONLINE_CARD, OFFLINE_CARD = "good_credit", "offline_funds"
READER_URL = "pcsc:bench"
CARD_TIMEOUT_MS = 3_000
_AMOUNT, _DATE, _NUMBER, _ATC, _CRYPTOGRAM = 0x9F02, 0x9A, 0x9F37, 0x9F36, 0x9F26


class CardNotRead(TapTillError):
    """The lab's own card did not come to an outcome with a card number."""

    code = 6104


class ReadCard(CardInHand):
    """One of the lab's cards, with the product's kernel to read it."""

    url = READER_URL

    def __init__(self, name: str, scheme: Path, ca_keys: Path) -> None:
        super().__init__(load_card(name, Scheme.load(scheme), SystemEntropy()))
        self._combinations = combinations(CardLimits())
        self._ca_keys = trusted_ca_keys([ca_keys])

    def read(self, request: TapRequest) -> CardRead:
        """A new presentation, read by the product's kernel."""
        self.wait_for_card(0)
        return drive(read_card(request, self._combinations, self._ca_keys), self, CARD_TIMEOUT_MS)


class ManyTaps:
    """Of one card, that decides the same each time."""

    def __init__(self, name: str, scheme: Path, ca_keys: Path) -> None:
        file: CardFile = read_card_file(packaged_cards()[name])
        self._hand = ReadCard(name, scheme, ca_keys)
        self._card_keys = (Scheme.load(scheme).issuer_key, file.pan)
        self._first: CardRead | None = None
        self._number: tuple[bytes, bytes, str | None, str] | None = None
        self._taps = 0

    @classmethod
    def online(cls, files: LabFiles) -> Self:
        """The card asks the issuer each time."""
        return cls(ONLINE_CARD, files.scheme, files.ca_keys)

    @classmethod
    def offline(cls, files: LabFiles) -> Self:
        """The card approves by itself where it may."""
        return cls(OFFLINE_CARD, files.scheme, files.ca_keys)

    def presentation(self) -> Presentation:
        return Presentation(self._hand.card.uid, "A", self._hand.card.ats)

    def read(self, request: TapRequest) -> CardRead:
        """Raises CardNotRead."""
        if self._first is None:
            self._first = self._hand.read(request)
            number = self._first.number
            if number is None:
                raise CardNotRead(self._first.outcome.reason, where=f"card {self._card_keys[1][:6]}")
            pan, track2 = bytes(number.pan.reveal()), bytes(number.track2.reveal())
            self._number = (pan, track2, number.sequence_number, number.expiry_yymm)
            self._taps = int.from_bytes(self._first.data[_ATC], "big")
            return self._first
        return self._again(self._first, request)

    def _again(self, first: CardRead, request: TapRequest) -> CardRead:
        self._taps += 1
        data = dict(first.data) | {
            _AMOUNT: bytes.fromhex(f"{request.amount.minor:012d}"),
            _DATE: bytes.fromhex(request.date_yymmdd),
            _NUMBER: request.unpredictable_number,
            _ATC: self._taps.to_bytes(2, "big"),
        }
        assert self._number is not None
        pan, track2, sequence, expiry = self._number
        card_key = derive_card_key(self._card_keys[0], self._card_keys[1], sequence)
        data[_CRYPTOGRAM] = application_cryptogram(derive_session_key(card_key, data[_ATC]), cryptogram_input(data))
        number = CardNumber(SensitiveBytes(pan), SensitiveBytes(track2), sequence, expiry)
        return replace(first, number=number, data=data)
