"""The command `taptill`: run the terminal, read one card, replay a transcript, decode bytes, look into a journal.

Comes in: arguments. Goes out: text or JSON on standard output, errors on standard error with what to do next.
Strategy: every verb imports what it needs when it is called, so that `taptill decode` starts as fast as Python does.
Exit status 0 done, 1 the answer is bad news, 2 the request could not be carried out.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taptill.errors import TapTillError

if TYPE_CHECKING:
    from taptill.terminal.config import TerminalConfig
    from taptill.terminal.wiring import Terminal
    from taptill.terminal.workers import Worker
    from taptill.ui.ecr.commands import Counter


class UsageError(TapTillError):
    """An argument of a command names nothing usable."""

    code = 6002


Verb = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns its exit status."""
    options = _parser().parse_args(arguments)
    verb: Verb = options.verb
    try:
        status = verb(options)
        sys.stdout.flush()  # here, where a reader that went away is no fault
        return status
    except TapTillError as error:
        print(f"taptill: error {error.code}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="taptill", description="An open contactless payment terminal.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    run = verbs.add_parser("run", help="run the terminal")
    run.add_argument("--config", type=Path, required=True, metavar="FILE")
    run.set_defaults(verb=_run)

    read = verbs.add_parser("read", help="read one tap and print the outcome as JSON")
    read.add_argument("--reader", required=True, metavar="URL", help="pn532:/dev/ttyAMA0 or pcsc:ACR122")
    read.add_argument("--amount", default="1.00", help="in CNY (default 1.00)")
    read.add_argument("--offline", action="store_true", help="offer the card an offline approval")
    read.add_argument("--ca-keys", type=Path, action="append", default=[], metavar="FILE")
    read.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS", help="for each presentation")
    read.add_argument(
        "--config", type=Path, metavar="FILE", help="read as this terminal would: its cards, keys, language"
    )
    read.add_argument("--language", choices=["zh-CN", "en"], help="of the messages (default the terminal's, or zh-CN)")
    read.set_defaults(verb=_read)

    replay = verbs.add_parser("replay", help="run the kernel on a recorded tap")
    replay.add_argument("file", type=Path, metavar="FILE")
    replay.add_argument("--case", metavar="ID", help="which card of a file that holds several")
    replay.add_argument("--ca-keys", type=Path, action="append", default=[], metavar="FILE")
    replay.add_argument("--json", action="store_true", help="print JSON and nothing else")
    replay.set_defaults(verb=_replay)

    decode = verbs.add_parser("decode", help="show what bytes mean")
    decode.add_argument("format", choices=["tlv", "iso", "apdu"])
    decode.add_argument("hex", metavar="HEX")
    decode.add_argument("--json", action="store_true")
    decode.set_defaults(verb=_decode)

    explain = verbs.add_parser("explain", help="the story of one payment")
    explain.add_argument("ref", metavar="REF")
    explain.add_argument("--journal", type=Path, required=True, metavar="FILE")
    explain.set_defaults(verb=_explain)

    reconcile = verbs.add_parser("reconcile", help="compare a journal with the host's records, one by one")
    reconcile.add_argument("journal", type=Path, metavar="JOURNAL")
    reconcile.add_argument("hostfile", type=Path, metavar="HOSTFILE", help="what taphost ledger --json --all prints")
    reconcile.add_argument("--terminal", default="", metavar="ID", help="whose records, where the list holds several")
    reconcile.add_argument("--json", action="store_true")
    reconcile.set_defaults(verb=_reconcile)

    journal = verbs.add_parser("journal", help="verify, export or migrate a journal; verify an export")
    journal.add_argument("action", choices=["verify", "export", "migrate"])
    journal.add_argument("file", type=Path, nargs="?", metavar="FILE")
    journal.add_argument("--journal", type=Path, metavar="FILE", help="the same as FILE")
    journal.set_defaults(verb=_journal)

    ca_keys = verbs.add_parser("ca-keys", help="check a file of CA keys: prints the good ones, names the others")
    ca_keys.add_argument("file", type=Path, metavar="FILE", help="TOML, or an acquirer's download records in hex")
    ca_keys.set_defaults(verb=_ca_keys)

    card_digest = verbs.add_parser("card-digest", help="a line for the file of refused cards; asks for the card number")
    card_digest.set_defaults(verb=_card_digest)

    _add_debt_verbs(verbs)
    return parser


def _add_debt_verbs(verbs: Any) -> None:
    """What is owed, and what only an operator can end."""
    why = verbs.add_parser("why", help="what a payment, or all that is owed, waits for")
    why.add_argument("ref", metavar="REF", nargs="?")
    why.set_defaults(verb=_why)
    send_now = verbs.add_parser("send-now", help="end every wait and send what is owed")
    send_now.set_defaults(verb=_send_now)
    dispose = verbs.add_parser("dispose", help="decide, with a signature, what is parked")
    dispose.add_argument("target", metavar="TARGET", help="the debt or transaction, as taptill why names it")
    dispose.add_argument("--decision", required=True, choices=["send again", "settled", "paid", "not paid"])
    dispose.add_argument("--reason", required=True, metavar="TEXT")
    dispose.add_argument("--key", type=Path, required=True, metavar="OPERATOR.pem")
    dispose.set_defaults(verb=_dispose)
    for verb in (why, send_now, dispose):
        verb.add_argument("--config", type=Path, required=True, metavar="FILE")
        verb.add_argument("--url", default="", help="where the terminal listens, if its configuration leaves it open")
    operator_key = verbs.add_parser("operator-key", help="make an operator's key; prints what the configuration needs")
    operator_key.add_argument("file", type=Path, metavar="NEW.pem")
    operator_key.set_defaults(verb=_operator_key)


def _run(options: argparse.Namespace) -> int:
    from taptill.terminal.config import load_config
    from taptill.terminal.wiring import build
    from taptill.ui.ecr.app import EcrApi
    from taptill.ui.serve import WebFaces

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    config = load_config(options.config)
    terminal = build(config, options.config.resolve().parent)
    webhooks = _webhooks(config, options.config.resolve().parent, terminal) if config.webhooks else ()
    web = WebFaces(EcrApi(terminal.front, terminal.profile).app(), config.ecr_listen)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: terminal.loop.stop())
    web.start()
    print(json.dumps({"listening": f"http://127.0.0.1:{web.port}"}), flush=True)
    try:
        terminal.loop.run((*terminal.workers, *webhooks))
    finally:
        web.stop()
        terminal.journal.close()
    return 0


