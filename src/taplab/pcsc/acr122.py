"""An ACR122U made of software: its pseudo-APDUs before a software PN532, for the virtual PC/SC reader.

Comes in: cards put into its field, and what PC/SC sends. Goes out: see Firmware.
Strategy: the chip is the lab's own, asked with real frames, so that what the terminal tells it directly (`FF 00 00 00`)
and what the reader does by itself meet in one place. The firmware is built from the ACR122U API, not from a reader: it
polls for one card, type A first, and tells nobody about a second.
"""

from __future__ import annotations

import threading
import time

from taplab.pcsc.firmware import SW_OK, HeldCard, get_data
from taplab.pn532.airtime import Timing
from taplab.pn532.chip import Pn532Chip
from taptill.card.adapters.pn532_frames import Frame, Framer, frame

CARD_TIMES_ONLY = Timing(uart=False, air=False, compute=True)
WAKE_UP = b"\x55\x55" + bytes(14)
FIELD_RESET_US = 6_000
ONE_RETRY, FIELD_OFF = bytes.fromhex("3205000001"), bytes.fromhex("320100")
LIST_A, LIST_B = bytes.fromhex("4a0100"), bytes.fromhex("4a010300")
MORE = 0x40

GET_DATA, DIRECT, POLLING, BEEP = (bytes.fromhex(head) for head in ("FFCA", "FF000000", "FF0051", "FF0052"))
SW_FAILED = bytes.fromhex("6300")
POLLS_FOR_ALL = 0xFF


class Acr122:
    """The reader and its field."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._chip = Pn532Chip(CARD_TIMES_ONLY)
        self._chip.receive(WAKE_UP, _now_us())
        self._cards: list[HeldCard] = []
        self._skipped_us = 0  # by which the chip's clock runs ahead
        self._ask(ONE_RETRY)
        self.polls_for = POLLS_FOR_ALL
        self.beeps = True
        self.is_talkative = True  # takes commands to its chip

    @property
    def chosen(self) -> HeldCard | None:
        with self._lock:
            target = self._chip.initiator.targets.get(1)
            listed = [card for card in self._cards if target is not None and card is target.picc.card]
            return next(iter(listed or self._cards), None)

    def present(self, card: HeldCard) -> None:
        with self._lock:
            self._cards.append(card)
            self._chip.present(card, self._time_us())

    def remove(self, card: HeldCard | None = None) -> None:
        with self._lock:
            self._cards = [held for held in self._cards if card is not None and held is not card]
            self._chip.remove(card, self._time_us())

    def power(self) -> None:
        """Chooses a card anew."""
        with self._lock:
            self._ask(FIELD_OFF)
            self._skipped_us += FIELD_RESET_US
            if self._ask(LIST_A)[0] == b"\x00":
                self._ask(LIST_B)

    def answer(self, command: bytes) -> tuple[bytes, float]:
        with self._lock:
            if command[:1] != b"\xff":
                return self._to_card(command)
            if command[:4] == DIRECT and self.is_talkative:
                response, took_ms = self._ask_raw(command[5:])
                return response + SW_OK, took_ms
            return self._pseudo_apdu(command), 0

    def _pseudo_apdu(self, command: bytes) -> bytes:
        card = self.chosen
        if command[:2] == GET_DATA and card is not None:
            return get_data(card, command)
        if command[:3] == POLLING:
            self.polls_for = command[3]
            return bytes([0x90, command[3]])
        if command[:3] == BEEP:
            self.beeps = bool(command[3])
            return SW_OK
        return SW_FAILED

    def _to_card(self, command: bytes) -> tuple[bytes, float]:
        response, took_ms = self._ask(b"\x40\x01" + command)
        data = response[1:]
        while response[0] & MORE:
            response, more_ms = self._ask(b"\x40\x01")
            data, took_ms = data + response[1:], took_ms + more_ms
        return (data if response[0] == 0 else SW_FAILED), took_ms

    def _ask(self, command: bytes) -> tuple[bytes, float]:
        """Response data of a chip command without its code."""
        response, took_ms = self._ask_raw(b"\xd4" + command)
        return response[2:], took_ms

    def _ask_raw(self, payload: bytes) -> tuple[bytes, float]:
        asked_us = self._time_us()
        self._chip.receive(frame(payload), asked_us)
        octets, now_us = b"", asked_us
        while (due_us := self._chip.due_us()) is not None:
            now_us = max(now_us, due_us)
            octets += self._chip.take_due(now_us)
        frames = [event for event in Framer().feed(octets) if isinstance(event, Frame)]
        return frames[-1].payload, (now_us - asked_us) / 1000

    def _time_us(self) -> int:
        return _now_us() + self._skipped_us


def _now_us() -> int:
    return time.monotonic_ns() // 1000
