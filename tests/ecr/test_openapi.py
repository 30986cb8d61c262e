"""The document at /openapi.json describes what is served, no more and no less."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.routing import Route

from taplab.register import Register
from taptill.host.profile import AES_PROFILE, load_profile
from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.terminal.events import Event
from taptill.terminal.front import Front, HealthView
from taptill.terminal.view import DebtsView, PaymentsView, PaymentView, RefusalView
from taptill.ui.ecr.app import EcrApi

NOT_FOR_MACHINES = {"/", "/openapi.json"}
WITHOUT_A_KEY = {"/v1/debts/send", "/v1/dispositions"}  # the one moves no money, the other is good for one parking only
FIXED_INTERFACE = {  # DESIGN 6, as far as this release serves it
    ("POST", "/v1/payments"),
    ("GET", "/v1/payments"),
    ("GET", "/v1/payments/{ref}"),
    ("POST", "/v1/payments/{ref}/cancel"),
    ("GET", "/v1/debts"),
    ("POST", "/v1/debts/send"),
    ("POST", "/v1/dispositions"),
    ("GET", "/v1/notices"),
    ("GET", "/v1/health"),
    ("GET", "/v1/events"),
    ("GET", "/metrics"),
}


@pytest.fixture(scope="module")
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    status, document = Register(request.getfixturevalue("world").ecr_url).call("GET", "/openapi.json")
    assert status == 200
    return dict(document)


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def routes(directory: Path) -> Iterator[tuple[str, str]]:
    def health() -> HealthView:
        raise AssertionError("nobody asks")

    def post(event: Event) -> None:
        raise AssertionError("nobody asks")

    journal = SqliteJournal.open(directory / "journal.sqlite")
    app = EcrApi(Front(post, journal, health), load_profile(AES_PROFILE.read_text(encoding="utf-8"))).app()
    journal.close()
    for route in app.routes:
        assert isinstance(route, Route)
        if route.path not in NOT_FOR_MACHINES:
            yield from ((method, route.path) for method in route.methods or () if method != "HEAD")


def test_every_route_is_described_and_every_description_has_its_route(document: dict[str, Any], tmp_path: Path) -> None:
    assert set(operations(document)) == set(routes(tmp_path)) == FIXED_INTERFACE


def test_money_verbs_are_described_with_their_key(document: dict[str, Any]) -> None:
    for (method, path), operation in operations(document).items():
        headers = [each for each in operation["parameters"] if each["in"] == "header" and each["required"]]
        wanted = ["Idempotency-Key"] if method == "POST" and path not in WITHOUT_A_KEY else []
        assert [each["name"] for each in headers] == wanted, path


def test_every_name_that_is_referred_to_is_described(document: dict[str, Any]) -> None:
    names = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert names == set(document["components"]["schemas"])
    assert {"NewPayment", "PaymentView", "RefusalView"} <= names


def test_the_described_body_takes_what_the_api_takes(document: dict[str, Any]) -> None:
    body = document["components"]["schemas"]["NewPayment"]
    assert body["additionalProperties"] is False
    assert body["required"] == ["amount_minor"]
    amount = body["properties"]["amount_minor"]
    assert (amount["type"], amount["minimum"], amount["maximum"]) == ("integer", 1, 999_999_999_999)


def test_answers_have_the_described_shapes(register: Register) -> None:
    ref = register.arm(100)
    shapes = {
        f"/v1/payments/{ref}": PaymentView,
        "/v1/payments": PaymentsView,
        "/v1/debts": DebtsView,
        "/v1/health": HealthView,
        "/v1/payments/no-such": RefusalView,
    }
    for path, shape in shapes.items():
        _, answer = register.call("GET", path)
        assert set(msgspec.convert(answer, shape)) == set(answer), path
