"""Every change of a payment's state is told once, in order, whatever day it was and wherever telling began."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taptill.journal import entries as e
from taptill.journal.adapters.notice_file import NoticeFile
from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.notice_queue import NoticeQueue
from taptill.journal.notice_store import NoticesUnusable
from taptill.journal.notices import AT_THE_BEGINNING, Cursor, Notice, NoticeMaker, end_of, holds
from taptill.journal.port import Record

if TYPE_CHECKING:
    from tests.journal.conftest import Shop, Walk

TERMINAL_ID = "10000001"
HOOK = "https://register.example/hook"
STEPS = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9)), max_size=60)


def all_of(maker: NoticeMaker) -> list[Notice]:
    made, more = maker.next_piece()
    while more:
        piece, more = maker.next_piece()
        made += piece
    return made


def changes(records: list[Record]) -> list[tuple[int, str, str]]:
    """Written down anew: what an observer of the entries alone would call a change."""
    states: dict[str, str] = defaultdict(str)
    seen = []
    for record in records:
        if not isinstance(record.entry, e.PaymentEntry):
            continue
        ref, state = record.entry.payment_ref, record.entry.state
        if state != states[ref] and state not in ("armed", "authorizing"):
            seen.append((record.seq, ref, state))
        states[ref] = state
    return seen


@given(STEPS, st.integers(0, 60))
def test_every_change_gives_one_notice_wherever_telling_was_interrupted(
    new_walk: type[Walk], steps: list[tuple[int, int]], stop: int
) -> None:
    with TemporaryDirectory() as folder:
        journal = SqliteJournal.open(Path(folder) / "journal.sqlite")
        walk, before = new_walk(), min(stop, len(steps))
        journal.append([walk.step(payment, choice) for payment, choice in steps[:before]])
        first = NoticeMaker(journal, TERMINAL_ID, AT_THE_BEGINNING)
        told = all_of(first)
        journal.append([walk.step(payment, choice) for payment, choice in steps[before:]])
        restarted = NoticeMaker(journal, TERMINAL_ID, first.cursor)
        later, unbroken = all_of(restarted), all_of(first)
        rows = {row.payment_ref: row for row in journal.payments()}
        records = list(journal.records())
        journal.close()
    assert later == unbroken, "a restart forgets nothing and makes nothing up"
    told += later
    assert [(each.seq, each.payment_ref, each.state) for each in told] == changes(records)
    newest = {each.payment_ref: json.loads(each.body) for each in told}
    for ref, body in newest.items():
        if rows[ref].state == body["state"]:
            assert body["approved_minor"] == rows[ref].approved_minor
            assert body["masked_pan"] == rows[ref].masked_pan


def test_a_notice_says_who_what_and_how_much(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1"), shop.decided("P1", "approved", amount_minor=1000)])
    (notice,) = all_of(NoticeMaker(journal, TERMINAL_ID, AT_THE_BEGINNING))
    *_, last = journal.records()
    assert json.loads(notice.body) == {
        "id": "3",
        "digest": last.digest.hex(),
        "terminal_id": TERMINAL_ID,
        "payment_ref": "P1",
        "client_ref": "till-P1",
        "state": "approved",
        "amount_minor": 1250,
        "approved_minor": 1000,
        "currency": "CNY",
        "masked_pan": "622800******1117",
        "at_ms": shop.at_ms,
        "time_trust": 2,
    }
    assert "622800" not in repr(notice), "a body stays out of logs"


def test_a_late_answer_to_a_forgotten_payment_is_no_change(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1"), shop.decided("P1", "declined")])
    maker = NoticeMaker(journal, TERMINAL_ID, AT_THE_BEGINNING)
    assert len(all_of(maker)) == 1
    late = e.LateReply(
        at_ms=shop.at_ms,
        trust=2,
        payment_ref="P1",
        state="declined",
        transaction="P1/1",
        code="00",
        evidence_digest="",
    )
    journal.append([type(shop.link())(late)])
    assert all_of(maker) == []
    assert maker.cursor.seq == 4


def test_a_cursor_of_another_journal_is_known(journal: SqliteJournal, shop: Shop) -> None:
    assert end_of(journal) == AT_THE_BEGINNING
    assert holds(journal, AT_THE_BEGINNING)
    journal.append([shop.armed("P1")])
    assert holds(journal, end_of(journal))
    assert not holds(journal, Cursor(1, bytes(32)))
    assert not holds(journal, Cursor(2, end_of(journal).digest))


def notice(seq: int, ref: str = "P1", at_ms: int = 0, trust: int = 3) -> Notice:
    return Notice(seq, ref, "approved", at_ms, trust, b"{}")


def test_notices_of_one_payment_go_in_order_and_hold_up_no_other() -> None:
    queue = NoticeQueue()
    for each in (notice(1, "P1"), notice(2, "P1"), notice(3, "P2")):
        queue.put(each)
    assert queue.next(0) == notice(1, "P1")
    queue.notice_failed(notice(1, "P1"), 0, b"\xff\xff")
    assert queue.next(0) == notice(3, "P2"), "the second of P1 does not overtake the first"
    queue.drop(notice(3, "P2"))
    assert queue.next(0) is None
    again_us = queue.look_again_us()
    assert again_us == 1_000_000
    assert queue.next(again_us) == notice(1, "P1")
    queue.drop(notice(1, "P1"))
    assert queue.next(again_us) == notice(2, "P1")


def test_a_receiver_that_is_away_is_asked_less_and_less_often() -> None:
    queue, now_us, pauses = NoticeQueue(), 0, []
    queue.put(notice(1))
    queue.put(notice(2, "P2"))
    for _ in range(12):
        assert queue.next(now_us) == notice(1)
        queue.receiver_failed(now_us, b"\xff\xff")
        assert queue.next(now_us) is None
        again_us = queue.look_again_us()
        assert again_us is not None
        pauses.append((again_us - now_us) // 1_000_000)
        now_us = again_us
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    queue.answered()
    assert queue.next(0) == notice(1)


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["sent", "not now", "absent", "expired"])), max_size=80))
def test_whatever_a_receiver_does_each_notice_leaves_in_its_payments_order(work: list[tuple[int, str]]) -> None:
    queue, now_us, waiting, sent = NoticeQueue(), 0, dict[int, Notice](), list[Notice]()
    for seq, (payment, fate) in enumerate(work):
        waiting[seq] = notice(seq, f"P{payment}")
        queue.put(waiting[seq])
        now_us += 400_000
        each = queue.next(now_us)
        if each is None:
            continue
        if fate == "absent":
            queue.receiver_failed(now_us, b"\0\0")
        elif fate == "not now":
            queue.notice_failed(each, now_us, b"\0\0")
        else:
            sent.append(waiting.pop(each.seq))
            queue.answered()
            queue.drop(each)
    queue.answered()
    while (again_us := queue.look_again_us()) is not None:
        now_us = max(now_us, again_us)
        if (each := queue.next(now_us)) is not None:
            sent.append(waiting.pop(each.seq))
            queue.drop(each)
    assert not waiting
    assert len(queue) == 0
    for payment in range(5):
        seqs = [each.seq for each in sent if each.payment_ref == f"P{payment}"]
        assert seqs == sorted(seqs)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite.notices"


def test_the_file_keeps_what_is_queued_and_how_far_it_is(place: Path) -> None:
    file = NoticeFile(place)
    assert file.cursor(HOOK) is None
    file.queue(HOOK, [notice(3), notice(5)], Cursor(7, b"7"), [None, None])
    file.tried(HOOK, 3, "HTTP 500")
    file.ended(HOOK, 5, "sent", "HTTP 200", 1_000)
    file.close()
    again = NoticeFile(place)
    assert again.cursor(HOOK) == Cursor(7, b"7")
    assert again.queued(HOOK) == [notice(3)]
    assert [(row.state, row.attempts, row.last_result) for row in again.newest(9)] == [
        ("queued", 1, "HTTP 500"),
        ("sent", 1, "HTTP 200"),
    ]
    assert again.count_ended(HOOK, 1_000) == {"sent": 1}
    assert again.count_ended(HOOK, 1_001) == {}
    assert not again.set_aside
    assert place.stat().st_mode & 0o077 == 0
    again.close()


def test_a_notice_without_a_trusted_time_ages_from_the_first_trusted_moment(place: Path) -> None:
    file = NoticeFile(place)
    file.queue(HOOK, [notice(1), notice(2)], Cursor(2, b""), [5_000, None])
    assert file.expire(HOOK, 4_999, 100) == []
    assert file.expire(HOOK, 5_000, 100) == [notice(1)]
    assert file.expire(HOOK, 5_099, 100) == [notice(2)]
    file.close()


def test_the_oldest_expire_where_too_many_wait(place: Path) -> None:
    file = NoticeFile(place)
    file.queue(HOOK, [notice(seq) for seq in range(1, 6)], Cursor(5, b""), [None] * 5)
    assert file.expire_beyond(HOOK, 5, 0) == []
    assert {each.seq for each in file.expire_beyond(HOOK, 3, 0)} == {1, 2}
    assert [row.last_result for row in file.newest(9)][:2] == ["too many were queued"] * 2
    file.close()


def test_a_receiver_that_is_not_configured_any_more_is_left(place: Path) -> None:
    file = NoticeFile(place)
    file.queue(HOOK, [notice(1)], Cursor(1, b""), [None])
    file.queue("http://127.0.0.1/other", [notice(1)], Cursor(1, b""), [None])
    assert file.leave([HOOK], 0) == 1
    assert [(row.receiver, row.state) for row in file.newest(9)] == [
        ("http://127.0.0.1/other", "expired"),
        (HOOK, "queued"),
    ]
    assert file.cursor("http://127.0.0.1/other") is None
    file.close()


def _noise(place: Path) -> None:
    place.write_bytes(b"no database at all" * 100)


def _later_release(place: Path) -> None:
    NoticeFile(place).newest(1)
    apsw.Connection(str(place)).execute("PRAGMA user_version = 99")


def _other_program(place: Path) -> None:
    apsw.Connection(str(place)).execute("CREATE TABLE mine (x)")


@pytest.mark.parametrize("spoil", [_noise, _later_release, _other_program])
def test_a_file_that_cannot_be_used_is_set_aside(place: Path, spoil: object) -> None:
    assert callable(spoil)
    spoil(place)
    found = place.read_bytes()
    file = NoticeFile(place)
    assert file.cursor(HOOK) is None
    assert "set aside" in file.set_aside
    assert place.with_name(place.name + ".unusable").read_bytes() == found
    file.queue(HOOK, [notice(1)], Cursor(1, b""), [None])
    assert file.queued(HOOK) == [notice(1)]
    file.close()


def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoticesUnusable, match="no-such-folder"):
        NoticeFile(tmp_path / "no-such-folder" / "x.notices").newest(1)
