"""The host's list as it is printed, cut, edited and mixed with other terminals'."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taptill.settlement.host_records import HostFileError, HostRecord, book_of, read_host_records

ROW: dict[str, Any] = {
    "terminal": "10000001",
    "batch": 1,
    "stan": 2,
    "message_class": "financial",
    "kind": "sale",
    "state": "captured",
    "payment_ref": "P1",
    "amount_minor": 1250,
    "captured_minor": 1250,
    "code": "00",
    "auth_code": "000001",
    "rrn": "632609000001",
    "token": "",
    "masked_pan": "622800******1117",
    "received_ms": 1795305600000,
    "changed_ms": 1795305600000,
}


def listed(*rows: dict[str, Any], **more: Any) -> bytes:
    total = sum(row["captured_minor"] for row in rows if isinstance(row["captured_minor"], int))
    return json.dumps({"transactions": rows, "count": len(rows), "net_captured_minor": total} | more).encode()


def refused(octets: bytes) -> str:
    with pytest.raises(HostFileError) as caught:
        read_host_records(octets, "ledger.json")
    return str(caught.value)


def test_a_list_is_read_as_it_is_printed() -> None:
    declined = ROW | {"stan": 3, "state": "declined", "captured_minor": 0, "code": "51"}
    first, second = read_host_records(listed(ROW, declined), "ledger.json")
    assert first == HostRecord("10000001", 1, 2, "financial", "captured", "P1", 1250, 1250, "00")
    assert (second.state, second.code) == ("declined", "51")


def test_an_empty_list_is_a_list() -> None:
    assert read_host_records(listed(), "ledger.json") == ()


@given(st.integers(0, len(listed(ROW)) - 1))
def test_a_list_cut_anywhere_is_refused_with_its_place(cut: int) -> None:
    assert refused(listed(ROW)[:cut]).startswith("ledger.json: no JSON, or cut: ")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"state": "lost"}, "row 2, field state: Invalid enum value 'lost'"),
        ({"message_class": "gift"}, "row 2, field message_class: Invalid enum value 'gift'"),
        ({"stan": "17"}, "row 2, field stan: Expected `int`, got `str`"),
        ({"stan": 1_000_000}, "row 2, field stan: Expected `int` <= 999999"),
        ({"captured_minor": 12.5}, "row 2, field captured_minor: Expected `int`, got `float`"),
        ({"captured_minor": -1}, "row 2, field captured_minor: Expected `int` >= 0"),
        ({"captured_minor": 0}, "row 2, field captured_minor: 0 in state captured"),
        ({"state": "reversed"}, "row 2, field captured_minor: 1250 in state reversed"),
        ({"stan": 2}, "row 2 has the key of row 1"),
        ({"payment_ref": "P1\n        ¥0.00  P2"}, "row 2, field payment_ref: Expected `str` matching"),
        ({"payment_ref": "P1\n"}, "row 2, field payment_ref: Expected `str` matching"),
        ({"terminal": "\x1b[2J"}, "row 2, field terminal: Expected `str` matching"),
        ({"code": "\ud800"}, "row 2, field code: Expected `str` matching"),
        ({"code": "0" * 256}, "row 2, field code: Expected `str` matching"),
    ],
)
def test_what_a_row_gets_wrong_is_named(change: dict[str, Any], named: str) -> None:
    assert named in refused(listed(ROW, ROW | {"stan": 3} | change))


def test_a_row_that_lacks_a_field_is_named() -> None:
    short = {name: value for name, value in ROW.items() if name != "batch"}
    assert "row 1: Object missing required field `batch`" in refused(listed(short))


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ({"count": 2}, "field count says 2, the rows make 1"),
        ({"net_captured_minor": 1}, "field net_captured_minor says 1, the rows make 1250"),
    ],
)
def test_a_list_that_a_row_was_taken_from_is_refused(field: dict[str, int], named: str) -> None:
    assert named in refused(listed(ROW, **field))


@pytest.mark.parametrize("octets", [b"[]", b"12", b'{"transactions": {}}', b"[" * 100_000, b"\xff\xfe\x00", b""])
def test_what_is_no_list_is_refused(octets: bytes) -> None:
    assert refused(octets).startswith("ledger.json: ")


def records(*rows: tuple[str, str]) -> tuple[HostRecord, ...]:
    return tuple(
        HostRecord(terminal, 1, stan, "financial", "captured", ref, 1, 1, "00")
        for stan, (terminal, ref) in enumerate(rows, 1)
    )


def test_rows_of_other_terminals_are_left_out_and_counted() -> None:
    every = records(("10000001", "P1"), ("10000002", "Q1"), ("10000002", "Q2"))
    book = book_of(every, "", {"P1"}, "ledger.json")
    assert (book.terminal, book.records, book.others) == ("10000001", every[:1], 2)
    book = book_of(every, "10000002", {"P1"}, "ledger.json")
    assert (book.terminal, len(book.records), book.others) == ("10000002", 2, 1)


def test_the_only_terminal_there_is_needs_no_name() -> None:
    assert book_of(records(("10000001", "P1")), "", set(), "ledger.json").terminal == "10000001"
    assert book_of((), "", {"P1"}, "ledger.json").records == ()


def test_whose_rows_to_take_is_asked_where_it_cannot_be_told() -> None:
    every = records(("10000001", "P1"), ("10000002", "Q1"))
    with pytest.raises(HostFileError, match=r"10000001, 10000002 \(say which one with --terminal\)"):
        book_of(every, "", {"somebody else's"}, "ledger.json")
