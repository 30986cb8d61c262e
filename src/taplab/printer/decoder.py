"""ESC/POS bytes to printer events, sans-io.

Comes in: bytes, cut anywhere. Goes out: events; what is not known stands in `unknown` and never stops the printer.
Strategy: a table of opcodes with the length of their arguments; the few commands that carry their own length are read
by it. Written from printer manuals and not from the terminal's encoder, so that each judges the other. Chinese has to
be switched on (FS &), as on printers sold outside China.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable
from dataclasses import replace

from taplab.printer.events import (
    Align,
    Cut,
    Event,
    Feed,
    LineEnd,
    QrSymbol,
    Raster,
    StatusRequest,
    Text,
    TextStyle,
    Unknown,
)

ESC, FS, GS, DLE = 0x1B, 0x1C, 0x1D, 0x10
PITCH_DOTS = 30  # 1/6 inch at 180 dpi, the default after ESC @
CODE_PAGES = {0: "cp437", 2: "cp850", 3: "cp860", 4: "cp863", 5: "cp865", 16: "cp1252", 17: "cp866", 18: "cp852"}
QR_LEVELS = {48: "L", 49: "M", 50: "Q", 51: "H"}
UNKNOWN_KEPT_MAX = 100

Handler = Callable[[bytes], Iterable[Event]]


class Decoder:
    """One printer's command interpreter with the state that lives as long as the printer is on."""

    def __init__(self) -> None:
        self.unknown: list[Unknown] = []
        self._buffer = bytearray()
        self._offset = 0  # of the buffer's first byte in the whole stream
        self._commands = self._known()
        self._initialise(b"")

    def feed(self, octets: bytes) -> list[Event]:
        """Events that are complete; a command cut short waits for its rest."""
        self._buffer += octets
        events: list[Event] = []
        while self._buffer:
            used = self._step(events)
            if not used:
                break
            del self._buffer[:used]
            self._offset += used
        return events

    def _step(self, events: list[Event]) -> int:
        """Consume one command or one run of text; 0 when more bytes are needed."""
        first = self._buffer[0]
        if first >= 0x20:
            return self._text_run(events)
        events.extend(self._characters(b"", final=True))
        if first in (ESC, FS, GS, DLE):
            return self._command(events)
        if first in b"\n\x0c":
            events.append(LineEnd(self._align, self._pitch_dots))
        elif first == 0x09:
            events.append(Text("\t", self._style))
        elif first not in b"\r\x00\x07\x18":
            self._not_known(bytes([first]))
        return 1

    def _text_run(self, events: list[Event]) -> int:
        end = next((index for index, octet in enumerate(self._buffer) if octet < 0x20), len(self._buffer))
        events.extend(self._characters(bytes(self._buffer[:end]), final=False))
        return end

    def _characters(self, octets: bytes, *, final: bool) -> list[Event]:
        text = self._charset.decode(octets, final)
        if final:
            self._charset.reset()
        runs: list[Event] = []
        for character in text:
            style = self._style if character.isascii() else self._chinese_style()
            if runs and isinstance(runs[-1], Text) and runs[-1].style == style:
                runs[-1] = Text(runs[-1].text + character, style)
            else:
                runs.append(Text(character, style))
        return runs

    def _chinese_style(self) -> TextStyle:
        if not self._chinese:
            return self._style
        return replace(self._style, width=self._chinese_size[0], height=self._chinese_size[1])

    def _command(self, events: list[Event]) -> int:
        if len(self._buffer) < 2:
            return 0
        opcode = bytes(self._buffer[:2])
        length = self._length(opcode)
        if length == 0 or len(self._buffer) < length:
            return 0
        arguments = bytes(self._buffer[2:length])
        known = self._commands.get(opcode)
        if known is None:
            self._not_known(opcode + arguments)
        else:
            events.extend(known[1](arguments))
        return length

    def _length(self, opcode: bytes) -> int:
        """Bytes of the whole command; 0 when the bytes that tell it have not come yet."""
        known = self._commands.get(opcode)
        if known is not None and known[0] >= 0:
            return 2 + known[0]
        if opcode == b"\x1dV":
            return self._counted(3, lambda head: 4 if head[2] in (65, 66, 97, 98, 103, 104) else 3)
        if opcode == b"\x1dv":
            return self._counted(8, lambda head: 8 + _u16(head, 4) * _u16(head, 6))
        if opcode == b"\x1d(":
            return self._counted(5, lambda head: 5 + _u16(head, 3))
        if opcode == b"\x1dk":
            return self._barcode_length()
        if opcode == b"\x1b*":
            return self._counted(5, lambda head: 5 + _u16(head, 3) * (3 if head[2] in (32, 33) else 1))
        if opcode == b"\x1bD":
            return self._buffer.find(0, 2) + 1
        return 2

    def _counted(self, head_octets: int, length: Callable[[bytearray], int]) -> int:
        return length(self._buffer) if len(self._buffer) >= head_octets else 0

    def _barcode_length(self) -> int:
        if len(self._buffer) < 4:
            return 0
        return self._buffer.find(0, 3) + 1 if self._buffer[2] <= 6 else 4 + self._buffer[3]

    def _not_known(self, octets: bytes) -> None:
        if len(self.unknown) < UNKNOWN_KEPT_MAX:
            self.unknown.append(Unknown(octets, self._offset))

    def _known(self) -> dict[bytes, tuple[int, Handler]]:
        """Opcode -> (argument bytes, or -1 where the command tells its length; what it does)."""
        without_effect = {
            **dict.fromkeys((b"\x1bS", b"\x1bv"), 0),
            **dict.fromkeys((b"\x1bR", b"\x1b ", b"\x1b=", b"\x1br", b"\x1bU", b"\x1bV", b"\x1b{"), 1),
            **dict.fromkeys((b"\x1dH", b"\x1df", b"\x1dh", b"\x1dw", b"\x1da", b"\x1db", b"\x1d|", b"\x1cC"), 1),
            **dict.fromkeys((b"\x1bc", b"\x1dL", b"\x1dW", b"\x1dP", b"\x1cS"), 2),
            **dict.fromkeys((b"\x10\x04", b"\x10\x05"), 1),  # real time: answered before they get here
            **dict.fromkeys((b"\x1bp", b"\x10\x14"), 3),
            b"\x1bD": -1,
        }
        with_effect: dict[bytes, tuple[int, Handler]] = {
            b"\x1b@": (0, self._initialise),
            b"\x1b!": (1, self._print_mode),
            b"\x1b-": (1, lambda n: self._restyle(underline=n[0] not in b"\x000")),
            b"\x1bE": (1, lambda n: self._restyle(bold=n[0] & 1 == 1)),
            b"\x1bG": (1, lambda n: self._restyle(bold=n[0] & 1 == 1)),
            b"\x1bM": (1, lambda n: self._restyle(small=n[0] in b"\x011")),
            b"\x1dB": (1, lambda n: self._restyle(inverse=n[0] & 1 == 1)),
            b"\x1d!": (1, lambda n: self._resize((n[0] >> 4 & 7) + 1, (n[0] & 7) + 1, everything=True)),
            b"\x1c!": (1, lambda n: self._resize(1 + (n[0] >> 2 & 1), 1 + (n[0] >> 3 & 1), everything=False)),
            b"\x1cW": (1, lambda n: self._resize(1 + (n[0] & 1), 1 + (n[0] & 1), everything=False)),
            b"\x1c-": (1, lambda n: ()),
            b"\x1ba": (1, self._set_align),
            b"\x1b2": (0, lambda _: self._set_pitch(PITCH_DOTS)),
            b"\x1b3": (1, lambda n: self._set_pitch(n[0])),
            b"\x1bd": (1, lambda n: (LineEnd(self._align, self._pitch_dots), Feed(n[0] * self._pitch_dots))),
            b"\x1bJ": (1, lambda n: (LineEnd(self._align, 0), Feed(n[0]))),
            b"\x1bt": (1, self._select_code_page),
            b"\x1c&": (0, lambda _: self._select_chinese(True)),
            b"\x1c.": (0, lambda _: self._select_chinese(False)),
            b"\x1bi": (0, lambda _: (Cut(),)),
            b"\x1bm": (0, lambda _: (Cut(),)),
            b"\x1dV": (-1, lambda n: (Cut(n[1] if len(n) > 1 else 0),)),
            b"\x1dr": (1, lambda n: (StatusRequest(n[0]),)),
            b"\x1dv": (-1, self._raster),
            b"\x1d(": (-1, self._function),
        }
        return {opcode: (length, lambda _: ()) for opcode, length in without_effect.items()} | with_effect

    def _initialise(self, _: bytes) -> Iterable[Event]:
        self._style = TextStyle()
        self._chinese_size = (1, 1)
        self._align = Align.LEFT
        self._pitch_dots = PITCH_DOTS
        self._code_page = "cp437"
        self._qr_module_dots, self._qr_level, self._qr_content = 3, "L", b""
        return self._select_chinese(False)

    def _restyle(self, **changes: bool) -> Iterable[Event]:
        self._style = replace(self._style, **changes)
        return ()

    def _resize(self, width: int, height: int, *, everything: bool) -> Iterable[Event]:
        self._chinese_size = (width, height)
        if everything:
            self._style = replace(self._style, width=width, height=height)
        return ()

    def _print_mode(self, n: bytes) -> Iterable[Event]:
        self._restyle(small=bool(n[0] & 1), bold=bool(n[0] & 8), underline=bool(n[0] & 0x80))
        return self._resize(1 + (n[0] >> 5 & 1), 1 + (n[0] >> 4 & 1), everything=True)

    def _set_align(self, n: bytes) -> Iterable[Event]:
        self._align = Align(n[0] & 3) if n[0] & 3 < 3 else Align.LEFT
        return ()

    def _set_pitch(self, dots: int) -> Iterable[Event]:
        self._pitch_dots = dots
        return ()

    def _select_code_page(self, n: bytes) -> Iterable[Event]:
        if n[0] not in CODE_PAGES:
            self._not_known(b"\x1bt" + n)
        self._code_page = CODE_PAGES.get(n[0], "cp437")
        return self._select_chinese(self._chinese)

    def _select_chinese(self, on: bool) -> Iterable[Event]:
        self._chinese = on
        self._charset = codecs.getincrementaldecoder("gb18030" if on else self._code_page)("replace")
        return ()

    def _raster(self, arguments: bytes) -> Iterable[Event]:
        width_octets, height_dots = _u16(arguments, 2), _u16(arguments, 4)
        return (Raster(width_octets * 8, height_dots, arguments[6:], self._align),)

    def _function(self, arguments: bytes) -> Iterable[Event]:
        """GS ( letter pL pH cn fn ...: of these only the QR code (letter k, cn 49) is known."""
        letter, data = arguments[:1], arguments[3:]
        if letter != b"k" or data[:1] != b"1" or len(data) < 3:
            self._not_known(b"\x1d(" + arguments)
            return ()
        function, parameters = data[1], data[2:]
        if function == 67:
            self._qr_module_dots = min(max(parameters[0], 1), 16)
        elif function == 69:
            self._qr_level = QR_LEVELS.get(parameters[0], "L")
        elif function == 80:
            self._qr_content = parameters[1:]
        elif function == 81 and self._qr_content:
            return (QrSymbol(self._qr_content, self._qr_module_dots, self._qr_level, self._align),)
        return ()


def _u16(octets: bytes | bytearray, at: int) -> int:
    return int.from_bytes(octets[at : at + 2], "little")
