"""What people are shown of TLV and APDUs: names, structure, and never a card number."""

from __future__ import annotations

import json

import pytest

from taptill.card.apdu import MalformedApdu
from taptill.card.apdu_names import describe_apdu
from taptill.card.tlv_names import describe_tlv, render_tree

# The GPO answer of a recorded UnionPay tap (qpboc-kernel's run log), test number 6299999999999999.
ANSWER = bytes.fromhex(
    "774F82027C009F36020ADC57116299999999999999D201120101234567899F101307010103A00000010A010000038787868FD1FC"
    "9F2608AD03EE811AFAD4845F3401009F6C0200009F5D060000000387879000"
)


def test_a_card_number_is_masked_wherever_it_stands() -> None:
    octets = bytes.fromhex("701B5A0862280001000011175F24033012315F25039507019F08020030")
    text = render_tree(describe_tlv(octets))
    assert "622800******1117" in text
    assert "5F24 Application Expiration Date [3] 301231" in text
    for shown in (text, json.dumps([node.as_json() for node in describe_tlv(octets)])):
        assert "6228000100001117" not in shown


def test_a_name_is_hidden_and_a_label_is_read() -> None:
    text = render_tree(describe_tlv(bytes.fromhex("5F20024142500A50424F43204445424954")))
    assert text.splitlines() == [
        "5F20 Cardholder Name [2] **",
        '50 Application Label [10] 50424F43204445424954 "PBOC DEBIT"',
    ]


def test_what_stands_for_the_holder_or_the_card_is_hidden() -> None:
    """9F61: the number of the holder's identity card of UnionPay, a CVC3 of Mastercard as 9F60."""
    text = render_tree(describe_tlv(bytes.fromhex("9F6112" + b"11010119860223001X".hex() + "9F6002A2C4")))
    assert [line.rpartition(" ")[2] for line in text.splitlines()] == ["*" * 18, "**"]


def test_a_list_of_data_objects_is_spelled_out() -> None:
    (node,) = describe_tlv(bytes.fromhex("9F38069F66049F3704"))
    assert node.meaning == "9F66[4] Terminal Transaction Qualifiers, 9F37[4] Unpredictable Number"


def test_commands_and_responses_are_told_apart_and_named() -> None:
    assert describe_apdu(bytes.fromhex("00A404000E325041592E5359532E444446303100")).title.startswith(
        'SELECT "2PAY.SYS.DDF01"'
    )
    assert describe_apdu(bytes.fromhex("00B2011C00")).title.startswith("READ RECORD 1 of SFI 3")
    assert describe_apdu(bytes.fromhex("80D0000000")).title.startswith("RECOVER AC (")
    assert describe_apdu(bytes.fromhex("80EA0000040102030400")).title.startswith("EXCHANGE RELAY RESISTANCE DATA (")
    assert describe_apdu(bytes.fromhex("802A8E80040000000300")).title.startswith("COMPUTE CRYPTOGRAPHIC CHECKSUM (")
    assert describe_apdu(bytes.fromhex("6985")).title == "6985 conditions of use not satisfied"
    answer = describe_apdu(ANSWER)
    assert (answer.kind, answer.title) == ("response", "9000 success")
    assert "6299999999999999" not in answer.as_text()
    assert "629999******9999" in answer.as_text()
    assert "6299999999999999" not in json.dumps(answer.as_json())


@pytest.mark.parametrize("octets", ["", "80", "77", "70", "00", "00A4", "00A404"])
def test_a_few_octets_are_a_status_word_or_refused(octets: str) -> None:
    if len(octets) == 4:
        assert describe_apdu(bytes.fromhex(octets)).kind == "response"
    else:
        with pytest.raises(MalformedApdu):
            describe_apdu(bytes.fromhex(octets))


def test_a_malformed_answer_is_described_without_its_bytes() -> None:
    described = describe_apdu(bytes.fromhex("700A5A0862280001000011" + "9000"))
    assert "malformed" in described.title
    assert "622800" not in described.as_text()


@pytest.mark.parametrize("octets", ["", "00", "00A404", "00A4040005A0"])
def test_what_is_no_apdu_is_refused(octets: str) -> None:
    with pytest.raises(MalformedApdu):
        describe_apdu(bytes.fromhex(octets))
