"""Receivers are told of every change, at least once, whatever they and the network do; the counter never notices."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.ecr.receiver import DRIP, HANG, Receiver, wait_until
from tests.journal.conftest import Shop

from taplab.register import Register
from taplab.secret_file import write_secret
from taplab.world import World
from taptill.clock import MachineTime, Timestamp, Trust
from taptill.entropy import SystemEntropy
from taptill.errors import ConfigError
from taptill.journal.adapters.notice_file import NoticeFile
from taptill.journal.adapters.sqlite import SqliteJournal, SqliteJournalReader
from taptill.journal.notices import NOTICE_AGE_MS_MAX, end_of
from taptill.journal.port import Pending
from taptill.terminal.config import load_config
from taptill.terminal.effects import Tell
from taptill.terminal.events import Event
from taptill.terminal.front import Front, HealthView
from taptill.terminal.notice_desk import NoticeView
from taptill.ui.webhook import Source, WebhookDesk, WebhookWorker
from taptill.ui.webhook_post import Posted, Poster, signature

SECRET = b"a key for tests, and for nothing else"
PAID_STATES = {"approved", "approved_offline"}


class Sundial:
    """Its hours are set by hand; it counts microseconds as the machine does."""

    def __init__(self, unix_ms: int) -> None:
        self.at = Timestamp(unix_ms, Trust.HOST)

    def monotonic_us(self) -> int:
        return MachineTime().monotonic_us()

    def now(self) -> Timestamp:
        return self.at


@dataclass
class Counter:
    """A journal that is written to, and the workers that tell of it."""

    folder: Path
    shop: Shop = field(default_factory=Shop)

    def __post_init__(self) -> None:
        self.path = self.folder / "journal.sqlite"
        self.secret = self.folder / "hook.key"
        write_secret(self.secret, SECRET + b"\n")
        self.clock = Sundial(self.shop.at_ms)
        self.journal = SqliteJournal.open(self.path)
        self.front = Front(_nobody, SqliteJournalReader.open(self.path), _no_health)
        self.notices = NoticeFile(self.path.with_name("journal.sqlite.notices"))

    @contextmanager
    def telling(self, *urls: str, poster: Callable[[str], Poster] = Poster) -> Iterator[WebhookDesk]:
        """From the journal's end on, or where an earlier `telling` stopped."""
        source = Source("10000001", urls, self._reader, end_of(self.journal), self.front.listening)
        workers = [
            WebhookWorker(url, self.secret, source, self.notices, self.clock, SystemEntropy(), poster(url))
            for url in urls
        ]
        for worker in workers:
            worker.thread.start()
        yield WebhookDesk(workers, self.notices, self.clock)
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.thread.join(5.0)
            assert not worker.thread.is_alive()

    def happens(self, *pending: Pending) -> None:
        self.journal.append(pending)
        self.front.tell(Tell("P1", "approved"))

    def sells(self, ref: str) -> None:
        self.happens(self.shop.armed(ref), self.shop.sale(ref), self.shop.decided(ref, "approved"))

    def close(self) -> None:
        self.notices.close()
        self.journal.close()

    def _reader(self) -> SqliteJournalReader:
        return SqliteJournalReader.open(self.path)


def _nobody(event: Event) -> None:
    raise AssertionError("nobody asks")


def _no_health() -> HealthView:
    raise AssertionError("nobody asks")


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    counter = Counter(tmp_path)
    yield counter
    counter.close()


def states(desk: WebhookDesk) -> list[tuple[str, str]]:
    return [(view["payment_state"], view["state"]) for view in desk.newest(100)]


def the_only(desk: WebhookDesk) -> NoticeView:
    (view,) = desk.newest(100)
    return view


