"""APDUs for people: the command or status word by name, the content as a TLV tree, card numbers masked.

Comes in: octets of a command or of a response. Goes out: `ApduDescription`, its text, or plain data for JSON.
"""

from __future__ import annotations

from dataclasses import dataclass

from taptill.card.apdu import CommandApdu, ResponseApdu, split_command
from taptill.card.tlv import MalformedTlv
from taptill.card.tlv_names import TlvNode, describe_tlv, render_tree

_COMMANDS = {
    0xA4: "SELECT",
    0xA8: "GET PROCESSING OPTIONS",
    0xB2: "READ RECORD",
    0xAE: "GENERATE AC",
    0xCA: "GET DATA",
    0xC0: "GET RESPONSE",
    0x88: "INTERNAL AUTHENTICATE",
    0x82: "EXTERNAL AUTHENTICATE",
    0x84: "GET CHALLENGE",
    0x20: "VERIFY",
    0x2A: "COMPUTE CRYPTOGRAPHIC CHECKSUM",
    0xEA: "EXCHANGE RELAY RESISTANCE DATA",
    0xD0: "RECOVER AC",
    0xDA: "PUT DATA",
    0xDC: "UPDATE RECORD",
    0x16: "CARD BLOCK",
    0x18: "APPLICATION UNBLOCK",
    0x1E: "APPLICATION BLOCK",
    0x24: "PIN CHANGE/UNBLOCK",
}
_STATUS_WORDS = {
    0x9000: "success",
    0x6283: "selected file invalidated",
    0x6300: "authentication failed",
    0x6700: "wrong length",
    0x6982: "security status not satisfied",
    0x6983: "authentication method blocked",
    0x6984: "use another interface",
    0x6985: "conditions of use not satisfied",
    0x6986: "command not allowed: see the phone",
    0x6A81: "function not supported",
    0x6A82: "file or application not found",
    0x6A83: "record not found",
    0x6A86: "wrong P1 P2",
    0x6A88: "data not found",
    0x6D00: "instruction not supported",
    0x6E00: "class not supported",
}
_RESPONSE_TEMPLATES = frozenset({0x6F, 0x70, 0x77, 0x80})
_STATUS_FIRST = frozenset({0x90, *range(0x61, 0x70)})
_CRYPTOGRAM_ASKED = {0x00: "AAC", 0x40: "TC", 0x80: "ARQC"}


@dataclass(frozen=True, slots=True)
class ApduDescription:
    """One command or response as shown."""

    kind: str  # "command" or "response"
    title: str
    data: str  # hex where it is no TLV, else empty
    nodes: tuple[TlvNode, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Plain data for JSON."""
        content = [node.as_json() for node in self.nodes]
        return {"kind": self.kind, "title": self.title, "data": self.data, "tlv": content}

    def as_text(self) -> str:
        """The title, then the data indented."""
        lines = [f"{self.kind}: {self.title}"]
        if self.data:
            lines.append(f"  {self.data}")
        if self.nodes:
            lines.append(render_tree(self.nodes, "  "))
        return "\n".join(lines)


def describe_apdu(octets: bytes) -> ApduDescription:
    """A response when it begins with a response template or is a bare status word, else a command. Raises
    MalformedApdu."""
    if len(octets) == 2 or (len(octets) > 2 and octets[0] in _RESPONSE_TEMPLATES and octets[-2] in _STATUS_FIRST):
        return _response(ResponseApdu.decode(octets))
    return _command(split_command(octets))


def command_title(command: CommandApdu) -> str:
    """What the command asks for, without its data (the name of an application apart)."""
    name = _COMMANDS.get(command.ins, f"INS {command.ins:02X}")
    return f"{name}{_detail(command)} (CLA {command.cla:02X}, P1 {command.p1:02X}, P2 {command.p2:02X})"


def _command(command: CommandApdu) -> ApduDescription:
    title = command_title(command)
    if command.ins == 0xA8:
        return _with_content("command", title, command.data)
    return ApduDescription("command", title, command.data.hex().upper())


def _detail(command: CommandApdu) -> str:
    if command.ins == 0xB2:
        return f" {command.p1} of SFI {command.p2 >> 3}"
    if command.ins == 0xAE:
        combined = " with CDA" if command.p1 & 0x10 else ""
        return f" {_CRYPTOGRAM_ASKED.get(command.p1 & 0xC0, '?')}{combined}"
    if command.ins == 0xA4:
        printable = command.data.isascii() and command.data.decode("ascii").isprintable()
        return f' "{command.data.decode("ascii")}"' if printable and command.data else f" {command.data.hex().upper()}"
    return ""


def _response(response: ResponseApdu) -> ApduDescription:
    meaning = _STATUS_WORDS.get(response.sw, "")
    if response.sw >> 8 == 0x61:
        meaning = f"{response.sw & 0xFF} more bytes to get"
    elif response.sw >> 8 == 0x6C:
        meaning = f"wrong Le, {response.sw & 0xFF} expected"
    return _with_content("response", f"{response.sw:04X} {meaning}".rstrip(), response.data)


def _with_content(kind: str, title: str, data: bytes) -> ApduDescription:
    try:
        return ApduDescription(kind, title, "", describe_tlv(data, kind))
    except MalformedTlv as refusal:
        return ApduDescription(kind, f"{title}; malformed: {refusal.what}", f"{len(data)} bytes")
