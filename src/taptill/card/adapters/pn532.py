"""A PN532 on a serial line as CardReader: `pn532:/dev/ttyAMA0`.

Comes in: the calls of the port. Goes out: presentations and responses, CardLost, ReaderLost.
Strategy: the chip runs ISO/IEC 14443-4 itself (automatic RATS, ATTRIB, InDataExchange), so an APDU is one chip command
and the card's own waiting time holds; ours aborts the command. Both types are polled, and where one finds a card the
other is asked too: one card only (EMV Contactless Book D, 9.3). A card has left when it answers neither its protocol
nor, with the field freshly reset, three requests: halted, mute and confused cards count as still there.
"""

from __future__ import annotations

import re
import time

from taptill.card.adapters.pn532_baud import BAUD_MAX, BaudTooHigh, slower_baud
from taptill.card.adapters.pn532_bring_up import (
    COMMAND_TIMEOUT_MS,
    FIELD_OFF,
    GET_FIRMWARE_VERSION,
    RF_CONFIGURATION,
    OpenChip,
    bring_up,
)
from taptill.card.adapters.pn532_listing import ListedCard, parse_listing_a, parse_listing_b
from taptill.card.reader import CardLost, Presentation, RawResponse, ReaderLost
from taptill.clock import Clock
from taptill.errors import ConfigError

SET_PARAMETERS = 0x12
IN_DATA_EXCHANGE = 0x40
IN_COMMUNICATE_THRU = 0x42
IN_LIST_PASSIVE_TARGET = 0x4A

AUTOMATIC_RATS = b"\x10"
TYPE_A_106 = b"\x00"
TYPE_B_106 = b"\x03\x00"  # and AFI 00: every application family
PARSERS = {TYPE_A_106: parse_listing_a, TYPE_B_106: parse_listing_b}
ONE_REQUEST_A_LISTING = b"\x05\x01\x01\x00"  # RFConfiguration item 5: no retries, the next round asks again
FIRST_TARGET = 0x01
MORE = 0x40  # MI: beside Tg in a command, beside the status in a response
STATUS = 0x3F
CHIP_IS_AT_FAULT = {0x0D, 0x0E, 0x10, 0x26, 0x2D}  # heat, buffer, parameter, configuration, over-current
DATA_OCTETS_MAX = 262  # one InDataExchange (UM0701-02, 7.3.8)
DAMAGED_RESPONSES_MAX = 3  # on one opening; a line that damages more is opened at a lower rate the next time

LISTING_TIMEOUT_MS = 300
POLL_PERIOD_MS = 20
PRESENCE_PERIOD_MS = 50
FIELD_RESET_S = 0.006  # EMV Contactless Book D resets a card with 5.1 to 10 ms without field
EMPTY_POLLS_FOR_REMOVAL = 3