def _webhooks(config: TerminalConfig, base: Path, terminal: Terminal) -> tuple[Worker, ...]:
    from taptill.entropy import SystemEntropy
    from taptill.journal.adapters.notice_file import NoticeFile
    from taptill.journal.adapters.sqlite import SqliteJournalReader
    from taptill.journal.notices import end_of
    from taptill.ui.webhook import Source, WebhookDesk, WebhookWorker

    journal, clock = base / config.journal, terminal.clock
    notices = NoticeFile(journal.with_name(journal.name + ".notices"))
    source = Source(
        terminal_id=config.identity.terminal_id,
        receivers=tuple(each.url for each in config.webhooks),
        open_journal=lambda: SqliteJournalReader.open(journal),
        reached=end_of(terminal.journal),
        listening=terminal.front.listening,
    )
    workers = tuple(
        WebhookWorker(each.url, base / each.secret_file, source, notices, clock, SystemEntropy())
        for each in config.webhooks
    )
    terminal.front.notice_desk = WebhookDesk(workers, notices, clock)
    return workers


def _read(options: argparse.Namespace) -> int:
    from taptill.amount.money import parse_money
    from taptill.card.tap_report import tap_report
    from taptill.terminal.config import load_config
    from taptill.terminal.messages import message_text
    from taptill.terminal.one_tap import TapWanted
    from taptill.terminal.wiring import read_one_tap

    config = load_config(options.config) if options.config else None
    language = options.language or (config.identity.language if config else "zh-CN")
    wanted = TapWanted(parse_money(options.amount), options.offline, int(options.timeout * 1000))
    card = read_one_tap(
        options.reader,
        wanted,
        lambda ui: print(message_text(ui, language), file=sys.stderr, flush=True),
        options.ca_keys,
        config,
        options.config.resolve().parent if config else Path(),
    )
    if card is None:
        _print_json({"outcome": "no card", "reader": options.reader})
        return 1
    _print_json(tap_report(card, options.reader))
    return 0


def _replay(options: argparse.Namespace) -> int:
    from taptill.card.replay.replay import replay
    from taptill.terminal.wiring import replay_ca_keys

    report = replay(_json_file(options.file), options.case, replay_ca_keys(options.ca_keys)).as_json()
    if options.json:
        _print_json(report)
        return 0
    for name, value in report.items():
        print(f"{name:16} {json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value}")
    return 0


def _ca_keys(options: argparse.Namespace) -> int:
    from taptill.card.proof.ca_key_records import sift_ca_key_file
    from taptill.card.proof.ca_keys import CaKeyStore, format_ca_keys

    try:
        text = options.file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(str(error), where=str(options.file)) from error
    sifted = sift_ca_key_file(text, str(options.file))
    print(format_ca_keys(CaKeyStore.of(sifted.keys)))
    for refused in sifted.refused:
        print(f"taptill: error {refused.code}: {refused}", file=sys.stderr)
    return 1 if sifted.refused else 0


