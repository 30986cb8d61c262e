"""An ESC/POS printer behind a TCP port (`escpos+tcp://host:9100`).

Comes in: a job that ends with GS r 1. Goes out: a `PrintResult`, always within ten seconds, never an exception.
Strategy: ask first (DLE EOT) and send nothing to a printer that could not print now: it would keep the job and print it
later, beside its own repeat. Then send once and wait for the answer to GS r 1, looking for the end of the roll
meanwhile. Whatever cannot be proven printed is NO_CONFIRMATION, with `started` telling that paper may still come.
"""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

from taptill.errors import ConfigError
from taptill.receipt.escpos import CONFIRM
from taptill.receipt.printer import PrintResult, PrintVerdict
from taptill.receipt.status import (
    ASK_OFFLINE_CAUSE,
    ASK_PAPER,
    ASK_PRINTER,
    PaperAnswer,
    Readiness,
    RealTime,
    StatusAnswer,
    StatusReader,
    readiness,
    roll_ended,
)

SCHEME = "escpos+tcp"
PORT_DEFAULT = 9100
CONNECT_TIMEOUT_S = 2.0
READY_TIMEOUT_S = 1.5
PAPER_POLL_S = 0.4
WHOLE_JOB_S = 9.5  # the port promises 10 s


class EscposTcpPrinter:
    """Implements the Printer port. One connection per job. Raises ConfigError for a URL it does not understand. Give
    the printer's address: a name is resolved by the system, on the system's own deadline."""

    def __init__(self, url: str, *, whole_job_s: float = WHOLE_JOB_S) -> None:
        self.url = url
        self._whole_job_s = min(whole_job_s, WHOLE_JOB_S)
        self._address = _address(url)

    def print(self, octets: bytes) -> PrintResult:
        """One job, printed at most once."""
        deadline = time.monotonic() + self._whole_job_s
        job = octets if octets.endswith(CONFIRM) else octets + CONFIRM
        try:
            connection = socket.create_connection(self._address, CONNECT_TIMEOUT_S)
        except OSError as error:
            return PrintResult(PrintVerdict.UNREACHABLE, str(error))
        with connection:
            return _print(_Conversation(connection, deadline), job)


def _address(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{url!r}: {error}", where="printer URL") from None
    if parts.scheme != SCHEME or not host or parts.path.strip("/"):
        raise ConfigError(
            f"{url!r} is no printer", where="printer URL", next_step=f"write {SCHEME}://host:{PORT_DEFAULT}"
        )
    return host, PORT_DEFAULT if port is None else port


class _Conversation:
    """The socket with the deadline of the whole job."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._reader = StatusReader()

    def left_s(self) -> float:
        return self._deadline - time.monotonic()

    def send(self, octets: bytes) -> None:
        self._connection.settimeout(max(self.left_s(), 0.01))
        self._connection.sendall(octets)

    def answers(self, within_s: float) -> list[StatusAnswer]:
        """What the printer said within the time; empty when it kept silent. Raises ConnectionError when it hung up."""
        self._connection.settimeout(max(min(within_s, self.left_s()), 0.01))
        try:
            octets = self._connection.recv(256)
        except TimeoutError:
            return []
        if not octets:
            raise ConnectionResetError("the printer closed the connection")
        return self._reader.feed(octets)


def _print(conversation: _Conversation, job: bytes) -> PrintResult:
    try:
        ready = _readiness(conversation)
    except OSError as error:
        return PrintResult(PrintVerdict.UNREACHABLE, str(error))
    if ready is None:
        return PrintResult(PrintVerdict.UNREACHABLE, "connected, but the printer does not answer status questions")
    if ready.paper_out:
        return PrintResult(PrintVerdict.PAPER_OUT, ready.trouble)
    if ready.trouble:
        return PrintResult(PrintVerdict.UNREACHABLE, ready.trouble)
    try:
        conversation.send(job)
        return _confirmation(conversation)
    except OSError as error:
        return PrintResult(PrintVerdict.NO_CONFIRMATION, str(error), started=True)


def _readiness(conversation: _Conversation) -> Readiness | None:
    """Three real-time questions, one at a time because their answers do not name them; None for a silent printer."""
    octets: list[int] = []
    for question in (ASK_PRINTER, ASK_OFFLINE_CAUSE, ASK_PAPER):
        conversation.send(question)
        octet = _real_time_answer(conversation)
        if octet is None:
            return None
        octets.append(octet)
    return readiness(*octets)


def _real_time_answer(conversation: _Conversation) -> int | None:
    until = time.monotonic() + READY_TIMEOUT_S
    while (left := until - time.monotonic()) > 0:
        for answer in conversation.answers(left):
            if isinstance(answer, RealTime):
                return answer.octet
    return None


def _confirmation(conversation: _Conversation) -> PrintResult:
    """Waits for the answer to GS r 1. A roll that ends meanwhile is seen by DLE EOT, which needs no paper."""
    ask_again = time.monotonic() + PAPER_POLL_S
    while conversation.left_s() > 0:
        for answer in conversation.answers(max(ask_again - time.monotonic(), 0.0)):
            if isinstance(answer, PaperAnswer) and not answer.paper_out:
                return PrintResult(PrintVerdict.PRINTED, started=True)
            if isinstance(answer, PaperAnswer) or roll_ended(answer.octet):
                return PrintResult(PrintVerdict.PAPER_OUT, "the roll ended within the slip", started=True)
        if time.monotonic() >= ask_again:
            conversation.send(ASK_PAPER)
            ask_again = time.monotonic() + PAPER_POLL_S
    return PrintResult(PrintVerdict.NO_CONFIRMATION, "the printer did not say that it printed", started=True)
