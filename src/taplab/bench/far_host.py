"""The reference host as a process of its own, its books in memory, so that no disk but the terminal's is measured.

Comes in: the host's configuration, and what it will be told. Goes out: the address on standard output; at the end, in a
file, what came and how busy it was. Strategy: the product's acquirer behind the product's server. It judged what the
terminal owes before anything is timed (`judge_beforehand`) and hands those answers out, so that a host in the same
machine is as quick as one that fills a hall; everything else it judges as it comes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from taphost.acquirer import Acquirer
from taphost.config import HostConfig, load_config
from taphost.ledger import EntryState
from taphost.memory_store import MemoryStore
from taphost.server import HostServer

QUEUE_MESSAGES_MAX = 256
SWITCH_S = 0.0005  # two threads share the interpreter: what came is not to wait for what is being judged


class Judged(msgspec.Struct, frozen=True):
    """Answers by message, and what the host's books then hold."""

    answers: dict[bytes, bytes]
    captured: int
    captured_minor: int


def judge_beforehand(config: Path, messages: Iterable[bytes], place: Path) -> Judged:
    """The acquirer's answers to `messages`, in their order, for `--judged`."""
    store = MemoryStore()
    acquirer = Acquirer(load_config(config), store, _now_ms)
    answers = {message: acquirer.answer(message) for message in messages}
    with store.transaction() as books:
        captured = [entry for entry in books.entries(captured_only=True) if entry.state is EntryState.CAPTURED]
    judged = Judged(answers, len(captured), sum(entry.captured_minor for entry in captured))
    place.write_bytes(msgspec.msgpack.encode(judged))
    return judged


class _WellPrepared(Acquirer):
    """Counts how often each message came."""

    def __init__(self, config: HostConfig, answers: dict[bytes, bytes]) -> None:
        super().__init__(config, MemoryStore(), _now_ms)
        self._answers = answers
        self.came: Counter[bytes] = Counter()
        self.others = 0

    def answer(self, body: bytes) -> bytes:
        known = self._answers.get(body)
        if known is None:
            self.others += 1
            return super().answer(body)
        self.came[body] += 1
        return known


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="far_host", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--judged", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    options = parser.parse_args(arguments)
    sys.setswitchinterval(SWITCH_S)
    logging.basicConfig(level=logging.WARNING)
    judged = msgspec.msgpack.decode(options.judged.read_bytes(), type=Judged)
    asyncio.run(_serve(load_config(options.config), judged, options.report))
    return 0


async def _serve(config: HostConfig, judged: Judged, report: Path) -> None:
    assert config.tls is not None, "the lab's host has certificates"
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    acquirer = _WellPrepared(config, judged.answers)
    server = HostServer(acquirer, config.tls, QUEUE_MESSAGES_MAX)
    host, port = await server.start("127.0.0.1", 0)
    print(json.dumps({"listening": f"{host}:{port}"}), flush=True)
    began_s = time.process_time()
    await stopped.wait()
    await server.stop()
    counts = {
        "came": len(acquirer.came),
        "came again": acquirer.came.total() - len(acquirer.came),
        "others": acquirer.others,
        "cpu_s": round(time.process_time() - began_s, 3),
    }
    report.write_text(json.dumps(counts), encoding="utf-8")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
