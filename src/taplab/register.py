"""A cash register: drives the terminal through its local API, as an integrator would.

Comes in: amounts. Goes out: payments as the terminal shows them. Strategy: plain HTTP, a key per payment that survives
a retry, and a deadline on every wait.
"""

from __future__ import annotations

import http.client
import json
import time
import uuid
from typing import Any
from urllib.parse import urlsplit

from taptill.errors import TapTillError

REQUEST_WAIT_S = 10.0
LOOK_EVERY_S = 0.05


class RegisterError(TapTillError):
    """The terminal refused, or did not come to what was waited for."""

    code = 6104


class Register:
    """One counter. `base_url` may be changed after a restart of the terminal."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, key: str = "") -> tuple[int, Any]:
        """Status and JSON. Raises OSError while the terminal is down."""
        place = urlsplit(self.base_url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=REQUEST_WAIT_S)
        try:
            headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()

    def arm(self, amount_minor: int) -> str:
        """The reference of a new payment. Raises RegisterError."""
        status, reply = self.call("POST", "/v1/payments", {"amount_minor": amount_minor}, uuid.uuid4().hex)
        if status != 201:
            raise RegisterError(f"{status} {reply.get('error')}", where="POST /v1/payments")
        return str(reply["payment_ref"])

    def cancel(self, payment_ref: str) -> None:
        """Raises RegisterError when it is too late."""
        status, reply = self.call("POST", f"/v1/payments/{payment_ref}/cancel", {}, uuid.uuid4().hex)
        if status != 200:
            raise RegisterError(f"{status} {reply.get('error')}", where=f"payment {payment_ref}")

    def payment(self, payment_ref: str) -> dict[str, Any]:
        _, reply = self.call("GET", f"/v1/payments/{payment_ref}")
        return dict(reply)

    def debts(self) -> list[dict[str, Any]]:
        return list(self.call("GET", "/v1/debts")[1]["debts"])

    def health(self) -> dict[str, Any]:
        return dict(self.call("GET", "/v1/health")[1])

    def wait_for(self, payment_ref: str, states: set[str], timeout_s: float) -> dict[str, Any]:
        """The payment once it is in one of `states`. Raises RegisterError naming where it stayed."""
        deadline = time.monotonic() + timeout_s
        payment = self.payment(payment_ref)
        while payment["state"] not in states:
            if time.monotonic() > deadline:
                wanted = ", ".join(sorted(states))
                raise RegisterError(f"stayed {payment['state']}, not {wanted}", where=f"payment {payment_ref}")
            time.sleep(LOOK_EVERY_S)
            payment = self.payment(payment_ref)
        return payment

    def wait_for_message(self, payment_ref: str, word: str, timeout_s: float) -> dict[str, Any]:
        """The message whose code is `word`, or begins so, once it is shown. Raises RegisterError."""
        deadline = time.monotonic() + timeout_s
        while True:
            message = self.payment(payment_ref)["message"] or {"code": ""}
            if message["code"].partition(":")[0] == word:
                return dict(message)
            if time.monotonic() > deadline:
                raise RegisterError(f"told {message['code']!r}, not {word!r}", where=f"payment {payment_ref}")
            time.sleep(LOOK_EVERY_S)

    def wait_until(self, what: str, wanted: Any, timeout_s: float) -> None:
        """Until `GET /v1/health` shows `what` as `wanted`. Raises RegisterError."""
        deadline = time.monotonic() + timeout_s
        while (seen := self.health()[what]) != wanted:
            if time.monotonic() > deadline:
                raise RegisterError(f"{what} stayed {seen!r}, not {wanted!r}", where="GET /v1/health")
            time.sleep(LOOK_EVERY_S)
