"""The printer adapter against the lab's printer and against broken ones, over real sockets."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from taplab.printer.server import LabPrinter
from taptill.errors import ConfigError
from taptill.receipt.adapters.escpos_tcp import EscposTcpPrinter
from taptill.receipt.compose import compose
from taptill.receipt.escpos import render_escpos
from taptill.receipt.facts import Language, ReceiptFacts
from taptill.receipt.printer import Printer, PrintVerdict

SHORT_JOB = b"\x1b@one\ntwo\nthree\n\x1dV\x00\x1dr\x01"


@contextmanager
def printer_that(*, answers: bytes, hangs_up_after: int) -> Iterator[str]:
    """A port that answers every piece with `answers` and hangs up once it has so many bytes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            received = 0
            while received < hangs_up_after and (octets := connection.recv(4096)):
                received += len(octets)
                connection.sendall(answers)

    thread = Thread(target=serve, daemon=True)
    thread.start()
    with listener:
        yield f"escpos+tcp://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(5)


@pytest.mark.parametrize("language", Language)
def test_a_slip_comes_out_as_composed(tmp_path: Path, approved: ReceiptFacts, language: Language) -> None:
    with LabPrinter(tmp_path) as lab:
        printer: Printer = EscposTcpPrinter(lab.url)
        result = printer.print(render_escpos(compose(approved, language)))
        assert (result.verdict, result.started) == (PrintVerdict.PRINTED, True)
        assert len(lab.jobs) == 1
        job = lab.jobs[0]
        assert "622800******1117 /C" in job.text
        assert ("交易成功" if language is Language.ZH else "APPROVED") in job.text
        assert job.qr_contents == (approved.status_url,)
        assert job.png is not None
        assert job.png.stat().st_size > 10_000
        assert lab.unknown == []


def test_a_job_without_the_question_for_proof_gets_it(tmp_path: Path) -> None:
    with LabPrinter(tmp_path, draw=False) as lab:
        assert EscposTcpPrinter(lab.url).print(b"\x1b@x\n\x1dV\x00").verdict is PrintVerdict.PRINTED


def test_nothing_is_sent_to_a_printer_without_paper(tmp_path: Path) -> None:
    with LabPrinter(tmp_path, draw=False) as lab:
        printer = EscposTcpPrinter(lab.url)
        lab.run_out_of_paper()
        result = printer.print(SHORT_JOB)
        assert (result.verdict, result.started) == (PrintVerdict.PAPER_OUT, False)
        lab.refill()
        assert not lab.wait_for_jobs(1, timeout_s=0.2)
        assert printer.print(SHORT_JOB).verdict is PrintVerdict.PRINTED
        assert len(lab.jobs) == 1


@pytest.mark.parametrize("line", [1, 2, 7, 20, 33])
def test_paper_that_ends_within_the_slip_is_seen_and_the_rest_comes_later(
    tmp_path: Path, approved: ReceiptFacts, line: int
) -> None:
    with LabPrinter(tmp_path, draw=False) as lab:
        lab.run_out_of_paper(after_lines=line)
        result = EscposTcpPrinter(lab.url).print(render_escpos(compose(approved, Language.ZH)))
        assert (result.verdict, result.started) == (PrintVerdict.PAPER_OUT, True)
        assert "请妥善保管此凭证" not in lab.hanging
        lab.refill()
        assert lab.wait_for_jobs(1)
        assert lab.jobs[0].text.count("签购单") == 1
        assert "请妥善保管此凭证" in lab.jobs[0].text


def test_paper_may_end_at_every_line_without_an_exception(tmp_path: Path) -> None:
    for line in range(4):
        with LabPrinter(tmp_path, draw=False) as lab:
            lab.run_out_of_paper(after_lines=line)
            result = EscposTcpPrinter(lab.url).print(SHORT_JOB)
            assert (result.verdict, result.started) == (PrintVerdict.PAPER_OUT, line > 0)


def test_a_printer_that_is_offline_or_gone_is_unreachable(tmp_path: Path) -> None:
    with LabPrinter(tmp_path, draw=False) as lab:
        printer = EscposTcpPrinter(lab.url)
        lab.go_offline()
        result = printer.print(SHORT_JOB)
        assert (result.verdict, result.detail) == (PrintVerdict.UNREACHABLE, "the printer is offline")
        lab.come_online()
        lab.unplug()
        assert printer.print(SHORT_JOB).verdict is PrintVerdict.UNREACHABLE
        lab.plug_in()
        assert printer.print(SHORT_JOB).verdict is PrintVerdict.PRINTED
        assert len(lab.jobs) == 1


def test_a_printer_that_answers_nothing_gets_nothing(tmp_path: Path) -> None:
    with LabPrinter(tmp_path, draw=False) as lab:
        lab.fall_silent()
        result = EscposTcpPrinter(lab.url).print(SHORT_JOB)
        assert (result.verdict, result.started) == (PrintVerdict.UNREACHABLE, False)
        assert not lab.wait_for_jobs(1, timeout_s=0.1)


def test_a_printer_that_hangs_up_within_the_job_leaves_it_unconfirmed() -> None:
    with printer_that(answers=b"\x12", hangs_up_after=10) as url:
        result = EscposTcpPrinter(url).print(SHORT_JOB)
    assert (result.verdict, result.started) == (PrintVerdict.NO_CONFIRMATION, True)


def test_a_job_is_never_called_printed_without_its_own_answer() -> None:
    """It says "ready" for ever and never answers GS r: the call ends by itself at its deadline."""
    began = time.monotonic()
    with printer_that(answers=b"\x12", hangs_up_after=1_000_000) as url:
        result = EscposTcpPrinter(url, whole_job_s=1.2).print(SHORT_JOB)
    assert (result.verdict, result.started) == (PrintVerdict.NO_CONFIRMATION, True)
    assert 1.0 < time.monotonic() - began < 3


def test_a_slow_printer_is_waited_for(tmp_path: Path) -> None:
    with LabPrinter(tmp_path, draw=False) as lab:
        lab.slow_down(line_ms=200)
        began = time.monotonic()
        assert EscposTcpPrinter(lab.url).print(SHORT_JOB).verdict is PrintVerdict.PRINTED
        assert time.monotonic() - began > 0.5


@pytest.mark.parametrize("url", ["escpos+tcp://", "tcp://127.0.0.1:9100", "escpos+tcp://h:port", "escpos+tcp://h:1/x"])
def test_a_url_that_names_no_printer_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="printer URL"):
        EscposTcpPrinter(url)
