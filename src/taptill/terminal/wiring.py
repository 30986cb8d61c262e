"""The one place that names adapters: a configuration becomes a running terminal.

Comes in: `TerminalConfig`. Goes out: `Terminal`, whose `loop` decides and whose `front` serves the faces.
Strategy: devices are named by URL, the scheme finds the adapter in one literal table, and a module is imported only
when its scheme is used, because printers, PC/SC and TLS are slow to import.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from taptill.card.entry_point import Configuration
from taptill.card.outcome import CardRead, UiRequest
from taptill.card.parameters import Combination, TapRequest
from taptill.card.proof.ca_key_records import read_ca_keys
from taptill.card.proof.ca_keys import CaKey, CaKeyStore, parse_ca_keys
from taptill.card.proof.revocation import RevocationList, parse_revocations
from taptill.card.proof.trusted_ca_keys import CaKeyFile, trusted_store
from taptill.card.read_card import KERNELS
from taptill.card.reader import CardReader
from taptill.card.reader_parameters import SchemeCombination, parse_reader_parameters
from taptill.card.transaction import run_transaction
from taptill.clock import Clock, SystemClock
from taptill.credential.keystore import KeyStore
from taptill.entropy import Entropy, SystemEntropy
from taptill.errors import ConfigError
from taptill.host.breaker import Breaker
from taptill.host.link import HostLink
from taptill.host.profile import Profile, load_profile
from taptill.journal.adapters.copier import JournalCopier
from taptill.journal.adapters.moment_file import MomentFile
from taptill.journal.adapters.sqlite import SqliteJournal, SqliteJournalReader
from taptill.journal.port import JournalReader
from taptill.terminal.config import CardLimits, TerminalConfig
from taptill.terminal.desk import Desk
from taptill.terminal.events import Event
from taptill.terminal.front import Front, HealthView
from taptill.terminal.journal_worker import JournalWorker, JournalWriter
from taptill.terminal.loop import Loop
from taptill.terminal.notice_desk import NoticesHealth
from taptill.terminal.one_tap import OneTap, Patience, TapWanted, fresh_sale
from taptill.terminal.printer_worker import PrinterWorker
from taptill.terminal.reader_worker import ReaderWorker
from taptill.terminal.refused_cards import parse_refused_cards
from taptill.terminal.till import Till
from taptill.terminal.view import reason_view
from taptill.terminal.workers import Worker

BUILD_UNIX_MS = 1_795_305_600_000  # 2026-11-22: wall time is never before this release was made

ADAPTERS = {
    "pn532": "taptill.card.adapters.pn532:Pn532Reader",
    "pcsc": "taptill.card.adapters.pcsc:PcscReader",
    "escpos+tcp": "taptill.receipt.adapters.escpos_tcp:EscposTcpPrinter",
    "file": "taptill.credential.adapters.file_keystore:FileKeyStore",
    "tls": "taptill.host.adapters.tls:TlsLink",
}


def adapter(url: str, setting: str) -> Callable[..., Any]:
    """The adapter of a device URL. Raises ConfigError for an unknown scheme."""
    scheme = url.partition(":")[0]
    place = ADAPTERS.get(scheme)
    if place is None:
        known = ", ".join(sorted(ADAPTERS))
        raise ConfigError(f"{url!r} has an unknown scheme", where=setting, next_step=f"use one of {known}")
    module, _, name = place.partition(":")
    made: Callable[..., Any] = getattr(import_module(module), name)
    return made


def open_reader(url: str, clock: SystemClock) -> Any:
    """A CardReader by URL, not yet opened."""
    return adapter(url, "readers")(url, clock)


def product_ca_keys() -> tuple[CaKey, ...]:
    """The published keys that ship with the terminal, test keys among them."""
    return (*_shipped_ca_keys("ca_keys_test.toml"), *_shipped_ca_keys("ca_keys_live.toml"))


def replay_ca_keys(paths: Sequence[Path]) -> CaKeyStore:
    """What a transcript is judged by: the product's keys, those of old recordings, and the files named. Raises what
    `trusted_ca_keys` says."""
    published = (*product_ca_keys(), *_shipped_ca_keys("ca_keys_recorded.toml"))
    return trusted_store(published, _ca_key_files(paths), live=False)


def _shipped_ca_keys(name: str) -> tuple[CaKey, ...]:
    return parse_ca_keys((files("taptill.card.proof") / name).read_text(encoding="utf-8"), where=name)


def _ca_key_files(paths: Sequence[Path]) -> list[CaKeyFile]:
    return [CaKeyFile(str(path), read_ca_keys(_text(path, "ca_keys"), where=str(path))) for path in paths]


def trusted_ca_keys(
    paths: Sequence[Path], live: bool = False, with_product: bool = True, revocations: Sequence[Path] = ()
) -> CaKeyStore:
    """What ships with the terminal (unless `with_product` is False), and the files named. Raises ConfigError for a file
    that cannot be read or a test key on a live terminal, CaKeyRefused, RevocationRefused."""
    key_files = _ca_key_files(paths)
    texts = ((path, _text(path, "revoked_certificates")) for path in revocations)
    revoked = RevocationList.of(entry for path, text in texts for entry in parse_revocations(text, where=str(path)))
    return trusted_store(product_ca_keys(), key_files, live, revoked, with_product)


def configured_ca_keys(config: TerminalConfig, base: Path, more: Sequence[Path] = ()) -> CaKeyStore:
    """What this terminal trusts, and `more` files under its rules. Raises what `trusted_ca_keys` says."""
    return trusted_ca_keys(
        [*(base / name for name in config.ca_keys), *more],
        config.identity.live,
        config.product_ca_keys,
        [base / name for name in config.revoked_certificates],
    )


def _text(path: Path, setting: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(error), where=f"{setting}: {path}") from error


def read_profile(name: str) -> Profile:
    """A host profile that ships with the terminal."""
    place = files("taptill.host") / "profiles" / f"{name}.toml"
    if not name.isidentifier() or not place.is_file():
        raise ConfigError(f"no profile {name!r}", where="host.profile")
    return load_profile(place.read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Terminal:
    loop: Loop
    front: Front
    profile: Profile
    journal: SqliteJournal
    clock: Clock
    workers: tuple[Worker, ...]


def build(config: TerminalConfig, base: Path) -> Terminal:
    """Everything made and connected, nothing started. Paths are relative to `base`. Raises TapTillError."""
    profile = read_profile(config.host.profile)
    journal = SqliteJournal.open(base / config.journal)
    reading = SqliteJournalReader.open(base / config.journal)
    moments = MomentFile((base / config.journal).with_suffix(".moment"))
    clock = SystemClock(max(BUILD_UNIX_MS, journal.vouched_time_ms()), keeper=moments)
    keys: KeyStore = adapter(config.keystore, "keystore")(base / config.keystore.partition(":")[2])
    desk = desk_of(config, profile, keys, configured_ca_keys(config, base), clock, SystemEntropy(), reading, base)
    copier = JournalCopier(base / config.journal, base / config.journal_copy) if config.journal_copy else None
    shown = SqliteJournalReader.open(base / config.journal)
    front = Front(lambda event: loop.post(event), shown, lambda: health(desk, copier, front.notices_health()))
    loop = Loop(Till(desk), clock, front.tell, front.answer)
    writer = JournalWorker(JournalWriter(journal, loop.post, clock, copier.follow if copier else None))
    readers, printer = _readers(config, desk, clock, loop.post), _printer(config, loop.post)
    loop.attach(writer, _link(config, base, profile, keys, clock, loop.post), readers, printer)
    others = [worker for worker in (copier, printer) if worker is not None]
    return Terminal(loop, front, profile, journal, clock, (writer, *readers, *others))


def desk_of(
    config: TerminalConfig,
    profile: Profile,
    keys: KeyStore,
    ca_keys: CaKeyStore,
    clock: Clock,
    entropy: Entropy,
    journal: JournalReader,
    base: Path = Path(),
) -> Desk:
    """The till's desk before its first event. Raises what `combinations` and `refused_cards` say."""
    return Desk(
        config=config,
        profile=profile,
        keys=keys,
        ca_keys=ca_keys,
        combinations=combinations(config.cards, base),
        clock=clock,
        entropy=entropy,
        journal=journal,
        counters=journal.counters(),
        breaker=Breaker(config.host.probe_pause_min_ms, config.host.probe_pause_max_ms),
        exceptions=refused_cards(config.cards, base),
    )


