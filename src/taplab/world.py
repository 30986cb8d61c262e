"""The whole lab: host, network, readers, cards, printer and one terminal, each a real part on a real boundary.

Comes in: a directory. Goes out: a running shop that can be tapped at, cut off, and robbed of its power.
Strategy: host and terminal are processes of their own; everything the terminal meets is a serial line, a PC/SC reader,
a TCP printer or a TLS host. Where this machine cannot run pcscd, there is no PC/SC reader and `pcsc_missing` says why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from taplab.card import Card, Scheme, load_card, packaged_cards
from taplab.child import Child, Program
from taplab.network import LabNetwork
from taplab.pcsc.pcscd import READER_NAMES, OwnPcscd, PcscUnavailable
from taplab.pn532.serial_port import VirtualPn532
from taplab.printer.server import LabPrinter
from taplab.provision import LabFiles, provision, terminal_config
from taptill.entropy import SystemEntropy
from taptill.errors import TapTillError

Progress = Callable[[str], None]
ProgramMaker = Callable[[str, str, Sequence[str], Path], Program]

AWAY_S = 0.3


class NoSuchReader(TapTillError):
    """A reader or card this lab does not have."""

    code = 6103


class CardHolder(Protocol):
    """Something a card can be held to."""

    def present(self, card: Card) -> None: ...

    def remove(self) -> None: ...


class World:
    """`with World(directory) as world:`; the terminal runs, `world.ecr_url` is its local API."""

    def __init__(
        self,
        directory: Path,
        progress: Progress = lambda line: None,
        real_readers: Sequence[str] = (),
        *,
        pcsc: bool = True,
        program: ProgramMaker = Child,
        terminal_folder: str = "",
    ) -> None:
        """`real_readers` are URLs beside the lab's own; without `pcsc` the PN532 is all the lab has. `program` makes
        the processes; the terminal keeps its journal and its keys in `terminal_folder` of the directory."""
        self.directory = directory.resolve()
        self.holders: dict[str, CardHolder] = {}
        self.pcsc_missing = "" if pcsc else "not asked for"
        self.ecr_url = ""
        self._progress = progress
        self._real_readers = tuple(real_readers)
        self._cards: dict[str, Card] = {}
        self._held: set[str] = set()  # readers with a card
        self._program = program
        self._terminal_folder = terminal_folder
        self._stack = ExitStack()
        self.files: LabFiles
        self.network: LabNetwork
        self.printer: LabPrinter
        self._terminal: Program
        self._host: Program

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def _start(self) -> None:
        self._progress("keys, certificates and cards")
        self.files = provision(self.directory, terminal_folder=self._terminal_folder)
        self._progress("host")
        self._host = self._host_program()
        self._stack.callback(self._host.stop)
        address = _address(self._host.start())
        self.network = self._stack.enter_context(LabNetwork(address))
        self.printer = self._stack.enter_context(LabPrinter(self.directory / "receipts", columns=32))
        self._progress("readers")
        self._start_pn532()
        if not self.pcsc_missing:
            self._start_pcsc()
        self._write_config()
        self._terminal = self._program(
            "terminal",
            "taptill.cli",
            ["run", "--config", str(self.files.terminal_config)],
            self.directory / "terminal.log",
        )
        self._stack.callback(self._terminal.stop)
        self.start_terminal()

    def _host_program(self) -> Program:
        return self._program(
            "host",
            "taphost.cli",
            [
                "serve",
                "--config",
                str(self.files.host_config),
                "--database",
                self.host_database,
                "--listen",
                "127.0.0.1:0",
            ],
            self.directory / "host.log",
        )

    @property
    def host_database(self) -> str:
        return f"sqlite:///{self.files.host_database}"

    def _start_pn532(self) -> None:
        chip = self._stack.enter_context(VirtualPn532())
        self.holders[f"pn532:{chip.path}"] = chip

    def _start_pcsc(self) -> None:
        try:
            daemon = self._stack.enter_context(OwnPcscd())
        except PcscUnavailable as missing:
            self.pcsc_missing = str(missing)
            self._progress(f"no PC/SC reader: {missing}")
            return
        self.holders[f"pcsc:{READER_NAMES[0]}"] = daemon.slots[0]

    def _write_config(self) -> None:
        text = terminal_config(
            self.files,
            readers=[*self.holders, *self._real_readers],
            printer=self.printer.url,
            endpoints=[self.network.url],
            ecr_listen="127.0.0.1:0",
        )
        self.files.terminal_config.write_text(text, encoding="utf-8")

    def start_terminal(self) -> None:
        """From a cold start to listening."""
        self._progress("terminal")
        self.ecr_url = self._terminal.start()["listening"]

    def kill_terminal(self) -> None:
        """A power cut at the counter."""
        self._terminal.kill()

    def stop_terminal(self) -> None:
        self._terminal.stop()

    def kill_host(self) -> None:
        """A power cut at the acquirer."""
        self._host.kill()

    def start_host(self) -> None:
        """From a cold start; it listens elsewhere now, and the network leads there."""
        self.network.target = _address(self._host.start())

    def stop_host(self) -> None:
        self._host.stop()

    def reader(self, kind: str) -> str:
        """The URL of the reader of this kind, "pn532" or "pcsc". Raises NoSuchReader."""
        for url in self.holders:
            if url.partition(":")[0] == kind:
                return url
        raise NoSuchReader(f"no {kind} reader here", where="lab", next_step=self.pcsc_missing)

    def card(self, name: str) -> Card:
        """One of the lab's cards; its counter and balance live in the directory. Raises NoSuchReader."""
        if name not in packaged_cards():
            raise NoSuchReader(f"no card {name!r}", where="lab", next_step=", ".join(packaged_cards()))
        if name not in self._cards:
            scheme = Scheme.load(self.files.scheme)
            state = self.directory / "cards" / f"{name}.json"
            state.parent.mkdir(exist_ok=True)
            self._cards[name] = load_card(name, scheme, SystemEntropy(), state)
        return self._cards[name]

    def present(self, reader: str, card: str) -> None:
        """Hold a card to a reader, by URL and name."""
        self._holder(reader).present(self.card(card))
        self._held.add(reader)

    def remove(self, reader: str) -> None:
        """Take the card away, far enough for the reader to notice: one that is back sooner was never gone."""
        self._holder(reader).remove()
        if reader in self._held:
            self._held.remove(reader)
            time.sleep(AWAY_S)

    def snatch(self, reader: str) -> None:
        """Take the card away while nobody looks: the terminal is off."""
        self._holder(reader).remove()
        self._held.discard(reader)

    def _holder(self, reader: str) -> CardHolder:
        holder = self.holders.get(reader)
        if holder is None:
            raise NoSuchReader(f"no reader {reader!r}", where="lab", next_step=", ".join(self.holders))
        return holder


def _address(ready: dict[str, str]) -> tuple[str, int]:
    name, _, port = ready["listening"].rpartition(":")
    return name, int(port)
