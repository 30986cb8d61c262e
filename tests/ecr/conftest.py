"""A terminal as a process of its own, driven over HTTP: the lab without PC/SC, up for one file of tests."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from taplab.register import Register
from taplab.world import World

WAIT_S = 10.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("lab"), pcsc=False) as world:
        yield world


@pytest.fixture
def register(world: World) -> Iterator[Register]:
    """A register at a free counter, which is freed again afterwards."""
    register = Register(world.ecr_url)
    register.wait_until("ready", True, WAIT_S)
    yield register
    world.network.up()
    world.remove(world.reader("pn532"))
    if ref := register.health()["at_counter"]:
        register.call("POST", f"/v1/payments/{ref}/cancel", key="clean up")
    register.wait_until("at_counter", None, WAIT_S)
    register.wait_until("host", "reachable", WAIT_S)


@pytest.fixture
def connection(world: World) -> Iterator[http.client.HTTPConnection]:
    """For what a register would never send."""
    place = urlsplit(world.ecr_url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=WAIT_S)
    yield connection
    connection.close()
