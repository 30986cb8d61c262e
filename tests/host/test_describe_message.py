"""What `taptill decode iso` shows, and what it never shows."""

from __future__ import annotations

import json
from typing import Any, Protocol

import pytest

from taptill.credential.adapters.file_keystore import FileKeyStore
from taptill.host.codec import IsoMessage, MalformedMessage, encode_message
from taptill.host.compose import RequestFacts, compose
from taptill.host.describe_message import describe_message
from taptill.host.framing import frame
from taptill.host.profile import Profile

PAN = "6228000100001117"


class MakeFacts(Protocol):
    def __call__(self, **changes: Any) -> RequestFacts: ...


def test_a_sale_reads_as_lines_with_its_card_data_below(profile: Profile, keys: FileKeyStore, facts: MakeFacts) -> None:
    text = describe_message(compose(profile, "sale", facts(), keys).wire).as_text()
    lines = text.splitlines()
    assert lines[:4] == [
        "TPDU 6000010000, header 603100310000",
        "MTI 0200",
        "DE3 processing code: 000000",
        "DE4 amount: 000000001250",
    ]
    assert any(line.startswith("  9F26 ") and line.endswith("08AD03EE811AFAD4") for line in lines)
    assert "  DF01 key serial number [12] 123456789012345600000001" in lines


def test_frame_body_and_bare_message_are_all_understood(profile: Profile, keys: FileKeyStore, facts: MakeFacts) -> None:
    wire = compose(profile, "sale", facts(), keys).wire
    whole = describe_message(wire)
    assert describe_message(frame(wire)) == whole
    assert describe_message(wire[11:]).fields == whole.fields


@pytest.mark.parametrize(
    "fields",
    [
        {2: PAN},
        {35: PAN + "D301220100"},
        {36: "99" + PAN},
        {55: bytes.fromhex("5A08" + PAN)},
        {55: bytes.fromhex("5709" + PAN + "D3")},
        {55: bytes.fromhex("5A09" + PAN)},
    ],
)
def test_a_card_number_is_never_shown(fields: dict[int, str | bytes]) -> None:
    shown = describe_message(encode_message(IsoMessage("0200", fields)))
    assert PAN not in shown.as_text()
    assert PAN[6:] not in json.dumps(shown.as_json())


def test_expiry_and_pin_block_are_hidden() -> None:
    shown = describe_message(encode_message(IsoMessage("0200", {14: "3012", 52: bytes(range(8))})))
    assert [field.value for field in shown.fields] == ["****", "********"]


def test_texts_of_the_host_are_shown_as_characters() -> None:
    message = IsoMessage("0210", {39: "00", 63: "CUP测试银行".encode("gb18030")})
    assert "CUP测试银行" in describe_message(encode_message(message)).as_text()


def test_what_is_no_message_is_refused_with_its_place() -> None:
    with pytest.raises(MalformedMessage, match="offset"):
        describe_message(b"\x02\x00")
