"""The command `taphost`: serve terminals, or show what was booked.

Comes in: arguments. Goes out: `serve` prints one JSON line once it listens and logs to standard error; `accounts` and
`ledger` print a table, or with --json one JSON object, beside a running host.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from taphost.acquirer import Acquirer
from taphost.config import HostConfig, load_config
from taphost.errors import HostConfigError, TapHostError
from taphost.ledger import Entry
from taphost.server import HostServer
from taphost.sql_store import SqlStore

DEFAULT_DATABASE = "sqlite:///taphost.db"


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 when all went well, 1 with one line on standard error when not."""
    options = _parser().parse_args(arguments)
    try:
        return {"serve": _serve, "accounts": _accounts, "ledger": _ledger}[options.command](options)
    except (TapHostError, OSError) as error:
        print(f"taphost: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="taphost", description="Reference acquirer and credit-pay issuer.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="answer terminals until SIGTERM")
    serve.add_argument("--config", type=Path, required=True, metavar="FILE")
    serve.add_argument("--listen", metavar="HOST:PORT", help="overrides the configuration; port 0 takes a free one")
    accounts = commands.add_parser("accounts", help="what each account may owe and owes")
    ledger = commands.add_parser("ledger", help="what is captured, net, with its total")
    ledger.add_argument("--all", action="store_true", help="also declined and reversed entries, and reversals")
    for command in (serve, accounts, ledger):
        command.add_argument(
            "--database", default=DEFAULT_DATABASE, metavar="URL", help="sqlite:///FILE, postgresql://"
        )
    for command in (accounts, ledger):
        command.add_argument("--json", action="store_true")
    return parser


def _serve(options: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    config = load_config(options.config)
    asyncio.run(_serve_until_stopped(config, options.database, _address(options.listen or config.listen)))
    return 0


async def _serve_until_stopped(config: HostConfig, database: str, address: tuple[str, int]) -> None:
    if config.tls is None:
        raise HostConfigError("the table is missing", where="configuration, tls")
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    store = SqlStore(database)
    try:
        server = HostServer(Acquirer(config, store, lambda: time.time_ns() // 1_000_000), config.tls)
        host, port = await server.start(*address)
        print(json.dumps({"listening": f"{host}:{port}"}), flush=True)
        await stopped.wait()
        await server.stop()
    finally:
        store.close()


def _accounts(options: argparse.Namespace) -> int:
    store = SqlStore(options.database, must_exist=True)
    with store.transaction() as books:
        lines = books.accounts()
    store.close()
    if options.json:
        rows = [asdict(line) | {"available_minor": line.credit_minor - line.owed_minor} for line in lines]
        print(json.dumps({"accounts": rows}, ensure_ascii=False))
        return 0
    for line in lines:
        print(f"{line.masked_pan:19} owes {line.owed_minor:>12} of {line.credit_minor:>12}  {line.note}")
    return 0


def _ledger(options: argparse.Namespace) -> int:
    store = SqlStore(options.database, must_exist=True)
    with store.transaction() as books:
        entries = books.entries(captured_only=not options.all)
    store.close()
    total_minor = sum(entry.captured_minor for entry in entries)
    if options.json:
        rows = [ledger_row(entry) for entry in entries]
        print(json.dumps({"transactions": rows, "count": len(rows), "net_captured_minor": total_minor}))
        return 0
    for entry in entries:
        key = f"{entry.key.terminal} {entry.key.batch:06d} {entry.key.stan:06d}"
        print(f"{key} {entry.kind:16} {entry.state.value:10} {entry.captured_minor:>12} {entry.payment_ref}")
    print(f"net captured {total_minor}")
    return 0


def ledger_row(entry: Entry) -> dict[str, str | int]:
    """One entry for reconciliation: amounts in fen, times in milliseconds since 1970 UTC."""
    return {
        "terminal": entry.key.terminal,
        "batch": entry.key.batch,
        "stan": entry.key.stan,
        "message_class": entry.key.message_class.value,
        "kind": entry.kind,
        "state": entry.state.value,
        "payment_ref": entry.payment_ref,
        "amount_minor": entry.amount_minor,
        "captured_minor": entry.captured_minor,
        "code": entry.code,
        "auth_code": entry.auth_code,
        "rrn": entry.rrn,
        "token": entry.token,
        "masked_pan": entry.masked_pan,
        "received_ms": entry.received_ms,
        "changed_ms": entry.changed_ms,
    }


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise HostConfigError(f"{text!r} is no HOST:PORT", where="listen")
    return host, int(port)
