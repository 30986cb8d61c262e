"""The configuration: read once at start into typed objects.

Comes in: a TOML file. Goes out: `TerminalConfig`.
Strategy: an unknown key, a wrong type or a missing value is an error that names the key; paths are relative to the
file. Nothing else in the terminal reads the file.
"""

from __future__ import annotations

import ipaddress
import tomllib
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from taptill.errors import ConfigError

OPERATOR_CHARACTERS_MAX = 20  # it stands on a slip


class Identity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    terminal_id: str  # DE41, eight characters
    merchant_id: str  # DE42, fifteen characters
    merchant_name: str
    acquirer: str = ""
    operator: str = "01"
    country: str = "156"
    currency: str = "CNY"
    language: Literal["zh-CN", "en"] = "zh-CN"  # of receipts, where the card has no preference
    utc_offset_minutes: int = 480
    live: bool = False  # real money: receipts lose the test mark, and no CA test key is trusted
    status_url: str = ""  # what the receipt's QR leads to; {ref} is replaced


class HostConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    endpoints: list[str]
    server_name: str
    ca: str
    certificate: str
    key: str
    profile: str = "aes"
    reply_timeout_ms: int = 30_000
    query_timeout_ms: int = 10_000
    query_pause_ms: int = 2_000
    unknown_wait_ms: int = 45_000
    probe_pause_min_ms: int = 1_000
    probe_pause_max_ms: int = 60_000
    echo_idle_ms: int = 300_000


class OutageLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All five are needed before anything passes; without the section that way through an outage stays closed."""

    per_payment_minor: int
    per_card_count: int
    count: int
    total_minor: int
    age_hours: int


class CardLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which cards are taken, and up to which amounts. `parameters`: an acquirer's file in the place of the reader
    parameters that ship with the terminal. `refused`: a file of cards that are not approved offline."""

    schemes: tuple[str, ...] = ("unionpay", "visa", "mastercard")
    parameters: str = ""
    refused: str = ""
    transaction_limit_minor: int = 5_000_000
    cvm_limit_minor: int = 100_000
    card_timeout_ms: int = 3_000


class Operator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may decide what is parked. `taptill operator-key` makes a key and prints the public half."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=OPERATOR_CHARACTERS_MAX)]
    key: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]  # Ed25519, 32 bytes in hex


class Webhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is told of every change of a payment's state."""

    url: str  # https, or http to this machine
    secret_file: str  # what notices are signed with; readable by its owner alone


class TerminalConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    identity: Identity
    host: HostConfig
    journal: str
    readers: list[str]
    keystore: str
    journal_copy: str = ""  # on another medium
    printer: str = ""
    ca_keys: list[str] = []  # files of keys; each key takes the place of the product's
    product_ca_keys: bool = True  # False: only what the files of ca_keys hold is trusted
    revoked_certificates: list[str] = []  # files of issuer certificates that are no longer good
    cards: CardLimits = CardLimits()
    offline: OutageLimits | None = None
    deferred: OutageLimits | None = None
    operators: list[Operator] = []
    webhooks: list[Webhook] = []
    ecr_listen: str = "127.0.0.1:0"
    arm_expiry_ms: int = 60_000


def load_config(path: Path) -> TerminalConfig:
    """Raises ConfigError naming the file and the key."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(str(error), where=str(path)) from error
    try:
        config = msgspec.convert(document, TerminalConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error), where=str(path), next_step="compare with src/taptill/README.md") from error
    names = [operator.name for operator in config.operators]
    if len(names) > len(set(names)):
        raise ConfigError("two operators have one name", where=f"{path}: operators", next_step="one key for each name")
    _refuse_webhooks([webhook.url for webhook in config.webhooks], where=f"{path}: webhooks")
    return config


def _refuse_webhooks(urls: list[str], where: str) -> None:
    """What they say of payments goes encrypted to somebody known, or does not leave this machine."""
    for url in urls:
        try:
            place = urlsplit(url)
            usable = bool(place.hostname) and place.port != 0 and not place.username and not place.fragment
        except ValueError:
            usable = False
        if not usable or not url.isascii() or " " in url:
            raise ConfigError(f"{url!r} is no address of a webhook", where=where, next_step="https://host[:port]/path")
        if place.scheme != "https" and not (place.scheme == "http" and _is_this_machine(str(place.hostname))):
            raise ConfigError(f"{url!r} would go unencrypted", where=where, next_step="https; http only to 127.0.0.1")
    if len(urls) > len(set(urls)):
        raise ConfigError("two webhooks have one url", where=where, next_step="name each receiver once")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