def test_a_change_is_told_at_once_and_its_signature_holds(counter: Counter) -> None:
    with Receiver(SECRET) as receiver, counter.telling(receiver.url) as desk:
        counter.sells("P1")
        receiver.wait_for(1)
        wait_until(lambda: states(desk) == [("approved", "sent")])
        assert receiver.paths == ["POST /hook?key=not-for-logs"]
        assert receiver.got[0]["id"] == "3"
        assert receiver.got[0]["terminal_id"] == "10000001"
        assert "not-for-logs" not in json.dumps(desk.newest(9))
        assert desk.health() == {"queued": 0, "expired": 0, "refused": 0, "last_error": ""}


def test_an_overloaded_receiver_gets_it_later_and_in_order(counter: Counter) -> None:
    with Receiver(SECRET, [500, 200]) as receiver, counter.telling(receiver.url) as desk:
        shop = counter.shop
        counter.happens(
            shop.armed("P1"), shop.sale("P1"), shop.decided("P1", "unknown"), shop.decided("P1", "approved")
        )
        receiver.wait_for(3)
        assert receiver.states() == ["unknown", "unknown", "approved"]
        wait_until(lambda: states(desk) == [("unknown", "sent"), ("approved", "sent")])
        assert [view["attempts"] for view in desk.newest(9)] == [2, 1]


def test_a_notice_it_stumbles_over_holds_up_no_other_payment(counter: Counter) -> None:
    with Receiver(SECRET, [500, 200]) as receiver, counter.telling(receiver.url):
        counter.sells("P1")
        counter.sells("P2")
        receiver.wait_for(3)
        assert [body["payment_ref"] for body in receiver.got] == ["P1", "P2", "P1"]


@pytest.mark.parametrize("status", [408, 425, 429, 503])
def test_not_now_is_not_never(counter: Counter, status: int) -> None:
    with Receiver(SECRET, [status, 204]) as receiver, counter.telling(receiver.url) as desk:
        counter.sells("P1")
        wait_until(lambda: states(desk) == [("approved", "sent")])
        assert the_only(desk)["attempts"] == 2


def test_a_refusal_is_final_and_stays_visible_for_a_day(counter: Counter) -> None:
    with Receiver(SECRET, [400, 200]) as receiver, counter.telling(receiver.url) as desk:
        counter.sells("P1")
        wait_until(lambda: desk.health()["refused"] == 1)
        assert desk.health()["last_error"] == f"http://127.0.0.1:{receiver.port}/hook: HTTP 400"
        assert the_only(desk)["last_result"] == "HTTP 400"
        counter.sells("P2")
        wait_until(lambda: states(desk) == [("approved", "refused"), ("approved", "sent")])
        assert desk.health() == {"queued": 0, "expired": 0, "refused": 1, "last_error": ""}
    counter.clock.at = Timestamp(counter.clock.at.unix_ms + NOTICE_AGE_MS_MAX + 1, Trust.HOST)
    with counter.telling(receiver.url) as desk:
        wait_until(lambda: desk.health()["refused"] == 0 and desk.newest(9) == [])


def test_a_redirect_is_not_followed(counter: Counter) -> None:
    with Receiver(SECRET, [307]) as receiver, counter.telling(receiver.url) as desk:
        receiver.location = f"http://127.0.0.1:{receiver.port}/elsewhere"
        counter.sells("P1")
        wait_until(lambda: "redirects are not followed" in desk.health()["last_error"])
        assert set(receiver.paths) == {"POST /hook?key=not-for-logs"}
        assert states(desk) == [("approved", "queued")]


def test_a_receiver_that_refuses_connections_is_told_once_it_is_there(counter: Counter) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with counter.telling(f"http://127.0.0.1:{port}/hook?key=not-for-logs") as desk:
        counter.sells("P1")
        wait_until(lambda: "ConnectionRefusedError" in desk.health()["last_error"])
        assert desk.health()["queued"] == 1
        with Receiver(SECRET, port=port) as receiver:
            receiver.wait_for(1)
            wait_until(lambda: desk.health()["last_error"] == "" and desk.health()["queued"] == 0)