def _card_digest(options: argparse.Namespace) -> int:
    from getpass import getpass

    from taptill.terminal.refused_cards import refused_card_line

    print(refused_card_line(getpass("card number: ") if sys.stdin.isatty() else sys.stdin.readline()))
    return 0


def _print_json(document: object) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))


def _json_file(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(str(error), where=str(path)) from error
    if not isinstance(document, dict):
        raise UsageError("the file holds no JSON object", where=str(path))
    return document


def _decode(options: argparse.Namespace) -> int:
    from taptill.decoding import decoded

    try:
        octets = bytes.fromhex(options.hex)
    except ValueError as error:
        raise UsageError(str(error), where="HEX", next_step="give an even number of hex digits") from error
    document, text = decoded(options.format, octets)
    if options.json:
        _print_json(document)
    else:
        print(text)
    return 0


def _explain(options: argparse.Namespace) -> int:
    from taptill.journal.adapters.sqlite import SqliteJournalReader
    from taptill.journal.explain import explain

    records = list(SqliteJournalReader.open(options.journal).records(options.ref))
    if not records:
        raise UsageError(f"no payment {options.ref}", where=str(options.journal))
    print("\n".join(explain(records, datetime.now().astimezone().tzinfo or UTC)))
    return 0


def _reconcile(options: argparse.Namespace) -> int:
    from taptill.journal.adapters.sqlite import SqliteJournalReader
    from taptill.settlement.host_records import book_of, read_host_records
    from taptill.settlement.reconcile import reconcile
    from taptill.settlement.reconciliation_report import as_json, as_text

    try:
        records = read_host_records(options.hostfile.read_bytes(), str(options.hostfile))
    except OSError as error:
        raise UsageError(str(error), where="HOSTFILE") from error
    journal = SqliteJournalReader.open(options.journal)
    with journal.snapshot():
        journal.verify_now()
        payments, transactions, debts = journal.payments(), journal.transactions(), journal.debts()
    book = book_of(records, options.terminal, {row.payment_ref for row in payments}, str(options.hostfile))
    result = reconcile(payments, transactions, debts, book.records)
    if options.json:
        _print_json(as_json(result, book))
    else:
        print("\n".join(as_text(result, book)))
    return 1 if result.needs_somebody else 0


def _journal(options: argparse.Namespace) -> int:
    path: Path | None = options.file or options.journal
    if path is None:
        raise UsageError("no journal is named", where=f"journal {options.action}", next_step="add its FILE")
    return {"verify": _journal_verify, "export": _journal_export, "migrate": _journal_migrate}[options.action](path)


def _journal_verify(path: Path) -> int:
    from taptill.journal.adapters.export_file import is_export, verify_export_file
    from taptill.journal.adapters.sqlite import SqliteJournalReader

    verified = verify_export_file(path) if is_export(path) else SqliteJournalReader.open(path).verify()
    print(f"{verified.count} entries verify, the last is {verified.last_seq}, the head {verified.head.hex()}")
    return 0


def _journal_export(path: Path) -> int:
    from taptill.journal.adapters.sqlite import SqliteJournalReader
    from taptill.journal.export import export_lines

    journal = SqliteJournalReader.open(path)
    for line in export_lines(journal.stored(), journal.verify()):
        print(line)
    return 0


def _journal_migrate(path: Path) -> int:
    from taptill.journal.adapters.migration import migrate

    print(migrate(path).as_text())
    return 0


def _counter(options: argparse.Namespace) -> Counter:
    from taptill.journal.adapters.sqlite import SqliteJournalReader
    from taptill.terminal.config import load_config
    from taptill.ui.ecr.commands import Counter

    config = load_config(options.config)
    place = options.config.resolve().parent / config.journal
    return Counter(config, options.url, lambda: SqliteJournalReader.open(place))


def _why(options: argparse.Namespace) -> int:
    from taptill.ui.ecr.commands import why

    for line in why(_counter(options), options.ref):
        print(line)
    return 0


def _send_now(options: argparse.Namespace) -> int:
    from taptill.ui.ecr.commands import send_now

    for line in send_now(_counter(options)):
        print(line)
    return 0


def _dispose(options: argparse.Namespace) -> int:
    from taptill.ui.ecr.commands import dispose

    for line in dispose(_counter(options), options.target, options.decision, options.reason, options.key):
        print(line)
    return 0


def _operator_key(options: argparse.Namespace) -> int:
    from taptill.ui.ecr.commands import make_operator_key

    print(make_operator_key(options.file))
    return 0
