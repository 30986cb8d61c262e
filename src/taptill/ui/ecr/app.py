"""The ECR API: HTTP/JSON on loopback for a cash register, and the kiosk page beside it.

Comes in: requests. Goes out: payments as they stand, server-sent events. Strategy: money verbs need an
`Idempotency-Key`; the same key and body give the same payment again, another body under a used key is a conflict, and
so is a new key for a `client_ref` that is paid or may be. No verb sets a state: it asks the loop and shows the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from importlib.resources import files

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from taptill.errors import TapTillError
from taptill.host.profile import Profile
from taptill.terminal.effects import Answer
from taptill.terminal.front import Front, HealthView, TerminalBusy
from taptill.terminal.machine import is_open
from taptill.terminal.notice_desk import NoticesView
from taptill.terminal.situation import Situation
from taptill.terminal.view import (
    DebtsView,
    ErrorView,
    PaymentsView,
    PaymentView,
    RefusalView,
    debts_view,
    payment_view,
    refusal_view,
)
from taptill.ui.ecr.news import payment_events
from taptill.ui.ecr.openapi import Operation, describe
from taptill.ui.ecr.orders import (
    BadRequest,
    BodyTooLarge,
    NewPayment,
    OfferedDisposition,
    digest_of,
    idempotency_key,
    read_new_payment,
    read_offered,
)

PAYMENTS_SHOWN_MAX = 50
NOTICES_SHOWN_MAX = 200
STREAMS_MAX = 32
_STATUS = {  # any other refusal is a conflict
    "journal-not-writable": 503,
    "disk-full": 503,
    "disk-slow": 503,
    "disposition-not-stored": 503,
    "currency-not-accepted": 422,
    "reason-holds-a-card-number": 422,
    "operator-unknown": 403,
    "signature-wrong": 403,
    "statement-for-another-terminal": 403,
}
_COUNTER = (400, 409, 503)

Endpoint = Callable[[Request], Awaitable[Response]]


class EcrApi:
    """The endpoints over one terminal."""

    def __init__(self, front: Front, profile: Profile) -> None:
        self._front = front
        self._profile = profile
        self._streams = 0

    def app(self) -> Starlette:
        endpoints: dict[tuple[str, str], Endpoint] = {
            ("POST", "/v1/payments"): self._arm,
            ("GET", "/v1/payments"): self._find,
            ("GET", "/v1/payments/{ref}"): self._show,
            ("POST", "/v1/payments/{ref}/cancel"): self._cancel,
            ("GET", "/v1/debts"): self._debts,
            ("POST", "/v1/debts/send"): self._send_now,
            ("POST", "/v1/dispositions"): self._dispose,
            ("GET", "/v1/notices"): self._notices,
            ("GET", "/v1/health"): self._health,
            ("GET", "/v1/events"): self._events,
            ("GET", "/metrics"): self._show_metrics,
        }
        routes = [
            Route(each.path, partial(_answered, endpoints[each.method, each.path]), methods=[each.method])
            for each in OPERATIONS
        ]
        pages = [Route("/", self._kiosk), Route("/openapi.json", self._describe)]
        return Starlette(routes=[*pages, *routes], exception_handlers={HTTPException: _not_here})

    async def _kiosk(self, request: Request) -> Response:
        page = (files("taptill.ui.kiosk") / "page.html").read_text(encoding="utf-8")
        return HTMLResponse(page, headers={"Cache-Control": "no-store"})

    async def _describe(self, request: Request) -> Response:
        return JSONResponse(describe(OPERATIONS, version("taptill")))

    async def _arm(self, request: Request) -> Response:
        key = idempotency_key(request)
        wanted = await read_new_payment(request)
        client_ref = wanted.client_ref or key
        known = await run_in_threadpool(self._front.payment_ref_of_key, key)
        digest = digest_of(key, wanted)
        money = (wanted.amount_minor, wanted.currency)
        answer = await run_in_threadpool(self._front.arm, key, client_ref, *money, digest)
        return await self._show_answer(answer, done=200 if known else 201)

    async def _cancel(self, request: Request) -> Response:
        idempotency_key(request)
        if await self._view(request.path_params["ref"]) is None:
            return _no_payment(request)
        answer = await run_in_threadpool(self._front.cancel, request.path_params["ref"])
        return await self._show_answer(answer, done=200)

    async def _show_answer(self, answer: Answer, done: int) -> Response:
        view = await self._view(answer.payment_ref) if answer.payment_ref else None
        if answer.refusal is None:
            return JSONResponse(view, status_code=done)
        refused = refusal_view(answer.refusal, view, self._profile)
        return JSONResponse(refused, status_code=_STATUS.get(refused["error"]["code"], 409))

    async def _view(self, payment_ref: str) -> PaymentView | None:
        return await run_in_threadpool(self._view_now, payment_ref)

    def _view_now(self, payment_ref: str) -> PaymentView | None:
        payment = self._front.payment(payment_ref)
        if payment is None:
            return None
        debts, latest = self._front.open_debts(payment_ref), self._front.latest(payment_ref)
        situation: Situation | None = None
        if is_open(payment.state) or debts:
            with suppress(TerminalBusy):  # a payment is shown even while nobody can say what it waits for
                situation = self._front.situation()
        return payment_view(payment, debts, latest, self._profile, situation)

    async def _show(self, request: Request) -> Response:
        view = await self._view(request.path_params["ref"])
        return JSONResponse(view) if view is not None else _no_payment(request)

    async def _find(self, request: Request) -> Response:
        client_ref = request.query_params.get("client_ref")
        if client_ref is None:
            refs = await run_in_threadpool(self._front.latest_payment_refs, PAYMENTS_SHOWN_MAX)
        else:
            found = await run_in_threadpool(self._front.payment_ref_of, client_ref)
            refs = [found] if found else []
        return JSONResponse({"payments": [await self._view(ref) for ref in refs]})

    async def _debts(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._debts_now))

    def _debts_now(self) -> DebtsView:
        return debts_view(self._front.open_debts(), self._front.situation())

    async def _send_now(self, request: Request) -> Response:
        await run_in_threadpool(self._front.send_now)
        return await self._debts(request)

    async def _dispose(self, request: Request) -> Response:
        answer = await run_in_threadpool(self._front.dispose, await read_offered(request))
        return await self._show_answer(answer, done=200)

    async def _notices(self, request: Request) -> Response:
        return JSONResponse({"notices": await run_in_threadpool(self._front.newest_notices, NOTICES_SHOWN_MAX)})

    async def _health(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._front.health))

    async def _show_metrics(self, request: Request) -> Response:
        from taptill.ui.ecr.metrics import MEDIA_TYPE, metrics_text  # nobody at the counter waits for this import

        return Response(await run_in_threadpool(metrics_text, self._front), media_type=MEDIA_TYPE)

    async def _events(self, request: Request) -> Response:
        if self._streams >= STREAMS_MAX:
            return _error(503, "too-many-streams", f"{STREAMS_MAX} listeners are connected", "close one of them")
        return StreamingResponse(
            self._stream(request.app.state.closing),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )

    async def _stream(self, closing: asyncio.Event) -> AsyncIterator[str]:
        self._streams += 1
        try:
            async for event in payment_events(self._front, self._view, closing):
                yield event
        finally:
            self._streams -= 1


OPERATIONS = (
    Operation(
        "POST",
        "/v1/payments",
        "Arm the terminal for a payment; 201 when new, 200 when it is the same request again",
        PaymentView,
        statuses=(200, 201),
        refusals=(*_COUNTER, 413, 422),
        body=NewPayment,
        needs_key=True,
    ),
    Operation(
        "GET",
        "/v1/payments",
        f"The newest {PAYMENTS_SHOWN_MAX} payments, or the one the register named so",
        PaymentsView,
        refusals=(503,),
        query={"client_ref": "the register's own name for a payment"},
    ),
    Operation("GET", "/v1/payments/{ref}", "A payment as it stands", PaymentView, refusals=(404, 503)),
    Operation(
        "POST",
        "/v1/payments/{ref}/cancel",
        "End a payment of which nothing was sent",
        PaymentView,
        refusals=(*_COUNTER, 404),
        needs_key=True,
    ),
    Operation(
        "GET", "/v1/debts", "What the terminal owes the acquirer, and what it waits for", DebtsView, refusals=(503,)
    ),
    Operation(
        "POST",
        "/v1/debts/send",
        "End every wait and send what is owed now; what is parked stays parked, no money moves by it",
        DebtsView,
        refusals=(503,),
    ),
    Operation(
        "POST",
        "/v1/dispositions",
        "An operator's signed decision about a parked debt or transaction",
        PaymentView,
        refusals=(*_COUNTER, 403, 413, 422),
        body=OfferedDisposition,
    ),
    Operation(
        "GET", "/v1/notices", f"The newest {NOTICES_SHOWN_MAX} notices to webhooks", NoticesView, refusals=(503,)
    ),
    Operation("GET", "/v1/health", "Whether a sale can start, and what is in the way", HealthView),
    Operation("GET", "/v1/events", "One server-sent event `payment` per change", "text/event-stream", refusals=(503,)),
    Operation("GET", "/metrics", "Figures in Prometheus' text format", "text/plain", refusals=(503,)),
)


async def _answered(endpoint: Endpoint, request: Request) -> Response:
    """Declared errors become JSON that says what to do; others stay server errors."""
    try:
        return await endpoint(request)
    except BodyTooLarge as error:
        # Without this the rest of the body would still be received, however long it is.
        return _error(413, str(error.code), str(error), error.next_step, {"Connection": "close"})
    except BadRequest as error:
        return _error(400, str(error.code), str(error), error.next_step)
    except TapTillError as error:
        return _error(503, str(error.code), str(error), error.next_step)
    except ClientDisconnect:
        return _NoAnswer()


class _NoAnswer(Response):
    """Whoever asked has gone in the middle of the request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        return


async def _not_here(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    where = f"{request.method} {request.url.path}"
    return _error(error.status_code, "not-here", f"{where}: {error.detail}", "see /openapi.json", error.headers)


def _no_payment(request: Request) -> Response:
    return _error(404, "payment-not-found", f"no payment {request.path_params['ref']}")


def _error(
    status: int, code: str, what: str, next_step: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    error = ErrorView(code=code, what=what, next_step=next_step, reason=None)
    return JSONResponse(RefusalView(error=error, payment=None), status_code=status, headers=headers)