@pytest.mark.parametrize("silence", [HANG, DRIP])
def test_a_receiver_that_hangs_is_given_up_and_blocks_no_other_receiver(counter: Counter, silence: int) -> None:
    def impatient(url: str) -> Poster:
        return Poster(url, post_s_max=1.0)

    with Receiver(SECRET, [silence, 200]) as slow, Receiver(SECRET) as quick:
        with counter.telling(slow.url, quick.url, poster=impatient) as desk:
            counter.sells("P1")
            slow.wait_for(1)
            began = time.monotonic()
            for number in range(2, 8):
                counter.sells(f"P{number}")
            quick.wait_for(7)
            assert time.monotonic() - began < 1.0
            slow.wait_for(8)
            wait_until(lambda: desk.health()["queued"] == 0)
        assert slow.got[0] == slow.got[1], "a repeat is the same bytes, so a receiver knows it"


def test_a_worker_ends_at_once_while_its_receiver_hangs(counter: Counter) -> None:
    with Receiver(SECRET, [HANG]) as receiver:
        with counter.telling(receiver.url):
            counter.sells("P1")
            receiver.wait_for(1)
            began = time.monotonic()
        assert time.monotonic() - began < 1.0
        with counter.telling(receiver.url) as desk:
            receiver.wait_for(2)
            assert desk.health()["queued"] == 1
            assert the_only(desk)["attempts"] == 0, "what was cut off is no answer"


def test_an_old_notice_expires_visibly(counter: Counter) -> None:
    with Receiver(SECRET, [503]) as receiver:
        with counter.telling(receiver.url):
            counter.sells("P1")
            receiver.wait_for(1)
        counter.clock.at = Timestamp(counter.clock.at.unix_ms + NOTICE_AGE_MS_MAX + 60_000, Trust.GUESS)
        with counter.telling(receiver.url) as desk:
            receiver.wait_for(2)
            assert desk.health()["expired"] == 0, "nothing expires by a time nobody trusts"
        counter.clock.at = Timestamp(counter.clock.at.unix_ms, Trust.HOST)
        with counter.telling(receiver.url) as desk:
            wait_until(lambda: desk.health()["expired"] == 1)
            assert desk.health()["queued"] == 0
            view = the_only(desk)
    assert (view["state"], view["last_result"]) == ("expired", "HTTP 503")
    assert view["age_ms"] > NOTICE_AGE_MS_MAX


def test_telling_begins_with_the_first_start_and_goes_on_where_it_stopped(counter: Counter) -> None:
    counter.sells("P1")
    with Receiver(SECRET) as receiver:
        with counter.telling(receiver.url):
            counter.sells("P2")
            receiver.wait_for(1)
        counter.sells("P3")
        with counter.telling(receiver.url):
            wait_until(lambda: any(body["payment_ref"] == "P3" for body in receiver.got))
    told = dict.fromkeys(body["payment_ref"] for body in receiver.got)  # at least once: the stop may hide the answer
    assert list(told) == ["P2", "P3"], "no history is sent to anybody"


def test_a_lost_file_of_notices_does_no_harm(counter: Counter, caplog: pytest.LogCaptureFixture) -> None:
    with Receiver(SECRET) as receiver:
        with counter.telling(receiver.url):
            counter.sells("P1")
            receiver.wait_for(1)
        counter.notices.close()
        for file in counter.folder.glob("*.notices*"):
            file.unlink()
        caplog.set_level("INFO", "taptill")
        with counter.telling(receiver.url):
            counter.sells("P2")
            receiver.wait_for(2)
    assert [body["payment_ref"] for body in receiver.got] == ["P1", "P2"]
    assert "nothing before journal entry 4 is told" in caplog.text
    assert "not-for-logs" not in caplog.text