def health(desk: Desk, copier: JournalCopier | None = None, notices: NoticesHealth | None = None) -> HealthView:
    """A look at the desk from another thread: single values, each true at some moment just now."""
    return HealthView(
        ready=(desk.signed_on or desk.breaker.open) and not desk.storage_fault and any(desk.readers.values()),
        host=desk.health().value,
        host_reason=desk.breaker.reason,
        signed_on=desk.signed_on,
        storage_fault=desk.storage_fault,
        storage_reason=reason_view(desk.storage_reason, desk.profile),
        copy_fault=copier.fault if copier else "",
        copy_behind=copier.behind if copier else 0,
        at_counter=desk.at_counter,
        readers=dict(desk.readers),
        unknown_payments=len(desk.inquiries),
        open_debts=len(desk.debts),
        money_at_risk_minor=desk.money_at_risk_minor(),
        notices=notices,
    )


def combinations(cards: CardLimits, base: Path = Path()) -> tuple[Combination, ...]:
    """What this terminal takes: the parameters of the schemes it is configured for, under the merchant's limits. Raises
    ConfigError, ReaderParametersRefused."""
    offered = _reader_parameters(base / cards.parameters if cards.parameters else None)
    known = {each.scheme for each in offered}
    for scheme in cards.schemes:
        if scheme not in known:
            raise ConfigError(
                f"no parameters for {scheme!r}", where="cards.schemes", next_step=", ".join(sorted(known))
            )
    return tuple(_within(each.combination, cards) for each in offered if each.scheme in cards.schemes)


