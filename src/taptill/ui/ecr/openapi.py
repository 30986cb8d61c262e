"""The ECR API described for machines: OpenAPI 3.1, made from the table of operations that also makes the routes.

Comes in: operations. Goes out: a plain dictionary. Strategy: bodies and answers are described by the very types the
program reads and writes, so that the description cannot say anything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from taptill.terminal.view import RefusalView
from taptill.ui.ecr.orders import KEY_HEADER, NAME_CHARACTERS_MAX

_REF = "#/components/schemas/{name}"
_ANSWERS = {
    400: "The request is not one of this API",
    403: "The signature does not count here",
    404: "No such payment",
    409: "It contradicts a payment, which is shown",
    413: "The body is too large",
    422: "This terminal does not take it",
    503: "The terminal cannot answer now; ask again with the same key",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path. `answer` is a type, or the media type of something that is no JSON."""

    method: str
    path: str
    summary: str
    answer: type | str
    statuses: tuple[int, ...] = (200,)
    refusals: tuple[int, ...] = ()
    body: type | None = None
    needs_key: bool = False
    query: Mapping[str, str] = field(default_factory=dict)


def describe(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """The whole document."""
    operations = tuple(operations)
    types = [shape for each in operations for shape in (each.answer, each.body) if isinstance(shape, type)]
    schemas, components = msgspec.json.schema_components([*types, RefusalView], ref_template=_REF)
    named = dict(zip([*types, RefusalView], schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, named)
    return {
        "openapi": "3.1.0",
        "info": {"title": "TapTill ECR API", "version": version, "description": "Amounts are in minor units (fen)."},
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(each: Operation, named: Mapping[type, Any]) -> dict[str, Any]:
    shape = named[each.answer] if isinstance(each.answer, type) else {"type": "string"}
    media = "application/json" if isinstance(each.answer, type) else each.answer
    answers = {str(status): _answer(each.summary, media, shape) for status in each.statuses}
    refusal = named[RefusalView]
    answers |= {str(status): _answer(_ANSWERS[status], "application/json", refusal) for status in each.refusals}
    described: dict[str, Any] = {"summary": each.summary, "parameters": _parameters(each), "responses": answers}
    if each.body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": named[each.body]}}}
    return described


def _answer(what: str, media: str, schema: Any) -> dict[str, Any]:
    return {"description": what, "content": {media: {"schema": schema}}}


def _parameters(each: Operation) -> list[dict[str, Any]]:
    text = {"type": "string", "maxLength": NAME_CHARACTERS_MAX}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", each.path)
    ]
    if each.needs_key:
        keep = "Your name for this request; keep it over retries"
        parameters.append({"name": KEY_HEADER, "in": "header", "required": True, "description": keep, "schema": text})
    for name, what in each.query.items():
        parameters.append({"name": name, "in": "query", "description": what, "schema": text})
    return parameters