def test_notices_of_another_journal_are_set_aside(counter: Counter) -> None:
    with Receiver(SECRET, [503]) as receiver, counter.telling(receiver.url):
        counter.sells("P1")
        receiver.wait_for(1)
    port = receiver.port
    counter.journal.close()
    for file in counter.folder.glob("journal.sqlite*"):
        if "notices" not in file.name:
            file.unlink()
    counter.journal = SqliteJournal.open(counter.path)
    counter.front = Front(_nobody, SqliteJournalReader.open(counter.path), _no_health)
    with Receiver(SECRET, port=port) as receiver, counter.telling(receiver.url):
        counter.happens(counter.shop.armed("P9"), counter.shop.cancelled("P9"))
        receiver.wait_for(1)
        assert [(body["payment_ref"], body["state"]) for body in receiver.got] == [("P9", "cancelled")]
    assert "another journal" in counter.notices.set_aside


@pytest.mark.parametrize(("mode", "content", "told"), [(0o644, SECRET, "chmod 600"), (0o600, b"short", "5 bytes")])
def test_a_secret_that_is_none_is_visible_and_can_be_mended_meanwhile(
    counter: Counter, mode: int, content: bytes, told: str
) -> None:
    counter.secret.write_bytes(content)
    counter.secret.chmod(mode)
    with Receiver(SECRET) as receiver, counter.telling(receiver.url) as desk:
        counter.sells("P1")
        wait_until(lambda: told in desk.health()["last_error"])
        assert receiver.got == []
        write_secret(counter.secret, SECRET)
        wait_until(lambda: desk.health()["last_error"] == "")


POST = """
import sys
from taptill.ui.webhook_post import Poster, signature
print(Poster(sys.argv[1]).post(b"{}", signature(sys.argv[2].encode(), 1, b"{}")).result)
"""


def post_in_a_process_that_trusts(authority: Path, url: str) -> str:
    """The system's authorities are found where OpenSSL looks for them."""
    environment = os.environ | {"SSL_CERT_FILE": str(authority)}
    command = [sys.executable, "-c", POST, url, SECRET.decode()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, env=environment)
    return done.stdout.strip()


def test_a_certificate_is_verified_with_its_name(world: World) -> None:
    files = world.files.certificates
    with Receiver(SECRET) as receiver:
        receiver.encrypt(files.host, files.host_key)
        assert "CERTIFICATE_VERIFY_FAILED" in Poster(receiver.url).post(b"{}", signature(SECRET, 1, b"{}")).result
        other_name = receiver.url.replace("127.0.0.1", "127.1")  # leads to the same place
        assert "mismatch" in post_in_a_process_that_trusts(files.authority, other_name)
        assert receiver.got == []
        assert post_in_a_process_that_trusts(files.authority, receiver.url) == "HTTP 200"
        assert receiver.got == [{}]


class _Ends(Poster):
    """Ends its thread, which no part of the program does."""

    def post(self, body: bytes, signed: str) -> Posted:
        raise SystemExit


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ended_is_in_the_health(counter: Counter) -> None:
    with counter.telling("http://127.0.0.1:9/hook", poster=_Ends) as desk:
        counter.sells("P1")
        wait_until(lambda: "its thread has ended" in desk.health()["last_error"])


class _Fails(Poster):
    def post(self, body: bytes, signed: str) -> Posted:
        raise KeyError("a mistake of ours")


