"""What happens at the counter, as server-sent events.

Comes in: every `Tell` of the loop. Goes out: one `payment` event per change, in order, and a comment now and then so
that a connection that died is noticed. Strategy: the loop's thread only hands over; a listener that does not read loses
news and never holds up the counter.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from taptill.terminal.effects import Tell
from taptill.terminal.front import Front
from taptill.terminal.view import PaymentView

STILL_HERE_S = 2.0
UNREAD_NEWS_MAX = 1_000

View = Callable[[str], Awaitable[PaymentView | None]]


async def payment_events(front: Front, view: View, closing: asyncio.Event) -> AsyncIterator[str]:
    """Ends with `closing`. `state` is the one told; the rest of a payment as it stands when the event is written."""
    loop = asyncio.get_running_loop()
    unread: asyncio.Queue[Tell | None] = asyncio.Queue()
    end = asyncio.create_task(_end_of(unread, closing))

    def keep(told: Tell) -> None:
        if unread.qsize() < UNREAD_NEWS_MAX:
            unread.put_nowait(told)

    def hear(told: Tell) -> None:
        with contextlib.suppress(RuntimeError):  # the web's loop has ended
            loop.call_soon_threadsafe(keep, told)

    with front.listening(hear), contextlib.ExitStack() as stack:
        stack.callback(end.cancel)
        yield ": listening\n\n"
        while True:
            try:
                told = await asyncio.wait_for(unread.get(), STILL_HERE_S)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            if told is None:
                return
            payment = await view(told.payment_ref)
            if payment is not None:
                payment["state"] = told.state
                yield f"event: payment\ndata: {msgspec.json.encode(payment).decode()}\n\n"


async def _end_of(unread: asyncio.Queue[Tell | None], closing: asyncio.Event) -> None:
    await closing.wait()
    unread.put_nowait(None)
