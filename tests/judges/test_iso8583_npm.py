"""Our ISO 8583 messages, read by a decoder nobody here wrote: the npm package iso_8583.

What is judged: that the bitmap names the fields that are there, that they stand in order, where each one starts and
ends, the packed digits of the fixed fields, the characters of the text fields, and that nothing is left over.
What is not: the package knows lengths and the MTI only as ASCII digits. So the MTI is spelled out before it is handed
over, and a field with a length in BCD is handed to it as a fixed one: its length bytes are compared with those typed
here, nobody foreign interprets them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from taptill.host.codec import IsoMessage, encode_message

ROOT = Path(__file__).parent.parent.parent
NODE_MODULES = ROOT / "build" / "node" / "node_modules"
SCRIPT = Path(__file__).with_name("decode_iso8583.cjs")
DECODE_WAIT_S = 30
BITMAP_AT = 2


@dataclass(frozen=True, slots=True)
class Field:
    """`given` to our encoder; `read` is what the decoder must find: text, or the hex of packed or binary bytes."""

    given: str | bytes
    read: str
    packed: bool = True

    def foreign_format(self) -> dict[str, str | int]:
        return {
            "ContentType": "b" if self.packed else "ans",
            "LenType": "fixed",
            "MaxLen": len(self.read),
            "Label": "x",
        }


def text(given: str) -> Field:
    return Field(given, given, packed=False)


TERMINAL = {41: text("10000001"), 42: text("898100012340001")}

SALE = {
    3: Field("000000", "000000"),
    4: Field("000000012345", "000000012345"),
    11: Field("000123", "000123"),
    22: Field("072", "0720"),
    23: Field("001", "0001"),
    25: Field("00", "00"),
    **TERMINAL,
    49: text("156"),
    55: Field(bytes.fromhex("9F2608A1B2C3D4E5F60718" "9F360200FF"), "0016" "9f2608a1b2c3d4e5f60718" "9f360200ff"),
    59: Field(bytes.fromhex("DF0402AABB"), "0005" "df0402aabb"),
    60: Field("22000001000600", "0014" "22000001000600"),
    64: Field(bytes.fromhex("0102030405060708"), "0102030405060708"),
}  # fmt: skip
INSTALMENT_SALE = SALE | {25: Field("64", "64"), 62: Field("03SPRING", "0008" + b"03SPRING".hex())}
ANSWER = {
    3: Field("000000", "000000"),
    4: Field("000000012345", "000000012345"),
    11: Field("000123", "000123"),
    12: Field("235959", "235959"),
    13: Field("1231", "1231"),
    32: Field("48021560", "08" "48021560"),
    37: text("123456789012"),
    38: text("A1B2C3"),
    39: text("00"),
    **TERMINAL,
    49: text("156"),
    64: Field(bytes.fromhex("F1F2F3F4F5F6F7F8"), "f1f2f3f4f5f6f7f8"),
}  # fmt: skip
REVERSAL = SALE | {39: text("98"), 61: Field("0000010001230109", "00160000010001230109")}
SETTLEMENT = {
    11: Field("000124", "000124"),
    **TERMINAL,
    48: Field("0" * 29 + "71" + "0" * 31, "0062" + "0" * 29 + "71" + "0" * 31),
    49: text("156"),
    60: Field("00000001201", "0011" "000000012010"),
    63: Field(b"01 ", "0003" "303120"),
}  # fmt: skip

MESSAGES = {
    "sale": ("0200", SALE),
    "instalment sale": ("0200", INSTALMENT_SALE),
    "answer": ("0210", ANSWER),
    "reversal": ("0400", REVERSAL),
    "offline advice": ("0220", SALE),
    "settlement": ("0500", SETTLEMENT),
    "echo": ("0820", {**TERMINAL, 60: Field("00000001301", "0011" "000000013010")}),
}  # fmt: skip


def ours(mti: str, fields: dict[int, Field]) -> bytes:
    return encode_message(IsoMessage(mti, {number: field.given for number, field in fields.items()}))


def read_by_npm(octets: bytes, fields: dict[int, Field]) -> dict[str, object]:
    if shutil.which("node") is None or not NODE_MODULES.is_dir():
        pytest.skip("the npm judges are not installed: tools/environment test installs them")
    asked = {
        "message": (octets[:BITMAP_AT].hex().encode() + octets[BITMAP_AT:]).hex(),
        "formats": {str(number): field.foreign_format() for number, field in fields.items()},
    }
    done = subprocess.run(
        ["node", str(SCRIPT)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=DECODE_WAIT_S,
        check=True,
        env={**os.environ, "NODE_PATH": str(NODE_MODULES)},
    )
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize("name", MESSAGES)
def test_a_foreign_decoder_reads_the_same_fields(name: str) -> None:
    mti, fields = MESSAGES[name]
    answer = read_by_npm(ours(mti, fields), fields)
    assert answer == {"fields": {"0": mti} | {str(n): field.read for n, field in fields.items()}, "rest": ""}


def test_the_foreign_decoder_notices_a_wrong_bitmap() -> None:
    mti, fields = MESSAGES["sale"]
    octets = bytearray(ours(mti, fields))
    octets[BITMAP_AT + 1] ^= 0x20  # DE11 denied
    answer = read_by_npm(bytes(octets), fields)
    assert answer["fields"] != {"0": mti} | {str(n): field.read for n, field in fields.items()}
    assert answer["rest"] != ""