def test_a_fault_of_the_program_is_in_the_health_and_is_tried_again(counter: Counter) -> None:
    with counter.telling("http://127.0.0.1:9/hook", poster=_Fails) as desk:
        counter.sells("P1")
        wait_until(lambda: "a fault of this program: KeyError" in desk.health()["last_error"])
        assert desk.health()["queued"] == 1


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://register.example/hook", "unencrypted"),
        ("http://192.0.2.1/hook", "unencrypted"),
        ("http://127.0.0.1.example/hook", "unencrypted"),
        ("ftp://127.0.0.1/hook", "unencrypted"),
        ("https://name:word@register.example/hook", "no address"),
        ("https:///hook", "no address"),
        ("https://register.example:99999/hook", "no address"),
        ("https://register.example/ho ok", "no address"),
    ],
)
def test_an_url_that_would_tell_strangers_is_refused(world: World, tmp_path: Path, url: str, told: str) -> None:
    text = world.files.terminal_config.read_text(encoding="utf-8")
    place = tmp_path / "terminal.toml"
    hook = f'\n[[webhooks]]\nurl = "{url}"\nsecret_file = "hook.key"\n'
    place.write_text(text + hook, encoding="utf-8")
    with pytest.raises(ConfigError, match=told):
        load_config(place)
    place.write_text(text + hook.replace(url, "https://register.example:8443/hook?x=1"), encoding="utf-8")
    assert load_config(place).webhooks[0].secret_file == "hook.key"
    place.write_text(text + hook.replace(url, "http://[::1]:8080/hook") * 2, encoding="utf-8")
    with pytest.raises(ConfigError, match="two webhooks have one url"):
        load_config(place)


def sell(world: World, register: Register) -> str:
    """One approved sale; how long it takes is the customer's business."""
    reader = world.reader("pn532")
    ref = register.arm(1250)
    world.present(reader, "good_credit")
    register.wait_for(ref, PAID_STATES, 10.0)
    world.remove(reader)
    register.wait_until("at_counter", None, 10.0)
    return ref


@contextmanager
def hooked(world: World, url: str) -> Iterator[Register]:
    """The lab's terminal, started again with a webhook."""
    place = world.files.terminal_config
    without = place.read_text(encoding="utf-8")
    write_secret(place.with_name("hook.key"), SECRET)
    world.stop_terminal()
    place.write_text(without + f'\n[[webhooks]]\nurl = "{url}"\nsecret_file = "hook.key"\n', encoding="utf-8")
    world.start_terminal()
    register = Register(world.ecr_url)
    register.wait_until("ready", True, 10.0)
    try:
        yield register
    finally:
        world.stop_terminal()
        place.write_text(without, encoding="utf-8")
        world.start_terminal()


def metrics(world: World) -> str:
    place = urlsplit(world.ecr_url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=10.0)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def test_a_terminal_without_webhooks_does_not_know_of_them(world: World, register: Register) -> None:
    assert register.health()["notices"] is None
    assert register.call("GET", "/v1/notices") == (200, {"notices": []})
    assert "taptill_notices" not in metrics(world)


def test_selling_goes_on_while_a_receiver_hangs_and_after_a_power_cut_nothing_is_lost(world: World) -> None:
    with Receiver(SECRET, [200]) as receiver, hooked(world, receiver.url) as register:
        began = time.monotonic()
        refs = [sell(world, register), sell(world, register)]
        well_s = time.monotonic() - began
        receiver.wait_for(2)

        receiver.answers = [HANG]
        refs.append(sell(world, register))
        receiver.wait_for(3)
        began = time.monotonic()
        refs += [sell(world, register), sell(world, register)]
        assert time.monotonic() - began < 2 * well_s + 1.0, "two sales while a request hangs for ten seconds"
        assert register.health()["notices"]["queued"] >= 1
        assert re.search(r'taptill_notices{state="queued"} [123]\.0', metrics(world))

        world.kill_terminal()
        receiver.answers = [200]
        world.start_terminal()
        register.base_url = world.ecr_url
        wait_until(lambda: register.health()["notices"]["queued"] == 0)
        shown = register.call("GET", "/v1/notices")[1]["notices"]
        assert [(view["payment_ref"], view["state"]) for view in shown] == [(ref, "sent") for ref in refs]
        told = dict.fromkeys(body["payment_ref"] for body in receiver.got)
        assert list(told) == refs
        assert {body["state"] for body in receiver.got} == {"approved"}
        assert all(re.fullmatch(r"\d{6}\*+\d{4}", body["masked_pan"]) for body in receiver.got)
