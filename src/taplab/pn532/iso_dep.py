"""The reader's half of ISO/IEC 14443-4 as the chip runs it inside InDataExchange.

Comes in: data from the host, whole or with more to come. Goes out: up to 262 bytes of the card's answer and whether
there is more; `RfFault` with the chip's status when the card cannot be reached.
Strategy: one block at a time, cut to the card's frame size; block numbers, waiting time extension and repetition by
the rules of ISO/IEC 14443-4, 7.5.4. The chip announces 64-byte frames (FSDI 5: RATS E0 50 is what it sends) and calls a
card of type B number 1, as libnfc and nfcpy found; cards of type A have no number.
"""

from __future__ import annotations

from collections.abc import Callable

from taplab.pn532.picc_blocks import CHAINING, CID_FOLLOWS, CRC_OCTETS
from taptill.card.adapters.activation import Activation

RATS = b"\xe0\x50"  # FSDI 5, CID 0
HOST_DATA_OCTETS_MAX = 262  # UM0701-02, 7.3.8
REPEATS_MAX = 2

STATUS_TIMEOUT = 0x01
STATUS_PROTOCOL = 0x0B

Transceive = Callable[[bytes, int], bytes | None]


class RfFault(Exception):
    """The exchange failed in the air; `status` is the chip's error code."""

    def __init__(self, status: int) -> None:
        super().__init__(f"chip status {status:02X}")
        self.status = status


class IsoDep:
    """The protocol state towards one activated card; `cid` where it was given a number."""

    def __init__(self, transceive: Transceive, said: Activation, cid: int = 0) -> None:
        self._transceive = _numbered(transceive, cid) if cid else transceive
        self._said = said
        self._prologue_octets = 2 if cid else 1
        self._block_number = 0  # rule A
        self._received = b""
        self._card_has_more = False

    def exchange(self, data: bytes, more: bool) -> tuple[bytes, bool]:
        """Send `data`; with `more` nothing comes back yet. No data while an answer is unfinished fetches its rest.
        Raises RfFault."""
        if not data and (self._received or self._card_has_more):
            return self._collect()
        room = self._said.frame_octets_max - CRC_OCTETS - self._prologue_octets
        chunks = [data[at : at + room] for at in range(0, len(data), room)] or [b""]
        for chunk in chunks[:-1]:
            self._send_chained(chunk)
        if more:
            self._send_chained(chunks[-1])
            return b"", False
        self._received = b""
        self._take(self._answered(self._information(chunks[-1], chained=False)))
        return self._collect()

    def present(self) -> bool:
        """R(NAK): a card that is there repeats itself or acknowledges, and nothing changes."""
        return self._transceive(bytes([0xB2 | self._block_number]), self._said.waiting_us) is not None

    def deselect(self) -> None:
        self._transceive(b"\xc2", self._said.waiting_us)

    def _information(self, inf: bytes, chained: bool) -> bytes:
        return bytes([0x02 | self._block_number | (CHAINING if chained else 0)]) + inf

    def _send_chained(self, chunk: bytes) -> None:
        answer = self._answered(self._information(chunk, chained=True))
        if answer[0] & 0xF6 != 0xA2 or answer[0] & 0x01 != self._block_number:
            raise RfFault(STATUS_PROTOCOL)
        self._block_number ^= 1  # rule B

    def _collect(self) -> tuple[bytes, bool]:
        while self._card_has_more and len(self._received) <= HOST_DATA_OCTETS_MAX:
            acknowledge = bytes([0xA2 | self._block_number])
            self._take(self._answered(acknowledge, on_silence=acknowledge))
        given = self._received[:HOST_DATA_OCTETS_MAX]
        self._received = self._received[HOST_DATA_OCTETS_MAX:]
        return given, bool(self._received) or self._card_has_more

    def _take(self, block: bytes) -> None:
        if block[0] & 0xEF != 0x02 | self._block_number:
            raise RfFault(STATUS_PROTOCOL)
        self._block_number ^= 1  # rule B
        self._received += block[1:]
        self._card_has_more = bool(block[0] & CHAINING)

    def _answered(self, block: bytes, on_silence: bytes = b"") -> bytes:
        """The card's answer to a block: silence is asked about again, more time is granted."""
        sent, timeout_us, repeats = block, self._said.waiting_us, 0
        while True:
            answer = self._transceive(sent, timeout_us)
            timeout_us = self._said.waiting_us
            if answer is not None and answer[0] & 0xFE == 0xF2 and len(answer) == 2:
                sent, timeout_us = answer, self._said.waiting_us * (answer[1] & 0x3F)
                continue
            unheard = answer is not None and answer[0] == 0xA2 | self._block_number ^ 1
            if answer and not unheard:
                return answer
            if repeats == REPEATS_MAX:
                raise RfFault(STATUS_TIMEOUT)
            repeats += 1
            sent = block if unheard else on_silence or bytes([0xB2 | self._block_number])  # rules 6, 4 and 5


def _numbered(transceive: Transceive, cid: int) -> Transceive:
    """Puts the card's number behind each PCB, and takes it out of the answers."""

    def transceive_numbered(frame: bytes, timeout_us: int) -> bytes | None:
        answer = transceive(bytes([frame[0] | CID_FOLLOWS, cid]) + frame[1:], timeout_us)
        if answer is None or not answer[0] & CID_FOLLOWS:
            return answer
        return bytes([answer[0] & ~CID_FOLLOWS]) + answer[2:]

    return transceive_numbered
