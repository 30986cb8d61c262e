"""The PN532 towards its host: frames, acknowledgements, power, baud rate and the command table.

Comes in: bytes from the line with the time they came, cards presented and removed. Goes out: bytes for the line, each
when its time has come (`due_us`, `take_due`).
Strategy: sans-io; the caller owns clock and line. A command is acknowledged, carried out at once, and answered when
the time the air took has passed. Until then an ACK from the host aborts it and a card that leaves turns its answer
into a timeout. Unknown or malformed commands get the syntax error frame, target mode among them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from taplab.pn532.airtime import Timing, uart_us
from taplab.pn532.field import HeldCard, RfField
from taplab.pn532.initiator import TYPE_B_106, Initiator
from taplab.pn532.iso_dep import STATUS_TIMEOUT, RfFault
from taplab.pn532.registers import Registers
from taptill.card.adapters.pn532_frames import (
    SYNTAX_ERROR_PAYLOAD,
    TO_CHIP,
    TO_HOST,
    Damaged,
    Framer,
    Signal,
    frame,
)

BAUD_RATES = (9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600, 1288000)
BAUD_AT_POWER_UP = 115200
WAKE_UP_OCTETS = 5  # a sleeping chip loses what wakes it
FIRMWARE = b"\x32\x01\x06\x07"  # PN532, version 1.6, ISO/IEC 14443 A and B and 18092
WAKE_ON_SERIAL_LINE = 0x10
AUTO_POLL_PERIOD_US = 150_000
FOR_EVER = 0xFF
RF_ITEM_LENGTHS = {0x01: 1, 0x02: 3, 0x04: 1, 0x05: 3, 0x0A: 11, 0x0B: 8, 0x0C: 3, 0x0D: 9}

IN_DATA_EXCHANGE, IN_COMMUNICATE_THRU = 0x40, 0x42


class NotUnderstood(Exception):
    """Parameters that make no command."""


@dataclass(slots=True)
class Answer:
    """What will be sent at `due_us`. `if_card_leaves` replaces it when the field loses a card before."""

    octets: bytes
    due_us: int
    if_card_leaves: bytes = b""


@dataclass(slots=True)
class Search:
    """A command that waits for a card: asked again when one comes, given up at `until_us` (None: never)."""

    code: int
    attempt: Callable[[], bytes]
    until_us: int | None


class Pn532Chip:
    """One chip from power-up on. `command_log` holds every command code in order."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._framer = Framer()
        self._registers = Registers()
        self._acknowledged: list[Answer] = []
        self._answer: Answer | None = None
        self._search: Search | None = None
        self._last_frame = b""
        self._line_free_us = 0
        self._sleeps_through = WAKE_UP_OCTETS
        self._wakes_on_line = True
        self._baud_after_ack: int | None = None
        self.baud = BAUD_AT_POWER_UP
        self.field = RfField(timing)
        self.initiator = Initiator(self.field, self._registers)
        self.command_log: list[int] = []

    def understands(self, baud: int) -> bool:
        """Is the host's line speed the chip's own, or the one agreed on for after its ACK?"""
        return baud in (self.baud, self._baud_after_ack)

    def take_over_baud(self, baud: int) -> None:
        """The host already speaks at the agreed speed, so its ACK was given even where the line lost it."""
        if self._baud_after_ack == baud and not self._answer:
            self.baud, self._baud_after_ack = baud, None

    def receive(self, octets: bytes, now_us: int) -> None:
        """Bytes that arrived at a speed the chip understands."""
        if self._sleeps_through:
            lost = min(self._sleeps_through, len(octets)) if self._wakes_on_line else len(octets)
            self._sleeps_through -= lost if self._wakes_on_line else 0
            octets = octets[lost:]
        self._line_free_us = max(self._line_free_us, now_us) + self._uart_us(len(octets))
        for event in self._framer.feed(octets):
            if isinstance(event, Signal):
                self._signal(event)
            elif not isinstance(event, Damaged):
                self._command(event.payload)

    def present(self, card: HeldCard, now_us: int) -> None:
        self.field.present(card)
        self._line_free_us = max(self._line_free_us, now_us)
        self._search_again()

    def remove(self, card: HeldCard | None, now_us: int) -> None:
        """One card, or all. An exchange under way ends at once; how long a real chip goes on asking is not known."""
        self.field.remove(card)
        if self._answer and self._answer.if_card_leaves:
            self._answer.octets = self._answer.if_card_leaves
            self._answer.due_us = min(self._answer.due_us, now_us)

    def due_us(self) -> int | None:
        """When `take_due` has something next; None while nothing is under way."""
        first = self._acknowledged or ([self._answer] if self._answer else [])  # no answer overtakes its ACK
        dues = [answer.due_us for answer in first]
        if self._search and self._search.until_us is not None:
            dues.append(self._search.until_us)
        return min(dues, default=None)

    def take_due(self, now_us: int) -> bytes:
        """The bytes whose time has come."""
        if self._search and self._search.until_us is not None and self._search.until_us <= now_us:
            search, self._search = self._search, None
            self._respond(search.code, b"\x00")
        sent = b"".join(answer.octets for answer in self._acknowledged if answer.due_us <= now_us)
        self._acknowledged = [answer for answer in self._acknowledged if answer.due_us > now_us]
        if self._answer and self._answer.due_us <= now_us and not self._acknowledged:
            self._last_frame = self._answer.octets
            sent += self._last_frame
            self._answer = None
        return sent

    def _signal(self, signal: Signal) -> None:
        if signal is Signal.NACK and self._last_frame:
            self._answer = Answer(self._last_frame, self._line_free_us + self._uart_us(len(self._last_frame)))
        elif signal is Signal.ACK and self._baud_after_ack and not self._answer:
            self.take_over_baud(self._baud_after_ack)
        elif signal is Signal.ACK:
            self._answer = self._search = None

    def _command(self, payload: bytes) -> None:
        self._answer = self._search = None
        self._baud_after_ack = None
        acknowledged_us = self._line_free_us + self._uart_us(len(Signal.ACK.value))
        self._acknowledged.append(Answer(Signal.ACK.value, acknowledged_us))
        self._line_free_us = acknowledged_us
        if len(payload) < 2 or payload[0] != TO_CHIP:
            self._refuse()
            return
        code, parameters = payload[1], payload[2:]
        self.command_log.append(code)
        self.field.now_us = self._line_free_us
        try:
            data = COMMANDS[code](self, parameters)
        except (KeyError, IndexError, NotUnderstood):
            self._refuse()
        except RfFault as fault:
            self._respond(code, bytes([fault.status]))
        else:
            if data is not None:
                self._respond(code, data)

    def _respond(self, code: int, data: bytes) -> None:
        octets = frame(bytes([TO_HOST, code + 1]) + data)
        spent_us = self.field.take_spent_us()
        self._answer = Answer(octets, self._line_free_us + spent_us + self._uart_us(len(octets)))
        if code in (IN_DATA_EXCHANGE, IN_COMMUNICATE_THRU) and data[0] & 0x3F == 0:
            self._answer.if_card_leaves = frame(bytes([TO_HOST, code + 1, STATUS_TIMEOUT]))

    def _refuse(self) -> None:
        octets = frame(SYNTAX_ERROR_PAYLOAD)
        self._answer = Answer(octets, self._line_free_us + self._uart_us(len(octets)))

    def _search_again(self) -> None:
        if self._search and (data := self._search.attempt()) != b"\x00":
            code, self._search = self._search.code, None
            self._respond(code, data)

    def _uart_us(self, octets: int) -> int:
        return uart_us(octets, self.baud) if self._timing.uart else 0

    def _diagnose(self, parameters: bytes) -> bytes:
        test = parameters[0]
        if test == 0x00:
            return parameters
        if test == 0x06:
            return bytes([self.initiator.attention()])
        if test in (0x01, 0x02):  # ROM and RAM
            return b"\x00"
        raise NotUnderstood

    def _firmware_version(self, _parameters: bytes) -> bytes:
        return FIRMWARE

    def _general_status(self, _parameters: bytes) -> bytes:
        targets = self.initiator.targets
        listed = b"".join(bytes([number, 0x00, 0x00, 0x10]) for number in targets)  # 106 kbit/s each way, type A
        return bytes([0x00, self.field.on, len(targets)]) + listed + b"\x00"

    def _read_register(self, parameters: bytes) -> bytes:
        addresses = [int.from_bytes(parameters[at : at + 2], "big") for at in range(0, len(parameters), 2)]
        return bytes(self._registers.read(address) for address in addresses)

    def _write_register(self, parameters: bytes) -> bytes:
        if len(parameters) % 3:
            raise NotUnderstood
        for at in range(0, len(parameters), 3):
            self._registers.write(int.from_bytes(parameters[at : at + 2], "big"), parameters[at + 2])
        return b""

    def _set_serial_baud_rate(self, parameters: bytes) -> bytes:
        self._baud_after_ack = BAUD_RATES[parameters[0]]
        return b""

    def _set_parameters(self, parameters: bytes) -> bytes:
        self.initiator.automatic_rats = bool(parameters[0] & 0x10)
        return b""

    def _sam_configuration(self, parameters: bytes) -> bytes:
        if parameters[0] not in (1, 2, 3, 4):
            raise NotUnderstood
        return b""

    def _power_down(self, parameters: bytes) -> bytes:
        self.initiator.field_off()
        self._wakes_on_line = bool(parameters[0] & WAKE_ON_SERIAL_LINE)
        self._sleeps_through = WAKE_UP_OCTETS
        return b"\x00"

    def _rf_configuration(self, parameters: bytes) -> bytes:
        item, values = parameters[0], parameters[1:]
        if len(values) != RF_ITEM_LENGTHS[item]:
            raise NotUnderstood
        if item == 0x01 and values[0] & 0x01:
            self.field.switch(True)
        elif item == 0x01:
            self.initiator.field_off()
        elif item == 0x02:
            self.initiator.retry_timeout_us = 100 << (values[2] - 1) if values[2] else None
        elif item == 0x05:
            self.initiator.listing_retries = values[2]
        return b""

    def _in_list_passive_target(self, parameters: bytes) -> bytes | None:
        targets_max, coding, wanted = parameters[0], parameters[1], parameters[2:]
        if not 1 <= targets_max <= 2 or (coding == TYPE_B_106 and not wanted):  # type B needs its AFI
            raise NotUnderstood

        def attempt() -> bytes:
            found = self.initiator.list_passive(targets_max, coding, wanted)
            return bytes([len(found)]) + b"".join(found)

        endless = self.initiator.listing_retries == FOR_EVER
        return self._find(0x4A, attempt, until_us=None if endless else self._line_free_us)

    def _in_auto_poll(self, parameters: bytes) -> bytes | None:
        rounds, periods, types = parameters[0], parameters[1], parameters[2:]
        if not types:
            raise NotUnderstood
        patience_us = rounds * periods * AUTO_POLL_PERIOD_US * len(types)
        until_us = None if rounds == FOR_EVER else self._line_free_us + patience_us
        return self._find(0x60, lambda: self.initiator.poll(types), until_us)

    def _find(self, code: int, attempt: Callable[[], bytes], until_us: int | None) -> bytes | None:
        data = attempt()
        if data != b"\x00" or (until_us is not None and until_us <= self._line_free_us):
            return data
        self._search = Search(code, attempt, until_us)
        return None

    def _in_data_exchange(self, parameters: bytes) -> bytes:
        return self.initiator.data_exchange(parameters[0], parameters[1:])

    def _in_communicate_thru(self, parameters: bytes) -> bytes | None:
        try:
            return self.initiator.communicate_thru(parameters)
        except RfFault:
            if self.initiator.retry_timeout_us is None:
                return None
            raise

    def _in_deselect(self, parameters: bytes) -> bytes:
        self.initiator.deselect(parameters[0])
        return b"\x00"

    def _in_release(self, parameters: bytes) -> bytes:
        self.initiator.release(parameters[0])
        return b"\x00"

    def _in_select(self, parameters: bytes) -> bytes:
        self.initiator.select(parameters[0])
        return b"\x00"

    def _no_peer(self, _parameters: bytes) -> bytes:
        """InJumpForDEP, InJumpForPSL and InATR look for an NFC peer; only cards come here."""
        return bytes([STATUS_TIMEOUT])


COMMANDS: dict[int, Callable[[Pn532Chip, bytes], bytes | None]] = {
    0x00: Pn532Chip._diagnose,
    0x02: Pn532Chip._firmware_version,
    0x04: Pn532Chip._general_status,
    0x06: Pn532Chip._read_register,
    0x08: Pn532Chip._write_register,
    0x10: Pn532Chip._set_serial_baud_rate,
    0x12: Pn532Chip._set_parameters,
    0x14: Pn532Chip._sam_configuration,
    0x16: Pn532Chip._power_down,
    0x32: Pn532Chip._rf_configuration,
    0x40: Pn532Chip._in_data_exchange,
    0x42: Pn532Chip._in_communicate_thru,
    0x44: Pn532Chip._in_deselect,
    0x46: Pn532Chip._no_peer,
    0x4A: Pn532Chip._in_list_passive_target,
    0x50: Pn532Chip._no_peer,
    0x52: Pn532Chip._in_release,
    0x54: Pn532Chip._in_select,
    0x56: Pn532Chip._no_peer,
    0x60: Pn532Chip._in_auto_poll,
}
