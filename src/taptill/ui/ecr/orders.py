"""What a cash register may order: the shapes of its requests, and the refusal of everything else.

Comes in: a request's headers and body. Goes out: typed values. Strategy: strict; an unknown field, a wrong type or an
amount nobody can owe is an error that names the place, before anything reaches the till.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated, TypeVar

import msgspec
from starlette.requests import Request

from taptill.amount.money import AMOUNT_MINOR_MAX, CNY
from taptill.errors import TapTillError
from taptill.journal.disposition import Offer, StatementMalformed, read_offer

BODY_OCTETS_MAX = 16_384
Body = TypeVar("Body")
NAME_CHARACTERS_MAX = 255
KEY_HEADER = "Idempotency-Key"


class NewPayment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/payments`. `client_ref` is the register's own name for what is sold: it can be asked for
    again, with a new key, once it is proven not paid. Without one the Idempotency-Key is the name."""

    amount_minor: Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MINOR_MAX)]
    currency: str = CNY.letters
    client_ref: Annotated[str, msgspec.Meta(max_length=NAME_CHARACTERS_MAX)] = ""


class OfferedDisposition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/dispositions`. `statement` is the exact text that was signed, JSON with sorted keys;
    `signature` is its Ed25519 signature in hex. `taptill dispose` makes both."""

    statement: str
    signature: str


class BadRequest(TapTillError):
    """The register sent something this API does not take."""

    code = 7002


class BodyTooLarge(BadRequest):
    """More bytes than any request here needs."""

    code = 7003


def idempotency_key(request: Request) -> str:
    """Raises BadRequest for a request without one."""
    key = request.headers.get(KEY_HEADER, "")
    if not 1 <= len(key) <= NAME_CHARACTERS_MAX:
        raise BadRequest(
            f"money verbs need an {KEY_HEADER} header of 1 to {NAME_CHARACTERS_MAX} characters",
            where=_place(request),
            next_step=f"send one and keep it over retries, e.g. {secrets.token_hex(8)}",
        )
    return key


async def read_new_payment(request: Request) -> NewPayment:
    """Raises BadRequest naming the field, BodyTooLarge, ClientDisconnect."""
    return await _read(request, NewPayment)


async def read_offered(request: Request) -> Offer:
    """Raises BadRequest naming the field, BodyTooLarge, ClientDisconnect."""
    body = await _read(request, OfferedDisposition)
    try:
        return read_offer(body.statement, body.signature)
    except StatementMalformed as error:
        raise BadRequest(f"statement: {error.what}", where=_place(request), next_step=error.next_step) from error


async def _read(request: Request, shape: type[Body]) -> Body:
    try:
        return msgspec.json.decode(await _read_body(request), type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(str(error), where=_place(request)) from error


async def _read_body(request: Request) -> bytes:
    """No more of it than may be needed."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_OCTETS_MAX:
            raise BodyTooLarge(f"the body has more than {BODY_OCTETS_MAX} bytes", where=_place(request))
    return body


def digest_of(key: str, wanted: NewPayment) -> str:
    """Fingerprint of the whole request: a repeat has the same one."""
    return hashlib.sha256(key.encode() + b"\n" + msgspec.json.encode(wanted)).hexdigest()


def _place(request: Request) -> str:
    return f"{request.method} {request.url.path}"
