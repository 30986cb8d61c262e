"""The ECR API: HTTP/JSON on loopback for a cash register, and the kiosk page beside it.

Comes in: requests. Goes out: payments as they stand, server-sent events. Strategy: money verbs need an
`Idempotency-Key`; the same key and body give the same payment again, another body under a used `client_ref` is a
conflict that names the payment. No verb sets a state: it asks the loop and shows what the journal says.
"""

from __future__ import annotations

import asyncio
import hashlib
import queue
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.resources import files

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from taptill.amount.money import CNY, AmountError, Money
from taptill.errors import TapTillError
from taptill.host.profile import Profile
from taptill.terminal.effects import Answer
from taptill.terminal.front import Front
from taptill.terminal.view import PaymentView, debt_view, payment_view

EVENT_WAIT_S = 2.0
BODY_OCTETS_MAX = 16_384
_CONFLICTS = {"client-ref-used", "counter-busy", "too-late-to-cancel"}


class NewPayment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/payments`. `client_ref` is the register's own name for it, unique per payment."""

    amount_minor: int
    currency: str = CNY.letters
    client_ref: str = ""


class BadRequest(TapTillError):
    """The register sent something this API does not take."""

    code = 7002


class EcrApi:
    """The endpoints over one terminal."""

    def __init__(self, front: Front, profile: Profile) -> None:
        self._front = front
        self._profile = profile

    def app(self) -> Starlette:
        routes = [
            Route("/", self._kiosk),
            Route("/v1/payments", _guarded(self._arm), methods=["POST"]),
            Route("/v1/payments", _guarded(self._find), methods=["GET"]),
            Route("/v1/payments/{ref}", _guarded(self._show)),
            Route("/v1/payments/{ref}/cancel", _guarded(self._cancel), methods=["POST"]),
            Route("/v1/debts", _guarded(self._debts)),
            Route("/v1/health", _guarded(self._health)),
            Route("/v1/events", self._events),
        ]
        return Starlette(routes=routes)

    async def _kiosk(self, request: Request) -> Response:
        page = (files("taptill.ui.kiosk") / "page.html").read_text(encoding="utf-8")
        return HTMLResponse(page, headers={"Cache-Control": "no-store"})

    async def _arm(self, request: Request) -> Response:
        key = _idempotency_key(request)
        body = await request.body()
        wanted = _new_payment(body)
        Money(wanted.amount_minor)
        digest = hashlib.sha256(key.encode() + b"\n" + msgspec.json.encode(wanted)).hexdigest()
        client_ref = wanted.client_ref or key
        answer = await run_in_threadpool(self._front.arm, client_ref, wanted.amount_minor, wanted.currency, digest)
        return await self._answered(answer, created=201)

    async def _cancel(self, request: Request) -> Response:
        _idempotency_key(request)
        answer = await run_in_threadpool(self._front.cancel, request.path_params["ref"])
        return await self._answered(answer, created=200)

    async def _answered(self, answer: Answer, created: int) -> Response:
        view = await self._view(answer.payment_ref) if answer.payment_ref else None
        if answer.refusal is None:
            return JSONResponse(view, status_code=created)
        status = 409 if answer.refusal in _CONFLICTS else 422
        return JSONResponse({"error": {"code": answer.refusal}, "payment": view}, status_code=status)

    async def _view(self, payment_ref: str) -> PaymentView | None:
        return await run_in_threadpool(self._view_now, payment_ref)

    def _view_now(self, payment_ref: str) -> PaymentView | None:
        payment = self._front.payment(payment_ref)
        if payment is None:
            return None
        return payment_view(payment, self._front.open_debts(), self._front.latest(payment_ref), self._profile)

    async def _show(self, request: Request) -> Response:
        view = await self._view(request.path_params["ref"])
        if view is None:
            return _error(404, "payment-not-found", f"no payment {request.path_params['ref']}")
        return JSONResponse(view)

    async def _find(self, request: Request) -> Response:
        client_ref = request.query_params.get("client_ref")
        if client_ref is None:
            refs = await run_in_threadpool(self._front.payment_refs)
        else:
            found = await run_in_threadpool(self._front.payment_ref_of, client_ref)
            refs = [found] if found else []
        return JSONResponse({"payments": [await self._view(ref) for ref in refs]})

    async def _debts(self, request: Request) -> Response:
        debts = await run_in_threadpool(self._front.open_debts)
        return JSONResponse({"debts": [debt_view(debt) for debt in debts]})

    async def _health(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._front.health))

    async def _events(self, request: Request) -> Response:
        return StreamingResponse(self._stream(request), media_type="text/event-stream")

    async def _stream(self, request: Request) -> AsyncIterator[str]:
        with self._front.news() as news:
            while not await request.is_disconnected():
                try:
                    told = await run_in_threadpool(news.get, True, EVENT_WAIT_S)
                except queue.Empty:
                    yield ": still here\n\n"
                    continue
                view = await self._view(told.payment_ref)
                yield f"event: payment\ndata: {msgspec.json.encode(view).decode()}\n\n"
                await asyncio.sleep(0)


def _idempotency_key(request: Request) -> str:
    key = request.headers.get("Idempotency-Key", "")
    if not 1 <= len(key) <= 255:
        raise BadRequest(
            "money verbs need an Idempotency-Key header of 1 to 255 characters",
            where=f"{request.method} {request.url.path}",
            next_step=f"send one and keep it over retries, e.g. {secrets.token_hex(8)}",
        )
    return key


def _new_payment(body: bytes) -> NewPayment:
    if len(body) > BODY_OCTETS_MAX:
        raise BadRequest(f"the body has more than {BODY_OCTETS_MAX} bytes", where="POST /v1/payments")
    try:
        return msgspec.json.decode(body, type=NewPayment)
    except msgspec.DecodeError as error:
        raise BadRequest(str(error), where="POST /v1/payments") from error


Endpoint = Callable[[Request], Awaitable[Response]]


def _guarded(endpoint: Endpoint) -> Endpoint:
    """Declared errors become JSON that says who must act; others stay server errors."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (BadRequest, AmountError) as error:
            return _error(400, str(error.code), str(error), error.next_step)
        except TapTillError as error:
            return _error(503, str(error.code), str(error), error.next_step)

    return answer


def _error(status: int, code: str, what: str, next_step: str = "") -> JSONResponse:
    return JSONResponse({"error": {"code": code, "what": what, "next_step": next_step}}, status_code=status)
