"""The stream of events by itself: every state that was told, in its order, however late it is read."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from threading import Thread
from typing import Any, cast

from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.terminal.effects import Tell
from taptill.terminal.events import Event
from taptill.terminal.front import Front, HealthView
from taptill.terminal.view import PaymentView
from taptill.ui.ecr.news import payment_events

TOLD = ["armed", "reading", "authorizing", "approved"]


async def _view_after_the_fact(ref: str) -> PaymentView | None:
    """By the time a listener looks, the journal is further on."""
    return cast(PaymentView, {"payment_ref": ref, "state": "approved"}) if ref != "forgotten" else None


def _nobody(event: Event) -> None:
    raise AssertionError(f"nobody asked for {event}")


def _no_health() -> HealthView:
    raise AssertionError("nobody asked")


def _tell_everything(front: Front) -> None:
    for ref in ("p1", "forgotten"):
        for state in TOLD:
            front.tell(Tell(ref, state))


async def _listen(front: Front) -> list[dict[str, Any]]:
    """What a listener hears of things told from another thread, until the server closes."""
    closing = asyncio.Event()
    stream = payment_events(front, _view_after_the_fact, closing)
    assert (await anext(stream)).startswith(": ")
    loop = Thread(target=_tell_everything, args=(front,))
    loop.start()
    loop.join()
    heard = [json.loads((await anext(stream)).partition("data: ")[2]) for _ in TOLD]
    closing.set()
    assert [event async for event in stream] == []
    return heard


def test_states_are_told_in_order_even_when_the_journal_is_ahead(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path / "journal.sqlite")
    heard = asyncio.run(_listen(Front(_nobody, journal, _no_health)))
    journal.close()
    assert [event["state"] for event in heard] == TOLD
    assert {event["payment_ref"] for event in heard} == {"p1"}
