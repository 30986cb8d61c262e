"""How a recording is read: who was talked to, by which reader, what is made up, and what differs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.replay.interface import Interface, recorded_interface
from taptill.card.replay.mastercard import mastercard_configuration
from taptill.card.replay.observation import Cryptogram, Observed, observe
from taptill.card.replay.recorded_time import elapsed_us
from taptill.card.replay.recording import Exchange, RecordedCard, joined, load_recording
from taptill.card.replay.replay import replay
from taptill.card.replay.report import ReplayReport
from taptill.card.replay.terminal import recorded_terminal
from taptill.card.tlv import encode_tlv

Case = dict[str, Any]

VISA = bytes.fromhex("A0000000031010")
MASTERCARD = bytes.fromhex("A0000000041010")
TRACK_2 = bytes.fromhex("4761739001010010D30122011234500000000F")
PDOL = bytes.fromhex("9F66049F02065F2A029F3704")
GPO_VALUES = "24004000" + "000000000200" + "0840" + "ABABABAB"


def select(name: bytes) -> str:
    return f"00A40400{len(name):02X}{name.hex()}00"


def answered(tag: int, content: bytes) -> str:
    return encode_tlv(tag, content).hex() + "9000"


def directory(aid: bytes, extra: bytes = b"") -> Case:
    entry = encode_tlv(0x61, encode_tlv(0x4F, aid) + encode_tlv(0x87, b"\x01") + extra)
    content = encode_tlv(0x84, b"2PAY.SYS.DDF01") + encode_tlv(0xA5, encode_tlv(0xBF0C, entry))
    return {"c": select(b"2PAY.SYS.DDF01"), "r": answered(0x6F, content)}


def application(aid: bytes, pdol: bytes = b"") -> Case:
    own = encode_tlv(0x50, b"TEST") + (encode_tlv(0x9F38, pdol) if pdol else b"")
    return {"c": select(aid), "r": answered(0x6F, encode_tlv(0x84, aid) + encode_tlv(0xA5, own))}


def options(values: str, *objects: bytes) -> Case:
    data = encode_tlv(0x83, bytes.fromhex(values))
    return {"c": f"80A80000{len(data):02X}{data.hex()}00", "r": answered(0x77, b"".join(objects))}


# An online Visa tap: 9F10 says ARQC.
VISA_ONLINE = [
    directory(VISA),
    application(VISA, PDOL),
    options(
        GPO_VALUES,
        encode_tlv(0x82, bytes.fromhex("2000")),
        encode_tlv(0x9F36, b"\x00\x01"),
        encode_tlv(0x9F26, bytes(range(8))),
        encode_tlv(0x9F10, bytes.fromhex("06010A03A00000")),
        encode_tlv(0x57, TRACK_2),
    ),
]
CRYPTOGRAM = {"c": "80AE800004ABABABAB00", "r": "800B8000010001020304050607" + "9000"}


def run(apdus: list[Case], **said: object) -> ReplayReport:
    return replay({"apdus": apdus, **said}, None, CaKeyStore())


def interface_of(apdus: list[Case], kernel_id: int) -> Interface:
    exchanges = load_recording({"apdus": apdus}).exchanges
    return recorded_interface(exchanges, observe(exchanges), kernel_id)


def test_a_visa_tap_runs_on_the_visa_kernel_and_differs_in_nothing() -> None:
    report = run(VISA_ONLINE)
    assert (report.outcome, report.kernel, report.interface) == ("online", "C-3", "contactless")
    assert (report.differing, report.missed) == ((), ())
    assert report.masked_pan == "476173******0010"


def test_the_reader_s_qualifiers_and_the_sale_are_the_recorded_ones() -> None:
    command = bytes.fromhex(VISA_ONLINE[2]["c"])
    assert b"\x24\x00\x40\x00" in command
    report = run(VISA_ONLINE, terminal={"9F37": "01020304"})
    assert report.differing == (
        "command 3, GET PROCESSING OPTIONS (CLA 80, P1 00, P2 00): 9F37 sent 01020304, recorded ABABABAB",
    )


def test_a_recording_that_begins_at_select_gets_a_directory_and_says_so() -> None:
    report = run(VISA_ONLINE[1:])
    assert (report.outcome, report.kernel) == ("online", "C-3")
    assert [text.rpartition(": ")[2] for text in report.differing] == ["not in the recording, its answer is made up"]


@pytest.mark.parametrize(
    ("identifier", "kernel"), [("02", "C-2"), ("03", "C-3"), ("04", "none: C-4 (American Express) is not built in")]
)
def test_the_kernel_identifier_of_the_directory_counts_before_the_scheme(identifier: str, kernel: str) -> None:
    entry = directory(VISA, encode_tlv(0x9F2A, bytes.fromhex(identifier)))
    assert run([entry, *VISA_ONLINE[1:]]).kernel == kernel


@pytest.mark.parametrize(
    ("apdus", "kernel_id", "expected"),
    [
        (VISA_ONLINE, 3, Interface.CONTACTLESS),
        (VISA_ONLINE[1:], 3, Interface.CONTACTLESS),
        ([{"c": select(b"1PAY.SYS.DDF01"), "r": "6F009000"}, *VISA_ONLINE[1:]], 3, Interface.CONTACT),
        ([{"c": select(b"1PAY.SYS.DDF01"), "r": "6F009000"}, *VISA_ONLINE], 3, Interface.CONTACTLESS),
        ([application(VISA), options("", encode_tlv(0x82, b"\x1c\x00"))], 3, Interface.CONTACT),
        ([application(VISA, PDOL), VISA_ONLINE[2], CRYPTOGRAM], 3, Interface.CONTACT),
        ([*VISA_ONLINE[1:], {"c": "0020008008241234FFFFFFFFFF", "r": "9000"}], 3, Interface.CONTACT),
        ([application(MASTERCARD), options("", encode_tlv(0x82, b"\x59\x80")), CRYPTOGRAM], 2, Interface.CONTACTLESS),
        ([application(MASTERCARD), options("", encode_tlv(0x82, b"\x59\x00")), CRYPTOGRAM], 2, Interface.CONTACT),
        (
            [application(MASTERCARD), options("", encode_tlv(0x82, b"\x59\x80")), CRYPTOGRAM, CRYPTOGRAM],
            2,
            Interface.CONTACT,
        ),
    ],
)
def test_contact_is_told_from_contactless_by_what_was_said(
    apdus: list[Case], kernel_id: int, expected: Interface
) -> None:
    assert interface_of(apdus, kernel_id) is expected


def test_what_get_response_fetched_belongs_to_its_command() -> None:
    command, follow_up = bytes.fromhex("00B2010C00"), bytes.fromhex("00C0000003")
    whole = joined([Exchange(command, b"\x70\x61\x05"), Exchange(follow_up, b"\x03ABC\x90\x00")])
    assert whole == (Exchange(command, b"\x70\x03ABC\x90\x00"),)


def test_a_recording_with_get_response_and_wrong_lengths_replays_as_one_without() -> None:
    record = bytes.fromhex(VISA_ONLINE[2]["r"])
    cut = [
        VISA_ONLINE[0],
        {"c": VISA_ONLINE[1]["c"], "r": "6C29"},
        {"c": VISA_ONLINE[1]["c"][:-2] + "29", "r": VISA_ONLINE[1]["r"]},
        {"c": VISA_ONLINE[2]["c"], "r": f"61{len(record) - 2:02X}"},
        {"c": "00C00000" + f"{len(record) - 2:02X}", "r": record.hex()},
    ]
    assert run(cut) == run(VISA_ONLINE)


def test_a_card_of_a_list_says_for_itself_what_it_expects() -> None:
    cards = [{"name": "first", "apdus": VISA_ONLINE, "outcome": "declined"}, VISA_ONLINE, {"apdus": VISA_ONLINE}]
    document = {"cards": cards, "outcome": "online"}
    assert replay(document, "first", CaKeyStore()).missed == ("outcome online, recorded declined",)
    second = replay(document, "2", CaKeyStore())
    assert (second.missed, second.cases) == ((), ("first", "2", "3"))


def test_a_command_that_comes_early_is_found_ahead_whatever_its_data() -> None:
    skipped = [{"c": "80CA9F1700", "r": "9F1701039000"}, {"c": "00B2010C00", "r": "70009000"}]
    card = RecordedCard(load_recording({"apdus": [*skipped, VISA_ONLINE[2]]}))
    assert card.transmit(bytes.fromhex("80A80000028300" + "00"), 0).octets == bytes.fromhex(VISA_ONLINE[2]["r"])
    assert [each.place for each in card.differing] == [3]


@pytest.mark.parametrize(("terminal_type", "online"), [("22", True), ("25", True), ("26", False), ("23", False)])
def test_a_terminal_that_has_no_line_is_replayed_as_one(terminal_type: str, online: bool) -> None:
    recording = load_recording({"apdus": VISA_ONLINE, "terminal": {"9F35": terminal_type}})
    assert recorded_terminal(recording, observe(recording.exchanges)).request.online_possible is online


def test_without_a_date_the_tap_was_in_the_month_the_card_expires() -> None:
    expiring = {"c": "00B2010C00", "r": answered(0x70, encode_tlv(0x5F24, bytes.fromhex("190831")))}
    for apdus, day in ((VISA_ONLINE, "200101"), ([*VISA_ONLINE, expiring], "190801")):
        recording = load_recording({"apdus": apdus})
        assert recorded_terminal(recording, observe(recording.exchanges)).request.date_yymmdd == day


def test_an_any_command_entry_answers_in_its_turn_only() -> None:
    card = RecordedCard(load_recording({"apdus": [{"c": "", "r": "6F00"}, {"c": "00B2010C00", "r": "9000"}]}))
    assert card.transmit(bytes.fromhex("00B2010C00"), 0).octets == b"\x6f\x00"
    assert card.transmit(bytes.fromhex("00B2010C00"), 0).octets == b"\x90\x00"
    assert card.transmit(bytes.fromhex("80CA9F1700"), 0).octets == b"\x6a\x82"
    assert card.unknown == [bytes.fromhex("80CA9F1700")]


def test_a_cryptogram_that_was_asked_for_otherwise_is_still_the_one_the_card_made() -> None:
    card = RecordedCard(load_recording({"apdus": [CRYPTOGRAM]}))
    assert card.transmit(bytes.fromhex("80AE500004ABABABAB00"), 0).octets == bytes.fromhex(CRYPTOGRAM["r"])
    assert [each.place for each in card.differing] == [1]


def test_the_time_of_an_answer_is_the_recorded_one_or_what_the_card_announced() -> None:
    relay, answer = (
        bytes.fromhex("80EA000004ABABABAB00"),
        bytes.fromhex("800A01020304" + "0014" + "0032" + "0018" + "9000"),
    )
    assert elapsed_us("23:59:59.900", "00:00:00.150", b"\x00\xb2", b"") == 250_000
    assert elapsed_us(None, None, b"\x00\xb2\x01\x0c", b"\x90\x00") == 0
    assert elapsed_us("now", "then", relay, answer) == 100 * (18 + 24 + 20)
    assert elapsed_us("", "", relay, b"\x6f\x00") == 0


def test_a_dump_of_the_origin_is_compared_where_it_shows_octets() -> None:
    good = "    9F36 (counter): 1\n    57 (track 2): 476173...000F\n    50 (label): TEST\n    5F2A (currency): USD (x)"
    assert run(VISA_ONLINE, origin_expected_decode=good).missed == ()
    for right, wrong, tag in (("): 1\n", "): 7\n", "9F36"), ("476173...", "476174...", "57"), ("000F", "001F", "57")):
        missed = run(VISA_ONLINE, origin_expected_decode=good.replace(right, wrong)).missed
        assert missed == (f"{tag}: the origin decodes another value than the 1 found here",)


def test_proofs_that_are_named_but_not_there_are_missed() -> None:
    missed = run(VISA_ONLINE, reverified_here=["cda", "something in words"]).missed
    assert missed == ("cda: not in the recording",)


def test_a_dump_shows_what_a_dynamic_signature_was_asked_over() -> None:
    signing = {"c": "0088000004" + "7863AFC6" + "00", "r": "8001AA9000"}
    dump = "  9F37 (unpredictable number): ABABABAB\n  9F37 (unpredictable number): 7863AFC6"
    assert run([*VISA_ONLINE, signing], origin_expected_decode=dump).missed == ()
    assert len(run(VISA_ONLINE, origin_expected_decode=dump).missed) == 1


PAN = "4761739001010010"
HIDING_PLACES = [
    encode_tlv(0xDF01, bytes.fromhex(PAN)),
    encode_tlv(0xDF01, PAN.encode()),
    encode_tlv(0x9F7C, b"B" + PAN.encode() + b"^DOE/JOHN^"),
    encode_tlv(0xDF20, encode_tlv(0x5A, bytes.fromhex(PAN))),
]


@pytest.mark.parametrize("place", HIDING_PLACES, ids=["packed", "as text", "track 1", "a template that is none"])
def test_a_card_number_is_hidden_in_the_issuer_s_own_objects(place: bytes) -> None:
    name = encode_tlv(0x5F20, b"DOE/JOHN ")
    response = bytes.fromhex(VISA_ONLINE[2]["r"])[2:-2] + place + name
    told = json.dumps(run([*VISA_ONLINE[:2], options(GPO_VALUES, response)]).as_json())
    assert "9F26" in told
    for hidden in (PAN, PAN.encode().hex(), b"DOE/JOHN".hex().upper()):
        assert hidden not in told


def test_the_number_of_the_holder_s_identity_card_is_hidden() -> None:
    identity = encode_tlv(0x9F61, b"11010119860223001X")
    answer = options(GPO_VALUES, bytes.fromhex(VISA_ONLINE[2]["r"])[2:-2] + identity)
    report = run([*VISA_ONLINE[:2], answer])
    assert report.tags["9F26"]
    assert report.tags.get("9F61", "") in ("", "*" * 18)
    assert identity[3:].hex().upper() not in json.dumps(report.as_json())


def test_a_label_that_is_a_card_number_is_hidden() -> None:
    fci = encode_tlv(0x84, VISA) + encode_tlv(0xA5, encode_tlv(0x50, PAN.encode()) + encode_tlv(0x9F38, PDOL))
    selected = {"c": select(VISA), "r": answered(0x6F, fci)}
    assert run([VISA_ONLINE[0], selected, VISA_ONLINE[2]]).label == "476173******0010"


def test_the_number_of_another_application_and_of_track_1_is_hidden_too() -> None:
    track_1 = encode_tlv(0x56, b"B5413330089601034^DOE/JOHN^")
    record = {"c": "00B2010C00", "r": answered(0x70, track_1 + encode_tlv(0xDF01, b"5413330089601034"))}
    unread = [application(MASTERCARD), record, *VISA_ONLINE]
    sent = {"DF01": b"5413330089601034".hex(), "9F1E": "5413330089601034"}
    told = json.dumps(run(unread, terminal=sent, outcome="5413330089601034").as_json())
    assert "5413330089601034" not in told
    assert b"5413330089601034".hex() not in told


def test_nothing_that_is_told_names_the_card() -> None:
    leaky = [*VISA_ONLINE[:2], {"c": "80A800000A8308" + "4761739001010010" + "00", "r": VISA_ONLINE[2]["r"]}]
    field_55 = encode_tlv(0x5A, bytes.fromhex("4761739001010010")).hex()
    told = json.dumps(run(leaky, origin_field_55=field_55, outcome="4761739001010010").as_json())
    assert "4761739001010010" not in told
    assert "476173******0010" in told


def test_the_reader_s_capabilities_are_those_the_cryptogram_was_asked_with() -> None:
    before, settled = bytes.fromhex("000008"), bytes.fromhex("000808")
    asked = Cryptogram(0x50, b"", {0x9F33: settled}, ())
    for cryptograms, capability in (([asked], 0x08), ([], 0x68)):
        configuration = mastercard_configuration(Observed(sent={0x9F33: before}, cryptograms=cryptograms))
        assert configuration[0xDF8118] == configuration[0xDF8119] == bytes([capability])
