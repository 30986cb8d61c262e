"""The lab printer on its socket, driven by python-escpos."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

from escpos.printer import Network

from taplab.printer.server import LabPrinter


def address(lab: LabPrinter) -> tuple[str, int]:
    parts = urlsplit(lab.url)
    return str(parts.hostname), int(parts.port or 0)


def their_printer(lab: LabPrinter) -> Network:
    host, port = address(lab)
    return Network(host, port, timeout=5)


def test_python_escpos_prints_text_qr_and_cut(tmp_path: Path) -> None:
    with LabPrinter(tmp_path) as lab:
        theirs = their_printer(lab)
        theirs.text("Hello\n")
        theirs.qr("https://pay.example/s/1", native=True, size=4)
        theirs.cut()
        assert lab.wait_for_jobs(1)
        theirs.close()
        assert lab.jobs[0].text.startswith("Hello\n[QR] https://pay.example/s/1\n")
        assert lab.jobs[0].png == tmp_path / "slip-0001.png"
        assert (tmp_path / "slip-0001.txt").read_text() == lab.jobs[0].text
        assert lab.unknown == []


def test_python_escpos_sees_paper_and_its_end(tmp_path: Path) -> None:
    """Its values: 2 is plenty, 0 is none."""
    with LabPrinter(tmp_path, draw=False) as lab:
        theirs = their_printer(lab)
        assert (theirs.is_online(), theirs.paper_status()) == (True, 2)
        lab.run_out_of_paper()
        assert (theirs.is_online(), theirs.paper_status()) == (False, 0)
        lab.refill()
        assert (theirs.is_online(), theirs.paper_status()) == (True, 2)
        theirs.close()


def test_without_paper_everything_waits_and_comes_out_on_a_new_roll(tmp_path: Path) -> None:
    with LabPrinter(tmp_path, draw=False) as lab:
        lab.run_out_of_paper(after_lines=1)
        for number in (1, 2):
            theirs = their_printer(lab)
            theirs.text(f"slip {number}\n")
            theirs.cut()
            theirs.close()
        assert not lab.wait_for_jobs(1, timeout_s=0.2)
        assert lab.hanging == "slip 1\n"
        lab.refill()
        assert lab.wait_for_jobs(2)
        assert [job.text.split("\n")[0] for job in lab.jobs] == ["slip 1", "slip 2"]


def test_a_real_time_question_is_answered_however_it_is_cut(tmp_path: Path) -> None:
    with LabPrinter(tmp_path, draw=False) as lab, socket.create_connection(address(lab), 5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in b"\x10\x04\x04":
            connection.sendall(bytes([octet]))
        assert connection.recv(16) == b"\x12"


def test_a_buffered_question_waits_for_its_turn(tmp_path: Path) -> None:
    with LabPrinter(tmp_path, draw=False) as lab, socket.create_connection(address(lab), 5) as connection:
        lab.run_out_of_paper()
        connection.sendall(b"a\n\x1dr\x01\x10\x04\x01")
        assert connection.recv(16) == b"\x1a"
        lab.refill()
        assert connection.recv(16) == b"\x00"


def test_what_was_in_the_buffer_survives_a_pulled_cable(tmp_path: Path) -> None:
    with LabPrinter(tmp_path, draw=False) as lab:
        lab.go_offline()
        with socket.create_connection(address(lab), 5) as connection:
            connection.sendall(b"kept\n\x1dV\x00\x10\x04\x01")
            assert connection.recv(16) == b"\x1a"  # it has arrived
        lab.unplug()
        lab.plug_in()
        lab.come_online()
        assert lab.wait_for_jobs(1)
        assert lab.jobs[0].text.startswith("kept\n")