def refused_cards(cards: CardLimits, base: Path = Path()) -> frozenset[bytes]:
    """The exception list, as digests. Raises ConfigError naming file and line."""
    if not cards.refused:
        return frozenset()
    path = base / cards.refused
    return parse_refused_cards(_text(path, "cards.refused"), where=f"cards.refused: {path}")


def _reader_parameters(path: Path | None) -> tuple[SchemeCombination, ...]:
    if path is None:
        shipped = files("taptill.card") / "reader_parameters.toml"
        return parse_reader_parameters(shipped.read_text(encoding="utf-8"))
    return parse_reader_parameters(_text(path, "cards.parameters"), where=str(path))


def _within(combination: Combination, cards: CardLimits) -> Combination:
    """Under the merchant's limits, or the acquirer's where those are lower."""
    return replace(
        combination,
        transaction_limit_minor=_lower(combination.transaction_limit_minor, cards.transaction_limit_minor),
        cvm_limit_minor=_lower(combination.cvm_limit_minor, cards.cvm_limit_minor),
    )


def _lower(acquirer_minor: int | None, merchant_minor: int) -> int:
    return merchant_minor if acquirer_minor is None else min(acquirer_minor, merchant_minor)


def _link(
    config: TerminalConfig,
    base: Path,
    profile: Profile,
    keys: KeyStore,
    clock: SystemClock,
    post: Callable[[Event], None],
) -> HostLink:
    from taptill.host.adapters.tls import TlsFiles

    host = config.host
    tls = TlsFiles(
        ca=base / host.ca, certificate=base / host.certificate, key=base / host.key, server_name=host.server_name
    )
    link: HostLink = adapter(host.endpoints[0], "host.endpoints")(host.endpoints, tls, profile, keys, clock, post)
    return link


def _readers(
    config: TerminalConfig, desk: Desk, clock: SystemClock, post: Callable[[Event], None]
) -> list[ReaderWorker]:
    return [
        ReaderWorker(open_reader(url, clock), desk.combinations, desk.ca_keys, config.cards.card_timeout_ms, post)
        for url in config.readers
    ]


def _printer(config: TerminalConfig, post: Callable[[Event], None]) -> PrinterWorker | None:
    if not config.printer:
        return None
    return PrinterWorker(adapter(config.printer, "printer")(config.printer), post)


def read_one_tap(
    url: str,
    wanted: TapWanted,
    show: Callable[[UiRequest], None],
    ca_keys: Sequence[Path],
    config: TerminalConfig | None = None,
    base: Path = Path(),
) -> CardRead | None:
    """One transaction without a terminal around it, shown as it goes; None when no card came. With `config` it is that
    terminal's: its cards, keys, exception list and identity. Raises ReaderLost, ConfigError, and what `trusted_ca_keys`
    says."""
    clock, entropy = SystemClock(BUILD_UNIX_MS), SystemEntropy()
    cards = config.cards if config else CardLimits()
    trusted = configured_ca_keys(config, base, ca_keys) if config else trusted_ca_keys(ca_keys)
    exceptions, identity = refused_cards(cards, base), config.identity if config else None

    def sale() -> TapRequest:
        return replace(fresh_sale(wanted, clock, entropy, identity), exceptions=exceptions)

    reader: CardReader = open_reader(url, clock)
    patience = Patience(wanted.timeout_ms, cards.card_timeout_ms)
    tap = OneTap(reader, clock, patience, sale, show, time.sleep)
    return tap.run(run_transaction(Configuration(combinations(cards, base), KERNELS, trusted), sale()))
