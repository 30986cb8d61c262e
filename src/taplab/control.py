"""Lab control: HTTP/JSON on loopback to hold cards to readers, break the network and the printer, and a page for it.

Comes in: requests of a person or a test. Goes out: JSON that says how things stand. Strategy: only the world around the
terminal can be touched here, never the terminal itself.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from taplab.card import packaged_cards
from taplab.world import World
from taptill.errors import TapTillError
from taptill.ui.serve import WebFaces


class Present(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hold `card` (a name) to `reader` (a URL)."""

    card: str
    reader: str


class Remove(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reader: str


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One word of the network's or printer's vocabulary."""

    order: str


class ControlServer:
    """`with ControlServer(world) as control:`; `control.url` is a page and an API."""

    def __init__(self, world: World) -> None:
        self._world = world
        routes = [
            Route("/", self._page),
            Route("/state", self._state),
            Route("/cards/present", self._present, methods=["POST"]),
            Route("/cards/remove", self._remove, methods=["POST"]),
            Route("/network", self._network, methods=["POST"]),
            Route("/printer", self._printer, methods=["POST"]),
            Route("/slips/{number:int}.png", self._slip),
        ]
        self._faces = WebFaces(Starlette(routes=routes), "127.0.0.1:0")
        self.url = f"http://127.0.0.1:{self._faces.port}/"

    def __enter__(self) -> Self:
        self._faces.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._faces.stop()

    async def _page(self, request: Request) -> Response:
        return HTMLResponse((files("taplab") / "control.html").read_text(encoding="utf-8"))

    async def _state(self, request: Request) -> Response:
        return JSONResponse(self._view())

    def _view(self) -> dict[str, Any]:
        world = self._world
        return {
            "kiosk": world.ecr_url,
            "readers": list(world.holders),
            "pcsc_missing": world.pcsc_missing,
            "cards": list(packaged_cards()),
            "network": {"orders": list(self._network_orders()), "replies_lost": world.network.replies_lost},
            "printer": {"orders": list(self._printer_orders())},
            "slips": [job.text for job in world.printer.jobs],
        }

    async def _present(self, request: Request) -> Response:
        return await self._obey(request, Present, lambda order: self._world.present(order.reader, order.card))

    async def _remove(self, request: Request) -> Response:
        return await self._obey(request, Remove, lambda order: self._world.remove(order.reader))

    async def _network(self, request: Request) -> Response:
        return await self._obey(request, Order, lambda order: _named(self._network_orders(), order.order)())

    async def _printer(self, request: Request) -> Response:
        return await self._obey(request, Order, lambda order: _named(self._printer_orders(), order.order)())

    def _network_orders(self) -> dict[str, Callable[[], object]]:
        network = self._world.network
        return {
            "up": network.up,
            "down": network.down,
            "blackhole": network.blackhole,
            "lose next reply": network.lose_next_reply,
        }

    def _printer_orders(self) -> dict[str, Callable[[], object]]:
        printer = self._world.printer
        return {
            "paper out": printer.run_out_of_paper,
            "refill": printer.refill,
            "offline": printer.go_offline,
            "online": printer.come_online,
        }

    async def _obey(self, request: Request, kind: type[Any], act: Callable[[Any], object]) -> Response:
        try:
            order = msgspec.json.decode(await request.body(), type=kind)
            await run_in_threadpool(act, order)
        except (msgspec.DecodeError, TapTillError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        return JSONResponse(self._view())

    async def _slip(self, request: Request) -> Response:
        jobs = self._world.printer.jobs
        number = request.path_params["number"]
        png: Path | None = jobs[number].png if number < len(jobs) else None
        return FileResponse(png) if png else JSONResponse({"error": f"no slip {number}"}, status_code=404)


class UnknownOrder(TapTillError):
    """An order this part of the lab does not know."""

    code = 6105


def _named(orders: dict[str, Callable[[], object]], name: str) -> Callable[[], object]:
    if name not in orders:
        raise UnknownOrder(f"no order {name!r}", where="lab control", next_step=", ".join(orders))
    return orders[name]
