"""The portable export, and what is found out about a bad one."""

from __future__ import annotations

import hashlib
import json
from random import Random
from typing import TYPE_CHECKING

import pytest

from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.export import export_lines, verify_export
from taptill.journal.port import JournalDamaged, JournalForeign

if TYPE_CHECKING:
    from tests.journal.conftest import Walk


@pytest.fixture
def lines(journal: SqliteJournal, new_walk: type[Walk]) -> list[str]:
    walk, random = new_walk(), Random(5)
    journal.append([walk.step(random.randrange(9), random.randrange(60)) for _ in range(50)])
    return list(export_lines(journal.stored(), journal.verify()))


def test_an_export_can_be_checked_with_nothing_but_json_and_sha256(lines: list[str]) -> None:
    header, *entries = map(json.loads, lines)
    head = bytes(32)
    for number, entry in enumerate(entries, 1):
        head = hashlib.sha256(head + entry["body"].encode()).digest()
        assert (entry["seq"], entry["digest"]) == (number, head.hex())
    assert header == {"format": "taptill journal export", "version": 1, "entries": 50, "head": head.hex()}


def test_an_export_verifies_to_the_same_as_its_journal(journal: SqliteJournal, lines: list[str]) -> None:
    assert verify_export(lines) == journal.verify()


def test_entries_appended_meanwhile_are_left_out(
    journal: SqliteJournal, new_walk: type[Walk], lines: list[str]
) -> None:
    verified = journal.verify()
    walk = new_walk()
    walk.shop.stan = 500
    journal.append([walk.shop.link()])
    assert list(export_lines(journal.stored(), verified)) == lines


def test_an_export_cut_in_half_says_where(lines: list[str]) -> None:
    text = "\n".join(lines)
    for size in range(len(lines[0]), len(text) - 1, 977):
        with pytest.raises(JournalDamaged) as refusal:
            verify_export(text[:size].split("\n"))
        whole = text[:size].count("\n")
        assert refusal.value.last_good_seq in {whole - 1, whole}
    with pytest.raises(JournalDamaged, match="ends after entry 25 of 50"):
        verify_export(lines[:26])


def test_a_changed_line_is_named(lines: list[str]) -> None:
    changed = [*lines]
    changed[10] = changed[10].replace('"batch', '"BATCH').replace('"at_ms', '"At_ms')
    assert changed != lines
    with pytest.raises(JournalDamaged, match="export line 11") as refusal:
        verify_export(changed)
    assert refusal.value.last_good_seq == 9


def test_what_is_no_export_is_refused(lines: list[str]) -> None:
    for first in ("", "hello", lines[1], lines[0].replace('"version":1', '"version":2')):
        with pytest.raises(JournalForeign):
            verify_export([first, *lines[1:]])


def test_no_envelope_is_exported(lines: list[str]) -> None:
    assert "envelope of" not in "\n".join(lines)
