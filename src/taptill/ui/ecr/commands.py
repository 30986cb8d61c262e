"""The verbs of the command line that look at, or decide, what a terminal owes.

Comes in: a configuration file, names and keys. Goes out: lines of text. Strategy: the running terminal is asked through
its local API; what only the journal can tell is read beside it. A statement is signed here, so that an operator's
private key never reaches the terminal.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from taptill.errors import ConfigError
from taptill.host.profile import Texts
from taptill.journal.disposition import Refusal, Statement, parking_of, statement_text
from taptill.journal.explain import open_ends
from taptill.journal.port import JournalReader
from taptill.terminal.config import TerminalConfig
from taptill.terminal.reasons import REASONS
from taptill.ui.ecr.client import NoTerminal, TerminalClient, TerminalRefused

OWNER_ONLY = 0o600


@dataclass(frozen=True, slots=True)
class Counter:
    """A terminal from outside. `url` is where it listens, if its configuration leaves that open; `journal` opens the
    journal beside it and raises JournalError."""

    config: TerminalConfig
    url: str
    journal: Callable[[], JournalReader]

    def client(self) -> TerminalClient:
        """Raises ConfigError."""
        return TerminalClient(self.config.ecr_listen, self.url)


def make_operator_key(path: Path) -> str:
    """A new private key for its owner alone; the public half in hex for the configuration. Raises ConfigError when the
    file is there already."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "wb") as file:
            file.write(pem)
    except OSError as error:
        raise ConfigError(str(error), where=str(path), next_step="name a file that does not exist yet") from error
    return key.public_key().public_bytes_raw().hex()


def dispose(counter: Counter, target: str, decision: str, reason: str, key_file: Path) -> Iterator[str]:
    """Signs, offers, and says how the payment stands. Raises TerminalRefused, NoTerminal, ConfigError, JournalError."""
    key = _operator_key(key_file)
    statement = Statement(
        terminal_id=counter.config.identity.terminal_id,
        target=target,
        decision=decision,
        reason=reason,
        operator=_name_of(counter.config, key),
        parked_by=_parked_by(counter.journal(), target),
    )
    text = statement_text(statement)
    body = {"statement": text, "signature": key.sign(text.encode()).hex()}
    payment = counter.client().post("/v1/dispositions", body)
    yield f"{target}: {decision}, signed by {statement.operator}. {payment['payment_ref']} is {payment['state']}."


def why(counter: Counter, payment_ref: str | None) -> Iterator[str]:
    """What one payment waits for, or everything that is owed. Without a running terminal the journal alone is asked.
    Raises ConfigError, JournalError, TerminalRefused."""
    try:
        client = counter.client()
        if payment_ref is not None:
            yield from _why_payment(client.get(f"/v1/payments/{payment_ref}"))
            return
        yield from _owed(client.get("/v1/debts"))
    except (NoTerminal, ConfigError) as absent:
        yield f"No running terminal was asked ({absent.what}); this is what the journal says."
        yield from _why_by_journal(counter.journal(), payment_ref)


def send_now(counter: Counter) -> Iterator[str]:
    """Raises NoTerminal, TerminalRefused, ConfigError."""
    yield "Every wait was ended. What is owed now:"
    yield from _owed(counter.client().post("/v1/debts/send"))


def _why_payment(payment: dict[str, Any]) -> Iterator[str]:
    yield f"{payment['payment_ref']} is {payment['state']}."
    wait = payment["waits_for"]
    yield from _both(wait) if wait else ("  It waits for nothing.",)


def _owed(document: dict[str, Any]) -> Iterator[str]:
    debts = document["debts"]
    if not debts:
        yield "Nothing is owed."
    for debt in debts:
        tries, age_s = debt["attempts"], debt["age_ms"] // 1000
        tried = f", tried {tries} {'time' if tries == 1 else 'times'}" if tries else ""
        yield f"{debt['debt']} ({debt['row']}), {debt['state']}, owed for {age_s} s{tried}:"
        yield from _both(debt["why"])


def _both(texts: dict[str, str]) -> Iterator[str]:
    yield f"  {texts['en']}"
    yield f"  {texts['zh-CN']}"


def _why_by_journal(journal: JournalReader, payment_ref: str | None) -> Iterator[str]:
    zone = datetime.now().astimezone().tzinfo or UTC
    refs = [payment_ref] if payment_ref else _open_refs(journal)
    if not refs:
        yield "Nothing is open and nothing is owed."
    for ref in refs:
        records = list(journal.records(ref))
        if not records:
            raise ConfigError(f"no payment {ref}", where="REF")
        row = journal.payment(ref)
        yield f"{ref} is {row.state if row else 'not known'}."
        yield from (f"  {sentence}" for sentence in open_ends(records, zone))


def _open_refs(journal: JournalReader) -> list[str]:
    """In the order in which they were armed."""
    refs = [row.payment_ref for row in journal.open_payments()]
    refs += [debt.payment_ref for debt in journal.open_debts()]
    return list(dict.fromkeys(refs))


def _operator_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"no private key can be read: {error}", where=str(path), next_step=_MAKE) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("it is no Ed25519 key", where=str(path), next_step=_MAKE)
    return key


_MAKE = "make one with: taptill operator-key NEW.pem"


def _name_of(config: TerminalConfig, key: Ed25519PrivateKey) -> str:
    """Raises TerminalRefused for a key that the configuration does not name."""
    public = key.public_key().public_bytes_raw().hex()
    name = next((operator.name for operator in config.operators if operator.key == public), None)
    if name is None:
        raise _refused(Refusal.UNKNOWN_OPERATOR, f'key = "{public}"')
    return name


def _parked_by(journal: JournalReader, target: str) -> str:
    """Raises TerminalRefused when the target is not parked."""
    parking = parking_of(journal.records(target.partition("/")[0]), target)
    if parking is None:
        raise _refused(Refusal.NOT_PARKED, target)
    return parking.digest.hex()


def _refused(refusal: Refusal, where: str) -> TerminalRefused:
    words: Texts = REASONS[refusal.value].cashier
    return TerminalRefused(words.en, where=where, next_step=REASONS[refusal.value].next_step.en)
