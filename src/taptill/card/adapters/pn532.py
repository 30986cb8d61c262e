"""A PN532 on a serial line as CardReader: `pn532:/dev/ttyAMA0`.

Comes in: the calls of the port. Goes out: presentations and responses, CardLost, ReaderLost.
Strategy: the chip runs ISO/IEC 14443-4 itself (automatic RATS, InDataExchange), so an APDU is one chip command. Two
targets are asked for, because two cards in the field are a collision. A card has left when it answers neither its
protocol nor, with the field freshly reset, three requests: halted, mute and confused cards count as still there.
Type A only; the chip's ISO-DEP timeout is the card's own, ours aborts the command.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from taptill.card.adapters.pn532_bring_up import (
    COMMAND_TIMEOUT_MS,
    FIELD_OFF,
    GET_FIRMWARE_VERSION,
    RF_CONFIGURATION,
    OpenChip,
    bring_up,
)
from taptill.card.reader import CardLost, Presentation, RawResponse, ReaderLost
from taptill.clock import Clock
from taptill.errors import ConfigError

SET_PARAMETERS = 0x12
IN_DATA_EXCHANGE = 0x40
IN_COMMUNICATE_THRU = 0x42
IN_LIST_PASSIVE_TARGET = 0x4A

AUTOMATIC_RATS = b"\x10"
TYPE_A_106 = 0x00
LISTING_RETRIES = b"\x05\x01\x01\x02"  # RFConfiguration item 5: ATR, PSL, passive activation
FIRST_TARGET = 0x01
MORE = 0x40  # MI: beside Tg in a command, beside the status in a response
STATUS = 0x3F
CHIP_IS_AT_FAULT = {0x0D, 0x0E, 0x10, 0x26, 0x2D}  # heat, buffer, parameter, configuration, over-current
DATA_OCTETS_MAX = 262  # one InDataExchange (UM0701-02, 7.3.8)
R_NAK = b"\xb2"  # answered by a card in its protocol, without consequences (ISO/IEC 14443-4, 7.5.5 rules 11, 12)
SAK_ISO_DEP = 0x20

LISTING_TIMEOUT_MS = 300
POLL_PERIOD_MS = 20
PRESENCE_PERIOD_MS = 50
FIELD_RESET_S = 0.006  # EMV Contactless Book D resets a card with 5.1 to 10 ms without field
EMPTY_POLLS_FOR_REMOVAL = 3

URL = re.compile(r"pn532:(/[\w./:+-]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ListedCard:
    """One target of InListPassiveTarget."""

    uid: bytes
    ats: bytes


class Pn532Reader:
    """See CardReader. Raises ConfigError for a URL that is no `pn532:` and absolute path."""

    def __init__(self, url: str, clock: Clock) -> None:
        match = URL.fullmatch(url)
        if match is None:
            raise ConfigError("not of the form pn532:/dev/...", where=f"reader {url!r}")
        self.url = url
        self._path = match[1]
        self._clock = clock
        self._chip: OpenChip | None = None
        # A presentation has been given out and the field was not seen empty since. Closing does not end it: a card that
        # still lies there when the reader comes back is no second tap.
        self._reported = False
        self._ready = False  # one activated card, no exchange broken off
        self._in_protocol = False  # some card answers blocks

    def open(self) -> None:
        self.close()
        self._chip = bring_up(self._path, self.url, self._clock)
        try:
            self._settle(SET_PARAMETERS, AUTOMATIC_RATS)
            self._settle(RF_CONFIGURATION, LISTING_RETRIES)
            self._reset_field()
        except ReaderLost:
            self.close()
            raise

    def close(self) -> None:
        if self._chip:
            self._chip.close()
        self._chip = None
        self._ready = self._in_protocol = False

    def wait_for_card(self, timeout_ms: int) -> Presentation | None:
        until_us = self._in_ms(timeout_ms)
        if self._reported and not self._has_left(until_us):
            return None
        while True:
            asked_us = self._clock.monotonic_us()
            if cards := self._list(targets_max=2):
                self._reported = True
                self._ready = len(cards) == 1
                return Presentation(cards[0].uid, "A", cards[0].ats, cards_in_field=len(cards))
            if not self._pause(asked_us + POLL_PERIOD_MS * 1000, until_us):
                return None

    def transmit(self, command: bytes, timeout_ms: int) -> RawResponse:
        if not self._ready:
            raise self._card_lost("no card is activated")
        started_us = self._clock.monotonic_us()
        until_us = started_us + timeout_ms * 1000
        self._ready = False
        while len(command) > DATA_OCTETS_MAX:
            self._exchange(FIRST_TARGET | MORE, command[:DATA_OCTETS_MAX], until_us)
            command = command[DATA_OCTETS_MAX:]
        octets, more = self._exchange(FIRST_TARGET, command, until_us)
        while more:
            rest, more = self._exchange(FIRST_TARGET, b"", until_us)
            octets += rest
        self._ready = True
        return RawResponse(octets, self._clock.monotonic_us() - started_us)

    def wait_for_removal(self, timeout_ms: int) -> bool:
        return self._has_left(self._in_ms(timeout_ms))

    def _exchange(self, tg: int, data: bytes, until_us: int) -> tuple[bytes, bool]:
        left_ms = max(1, (until_us - self._clock.monotonic_us()) // 1000)
        response = self._command(IN_DATA_EXCHANGE, bytes([tg]) + data, left_ms)
        if response is None:
            self._settle(GET_FIRMWARE_VERSION, b"")  # the chip itself must still be there
            raise self._card_lost("the card does not answer in time")
        status = self._status(response)
        if status in CHIP_IS_AT_FAULT:
            raise ReaderLost(f"chip error {status:02X}", where=self.url, next_step="open the reader again")
        if status:
            raise self._card_lost(f"the exchange failed, chip error {status:02X}")
        return response[1:], bool(response[0] & MORE)

    def _has_left(self, until_us: int) -> bool:
        """Asks until the card is gone or the time is over; a field that looks empty is asked to the end."""
        empty_polls = 0
        while empty_polls < EMPTY_POLLS_FOR_REMOVAL:
            asked_us = self._clock.monotonic_us()
            if not self._answers():
                empty_polls += 1
                continue
            empty_polls = 0
            if not self._pause(asked_us + PRESENCE_PERIOD_MS * 1000, until_us):
                return False
        self._reported = self._ready = self._in_protocol = False
        return True

    def _answers(self) -> bool:
        if self._in_protocol:
            response = self._command(IN_COMMUNICATE_THRU, R_NAK, COMMAND_TIMEOUT_MS)
            if response is not None and self._status(response) == 0:
                return True
        self._ready = False
        self._reset_field()
        return bool(self._list(targets_max=1))

    def _reset_field(self) -> None:
        """Off long enough for every card to forget; the next listing switches on. A card that some process left in
        its protocol answers no request otherwise."""
        self._settle(RF_CONFIGURATION, FIELD_OFF)
        time.sleep(FIELD_RESET_S)

    def _list(self, targets_max: int) -> list[ListedCard]:
        """The cards that answer a request now, activated. The chip switches the field on where it was off."""
        data = self._command(IN_LIST_PASSIVE_TARGET, bytes([targets_max, TYPE_A_106]), LISTING_TIMEOUT_MS)
        if data is None:
            raise ReaderLost("the chip does not finish looking for cards", where=self.url, next_step="open it again")
        try:
            cards = parse_listing(data)
        except ValueError as error:
            raise ReaderLost(str(error), where=self.url, next_step="open the reader again") from error
        self._in_protocol = any(card.ats for card in cards)
        return cards

    def _settle(self, code: int, data: bytes) -> bytes:
        response = self._command(code, data, COMMAND_TIMEOUT_MS)
        if response is None:
            raise ReaderLost(f"command {code:02X} is not answered", where=self.url, next_step="open the reader again")
        return response

    def _command(self, code: int, data: bytes, timeout_ms: int) -> bytes | None:
        if self._chip is None:
            raise ReaderLost("the reader is not open", where=self.url)
        return self._chip.link.command(code, data, timeout_ms)

    def _status(self, response: bytes) -> int:
        if not response:
            raise ReaderLost("a response without status", where=self.url, next_step="open the reader again")
        return response[0] & STATUS

    def _pause(self, until_us: int, deadline_us: int) -> bool:
        """Wait for the next turn; False if the deadline comes first."""
        now_us = self._clock.monotonic_us()
        time.sleep(max(0, min(until_us, deadline_us) - now_us) / 1e6)
        return until_us < deadline_us

    def _in_ms(self, duration_ms: int) -> int:
        return self._clock.monotonic_us() + duration_ms * 1000

    def _card_lost(self, what: str) -> CardLost:
        return CardLost(what, where=self.url, next_step="hold the card still and tap again")


def parse_listing(data: bytes) -> list[ListedCard]:
    """The response of InListPassiveTarget for type A (UM0701-02, 7.3.5): per card its number, SENS_RES, SEL_RES, and
    UID and ATS with their length bytes. Raises ValueError where it is cut short."""
    if not data:
        raise ValueError("a listing without its number of targets")
    cards, rest = [], data[1:]
    for number in range(1, data[0] + 1):
        if len(rest) < 5 or len(rest) < 5 + rest[4]:
            raise ValueError(f"the data of target {number} are cut short")
        sak, uid, rest = rest[3], rest[5 : 5 + rest[4]], rest[5 + rest[4] :]
        ats_octets = rest[0] if sak & SAK_ISO_DEP and rest else 0
        if ats_octets > len(rest):
            raise ValueError(f"the ATS of target {number} is cut short")
        cards.append(ListedCard(uid, rest[:ats_octets]))
        rest = rest[ats_octets:]
    return cards
