"""The verdict itself: each kind of wrong is seen in books that were made wrong by hand.

Strategy: one sale in a real lab, then the host's database or the register's memory is changed behind everybody's back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from random import Random

import pytest

from taplab.hardship.counter import Counter, Sale
from taplab.hardship.forked_program import ForkedProgram
from taplab.hardship.settling import wait_settled
from taplab.hardship.verdict import settled_books
from taplab.world import World


@pytest.fixture(scope="module")
def sold(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Sale]]:
    with World(tmp_path_factory.mktemp("verdict"), pcsc=False, program=ForkedProgram) as world:
        assert wait_settled(world) == ""
        sale = Counter(world, Random(1)).sell()
        assert wait_settled(world) == ""
        world.stop_terminal()
        world.stop_host()
        yield world, sale


@pytest.fixture
def host_books(sold: tuple[World, Sale]) -> Iterator[sqlite3.Connection]:
    """Changes are taken back afterwards."""
    path = Path(sold[0].files.host_database)
    with sqlite3.connect(path) as connection:
        kept = connection.serialize()
        connection.isolation_level = None
        yield connection
    connection.close()
    for leftover in path.parent.glob(path.name + "-*"):
        leftover.unlink()
    path.write_bytes(kept)


def test_honest_books_have_nothing_wrong(sold: tuple[World, Sale]) -> None:
    world, sale = sold
    books = settled_books(world, [sale])
    assert sale.state == "approved"
    assert books.wrong == ()
    assert books.shown_as_paid == books.matched == 1
    assert books.terminal_minor == books.host_minor == sale.amount_minor


def test_a_capture_the_host_has_lost_is_seen(sold: tuple[World, Sale], host_books: sqlite3.Connection) -> None:
    host_books.execute("DELETE FROM entries")
    wrong = settled_books(sold[0], [sold[1]]).wrong
    assert any("the host has no such record" in sentence for sentence in wrong)
    assert any("fen are due, the host has 0" in sentence for sentence in wrong)


def test_a_payment_shown_and_forgotten_is_seen(sold: tuple[World, Sale]) -> None:
    made_up = Sale("order", 100, "good_credit", payment_ref="261122-00099-abcd", shown=["armed", "approved"])
    assert any("is forgotten" in sentence for sentence in settled_books(sold[0], [sold[1], made_up]).wrong)


@pytest.mark.parametrize("shown", ["declined", "cancelled", "reversing"])
def test_a_result_that_changed_after_it_was_shown_is_seen(sold: tuple[World, Sale], shown: str) -> None:
    told_otherwise = deepcopy(sold[1])
    told_otherwise.shown.append(shown)
    wrong = settled_books(sold[0], [told_otherwise]).wrong
    assert wrong == (f"payment {sold[1].payment_ref} was shown as {shown} and ended as approved",)


def test_an_order_captured_under_another_amount_is_seen(sold: tuple[World, Sale]) -> None:
    dearer = deepcopy(sold[1])
    dearer.amount_minor += 1
    assert any("fen are due" in sentence for sentence in settled_books(sold[0], [dearer]).wrong)
