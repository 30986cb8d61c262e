"""Whose certificate is believed when: real TLS, and a terminal whose clock is not the machine's."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from taptill.clock import SystemClock, Timestamp, Trust
from taptill.credential.adapters.file_keystore import FileKeyStore
from taptill.host.adapters.tls import TlsFiles, TlsLink
from taptill.host.adapters.tls_dates import date_refusal
from taptill.host.compose import RequestFacts, compose
from taptill.host.exchange import ExchangeResult, HostRequest, NotSent, Replied
from taptill.host.framing import frame
from taptill.host.link import ExchangeEnded, LinkEvent
from taptill.host.profile import Profile

WAIT_S = 10.0
DAY_MS = 86_400_000
TODAY_MS = time.time_ns() // 1_000_000  # the certificates are made around the machine's day


class MakeFacts(Protocol):
    def __call__(self, **changes: Any) -> RequestFacts: ...


class AnswerRequest(Protocol):
    def __call__(
        self, request_wire: bytes, code: str = "00", /, *, mti: str = "", mac: bytes | None = None, **changes: Any
    ) -> bytes: ...


class Certificates(Protocol):
    ca: Path
    terminal: Path


class LoopbackHost(Protocol):
    url: str
    bodies: list[bytes]


class StartHost(Protocol):
    def __call__(
        self,
        respond: Callable[[bytes], bytes | None],
        tls_1_2: bool = False,
        tickets: int = 2,
        certificate: str = "host",
    ) -> LoopbackHost: ...


class Machine:
    """A TimeSource that says the same day all the time."""

    def __init__(self, wall_ms: int, trust: Trust) -> None:
        self._wall_ms, self._trust = wall_ms, trust

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1000

    def wall_ms(self) -> int:
        return self._wall_ms

    def trust(self) -> Trust:
        return self._trust


class AskAt(Protocol):
    def __call__(
        self, certificate: str, wall_ms: int, trust: Trust, floor_ms: int = ..., ca: str = ...
    ) -> tuple[ExchangeResult, list[bytes]]: ...


@pytest.fixture
def ask_at(
    start_host: StartHost,
    certificates: Certificates,
    profile: Profile,
    keys: FileKeyStore,
    facts: MakeFacts,
    answer: AnswerRequest,
) -> Iterator[AskAt]:
    """One sale with a machine's time, to a host with that certificate; its result and what the host read."""
    links: list[TlsLink] = []

    def ask(
        certificate: str, wall_ms: int, trust: Trust, floor_ms: int = TODAY_MS - 300 * DAY_MS, ca: str = "ca"
    ) -> tuple[ExchangeResult, list[bytes]]:
        host = start_host(lambda body: frame(answer(body)), certificate=certificate)
        files = TlsFiles(
            certificates.ca.with_name(f"{ca}.pem"), certificates.terminal, certificates.terminal, "host.test"
        )
        events: queue.Queue[LinkEvent] = queue.Queue()
        clock = SystemClock(floor_ms, Machine(wall_ms, trust))
        links.append(TlsLink([host.url], files, profile, keys, clock, events.put))
        sale: HostRequest = compose(profile, "sale", facts(), keys)
        links[-1].ask(sale, 5_000)
        while not isinstance(event := events.get(timeout=WAIT_S), ExchangeEnded):
            pass
        return event.result, host.bodies

    yield ask
    for link in links:
        link.close()


@pytest.mark.parametrize("trust", [Trust.NTP, Trust.HOST])
def test_an_expired_certificate_gets_no_byte(ask_at: AskAt, trust: Trust) -> None:
    result, read = ask_at("past", TODAY_MS, trust)
    assert isinstance(result, NotSent)
    assert result.reason.startswith("tls: the host's certificate expired on 20")
    assert "; ask the acquirer to renew it (tls://127.0.0.1:" in result.reason
    assert read == []


def test_a_certificate_that_is_not_valid_yet_gets_no_byte_while_the_time_is_trusted(ask_at: AskAt) -> None:
    result, read = ask_at("future", TODAY_MS, Trust.NTP)
    assert isinstance(result, NotSent)
    assert result.reason.startswith("tls: the host's certificate is valid from ")
    assert "; set this machine's clock, or ask the acquirer to renew it (tls://127.0.0.1:" in result.reason
    assert read == []


def test_a_machine_in_1970_signs_on(ask_at: AskAt) -> None:
    """Seen from the floor, 300 days ago, the host's certificate is not valid yet: that says nothing."""
    result, read = ask_at("host", 7_000, Trust.GUESS)
    assert isinstance(result, Replied)
    assert len(read) == 1


def test_a_machine_that_guesses_a_far_future_signs_on(ask_at: AskAt) -> None:
    result, _ = ask_at("host", TODAY_MS + 9_000 * DAY_MS, Trust.GUESS)
    assert isinstance(result, Replied)


def test_what_expired_before_the_floor_is_refused_even_by_a_guess(ask_at: AskAt) -> None:
    result, read = ask_at("past", 7_000, Trust.GUESS, floor_ms=TODAY_MS)
    assert isinstance(result, NotSent)
    assert "expired on" in result.reason
    assert read == []


def test_the_terminals_time_counts_and_not_the_machines(ask_at: AskAt) -> None:
    """Two days ago the certificate that ended yesterday was good; in two days today's will be over."""
    result, _ = ask_at("past", TODAY_MS - 2 * DAY_MS, Trust.NTP)
    assert isinstance(result, Replied)
    result, read = ask_at("host", TODAY_MS + 2 * DAY_MS, Trust.NTP)
    assert isinstance(result, NotSent)
    assert read == []


def test_an_expired_authority_is_named_as_one(ask_at: AskAt) -> None:
    result, read = ask_at("host", TODAY_MS, Trust.NTP, ca="past-ca")
    assert isinstance(result, NotSent)
    assert result.reason.startswith("tls: the authority's certificate expired on ")
    assert "[host] ca" in result.reason
    assert read == []


def test_an_authority_that_was_renewed_with_its_key_is_believed(ask_at: AskAt) -> None:
    result, _ = ask_at("host", TODAY_MS, Trust.NTP, ca="renewed-ca")
    assert isinstance(result, Replied)


@pytest.mark.parametrize("chain", [[], [b""], [b"no certificate"]])
def test_what_has_no_dates_is_refused_with_words(chain: list[bytes]) -> None:
    assert "certificate" in date_refusal(chain, [], Timestamp(TODAY_MS, Trust.GUESS))


def test_a_battery_clock_gone_wild_does_not_shut_the_host_out(ask_at: AskAt) -> None:
    result, _ = ask_at("host", TODAY_MS + 70 * 365 * DAY_MS, Trust.RTC)
    assert isinstance(result, Replied)