URL = re.compile(r"pn532:(/[\w./:+-]+)", re.ASCII)


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
        self._baud_max = BAUD_MAX
        # A presentation has been given out and the field was not seen empty since. Closing does not end it: a card that
        # still lies there when the reader comes back is no second tap.
        self._reported = False
        self._crowded = False  # it was a collision, which ends when one card is left
        self._ready = False  # one activated card, no exchange broken off
        self._guarded_until_us = 0  # the card asked to be left alone so long (SFGT)
        self._presence_checks: tuple[bytes, ...] = ()  # of the card listed last, if it is in its protocol

    def open(self) -> None:
        self.close()
        try:
            self._chip = bring_up(self._path, self.url, self._clock, self._baud_max)
        except BaudTooHigh as stuck:
            self._baud_max = slower_baud(stuck.baud)
            raise
        self._baud_max = self._chip.baud
        try:
            self._settle(SET_PARAMETERS, AUTOMATIC_RATS)
            self._settle(RF_CONFIGURATION, ONE_REQUEST_A_LISTING)
            self._reset_field()
        except ReaderLost:
            self.close()
            raise

    def close(self) -> None:
        if self._chip:
            if self._chip.link.damaged_responses > DAMAGED_RESPONSES_MAX:
                self._baud_max = slower_baud(self._chip.baud)
            self._chip.close()
        self._chip = None
        self._ready, self._presence_checks = False, ()

    def wait_for_card(self, timeout_ms: int) -> Presentation | None:
        until_us = self._in_ms(timeout_ms)
        if self._reported and not self._crowded and not self._has_left(until_us):
            return None
        while True:
            asked_us = self._clock.monotonic_us()
            if (presentation := self._look()) is not None:
                return presentation
            period_ms = PRESENCE_PERIOD_MS if self._crowded else POLL_PERIOD_MS
            if not self._pause(asked_us + period_ms * 1000, until_us):
                return None

    def transmit(self, command: bytes, timeout_ms: int) -> RawResponse:
        if not self._ready:
            raise self._card_lost("no card is activated")
        until_us = self._in_ms(timeout_ms)
        self._leave_alone(until_us)
        self._ready = False
        elapsed_us = 0
        while len(command) > DATA_OCTETS_MAX:
            self._exchange(FIRST_TARGET | MORE, command[:DATA_OCTETS_MAX], until_us)
            elapsed_us += self._elapsed_us()
            command = command[DATA_OCTETS_MAX:]
        octets, more = self._exchange(FIRST_TARGET, command, until_us)
        elapsed_us += self._elapsed_us()
        while more:
            rest, more = self._exchange(FIRST_TARGET, b"", until_us)
            elapsed_us += self._elapsed_us()
            octets += rest
        self._ready = True
        return RawResponse(octets, elapsed_us)

    def wait_for_removal(self, timeout_ms: int) -> bool:
        return self._has_left(self._in_ms(timeout_ms))

    def _look(self) -> Presentation | None:
        """One round of polling, with what has not been reported yet."""
        if self._crowded:
            self._reset_field()
        cards = self._find()
        if len(cards) != 1 and self._crowded and cards:
            return None
        self._reported, self._crowded = bool(cards), len(cards) > 1
        if not cards:
            return None
        first = cards[0]
        self._ready = first.is_activated and not self._crowded
        self._guarded_until_us = self._clock.monotonic_us() + first.guard_us
        return Presentation(first.uid, first.technology, first.answer, len(cards), first.takes_apdus)

    def _find(self) -> list[ListedCard]:
        """The cards of both types. A single one is activated last, with a field reset in between: in its protocol it
        would not hear a request. One that takes APDUs and did not come so far is asked again in the next round."""
        for coding, other in ((TYPE_A_106, TYPE_B_106), (TYPE_B_106, TYPE_A_106)):
            if found := self._list(coding, targets_max=2):
                found += self._list(other, targets_max=2)
                break
        else:
            return []
        if len(found) == 1:
            self._reset_field()
            found = self._list(coding, targets_max=2)
        return [] if len(found) == 1 and found[0].takes_apdus and not found[0].is_activated else found

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

    def _elapsed_us(self) -> int:
        return self._chip.link.elapsed_us if self._chip else 0

    def _leave_alone(self, until_us: int) -> None:
        """Waits out what is left of the card's start-up guard time (ISO/IEC 14443-4, 5.2.5)."""
        left_us = min(self._guarded_until_us, until_us) - self._clock.monotonic_us()
        if left_us > 0:
            time.sleep(left_us / 1e6)
        if self._guarded_until_us > until_us:
            raise self._card_lost("the card asks for more time after its activation than there is")

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
        self._reported = self._crowded = self._ready = False
        self._presence_checks = ()
        return True

    def _answers(self) -> bool:
        if self._presence_checks and self._clock.monotonic_us() < self._guarded_until_us:
            return True
        for check in self._presence_checks:
            response = self._command(IN_COMMUNICATE_THRU, check, COMMAND_TIMEOUT_MS)
            if response is not None and self._status(response) == 0:
                return True
        self._ready = False
        self._reset_field()
        return any(self._list(coding, targets_max=1) for coding in PARSERS)

    def _reset_field(self) -> None:
        """Off long enough for every card to forget; the next listing switches on. A card that some process left in
        its protocol answers no request otherwise."""
        self._settle(RF_CONFIGURATION, FIELD_OFF)
        time.sleep(FIELD_RESET_S)

    def _list(self, coding: bytes, targets_max: int) -> list[ListedCard]:
        """The cards that answer a request now, activated. The chip switches the field on where it was off. A card that
        broke its activation off leaves a gap between two: then one is asked for."""
        data = self._command(IN_LIST_PASSIVE_TARGET, bytes([targets_max]) + coding, LISTING_TIMEOUT_MS)
        if data is None:
            raise ReaderLost("the chip does not finish looking for cards", where=self.url, next_step="open it again")
        try:
            cards = PARSERS[coding](data)
        except ValueError as error:
            if targets_max > 1:
                return self._list(coding, targets_max=1)
            raise ReaderLost(str(error), where=self.url, next_step="open the reader again") from error
        self._presence_checks = cards[-1].presence_checks if cards else ()
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
