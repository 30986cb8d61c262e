"""The host's configuration: one TOML file, read once. An unknown key is an error.

listen = "127.0.0.1:9443"            # port 0: a free one
utc_offset_minutes = 480             # local time of DE12 and DE13
bdk = "hex, 16 bytes"                # base derivation key of all terminals (AES-128 DUKPT)
account_key = "hex, 16 bytes"        # turns card numbers into the account names of the database
[tls]                                # PEM files, relative to this file; TLS 1.3, clients need a certificate
certificate = "host.pem"
key = "host.key"
client_ca = "ca.pem"
[[merchants]]                        # id: DE42, up to 15 characters
id = "898310000000001"
name = "Corner shop"
[[terminals]]                        # id: DE41, up to 8; key_set: first 8 bytes of its KSN
id = "10000001"
merchant = "898310000000001"
key_set = "1122334455667788"
[[issuers]]                          # card numbers that begin with prefix, longest first; key: issuer master key
prefix = "622800"
key = "hex, 16 bytes"
name = "Lab bank"
[[accounts]]                         # test cards only
pan = "6228000100001117"
credit_minor = 500000                # fen
expiry = "3012"                      # YYMM, valid to the end of the month
blocked = false                      # optional, as all below
partial = false                      # may approve less than asked
note = "the good card"
card_key = ""                        # ICC master key, where the card was not made from the issuer key
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec

from taphost.errors import HostConfigError

CONFIG_OCTETS_MAX = 1_000_000

Key = Annotated[str, msgspec.Meta(pattern="^[0-9A-Fa-f]{32}$")]
KeySet = Annotated[str, msgspec.Meta(pattern="^[0-9A-Fa-f]{16}$")]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all tables. Keys and card numbers stand in them, so a repr shows nothing."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Tls(Settings, frozen=True):
    certificate: str
    key: str
    client_ca: str


class Merchant(Settings, frozen=True):
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=15)]
    name: str = ""


class Terminal(Settings, frozen=True):
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=8)]
    merchant: str
    key_set: KeySet


class Issuer(Settings, frozen=True):
    prefix: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,12}$")]
    key: Key
    name: str = ""


class CardAccount(Settings, frozen=True):
    pan: Annotated[str, msgspec.Meta(pattern="^[0-9]{12,19}$")]
    credit_minor: Annotated[int, msgspec.Meta(ge=0)]
    expiry: Annotated[str, msgspec.Meta(pattern="^[0-9]{2}(0[1-9]|1[0-2])$")]
    blocked: bool = False
    partial: bool = False
    note: str = ""
    card_key: Annotated[str, msgspec.Meta(pattern="^([0-9A-Fa-f]{32})?$")] = ""


class HostConfig(Settings, frozen=True):
    """The whole file. Paths in `tls` are absolute once `load_config` has read it."""

    bdk: Key
    account_key: Key
    tls: Tls | None = None  # not needed where messages do not travel through a socket
    listen: str = "127.0.0.1:0"
    utc_offset_minutes: Annotated[int, msgspec.Meta(ge=-720, le=840)] = 480
    merchants: tuple[Merchant, ...] = ()
    terminals: tuple[Terminal, ...] = ()
    issuers: tuple[Issuer, ...] = ()
    accounts: tuple[CardAccount, ...] = ()


def load_config(path: Path) -> HostConfig:
    """Reads and checks the file. Raises HostConfigError naming the place, never the value."""
    try:
        with path.open("rb") as file:
            text = file.read(CONFIG_OCTETS_MAX).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HostConfigError(f"cannot be read: {type(error).__name__}", where=str(path)) from error
    config = parse_config(text, str(path))
    if config.tls is None:
        return config
    folder = path.resolve().parent
    tls = Tls(
        certificate=str(folder / config.tls.certificate),
        key=str(folder / config.tls.key),
        client_ca=str(folder / config.tls.client_ca),
    )
    return msgspec.structs.replace(config, tls=tls)


def parse_config(text: str, where: str = "configuration") -> HostConfig:
    """The typed configuration of a TOML text. Raises HostConfigError."""
    try:
        config = msgspec.convert(tomllib.loads(text), HostConfig)
    except tomllib.TOMLDecodeError as error:
        raise HostConfigError(f"is no TOML: {error}", where=where) from None
    except msgspec.ValidationError as error:
        raise HostConfigError(str(error), where=where, next_step="compare with the head of taphost/config.py") from None
    _check_references(config, where)
    return config


def config_text(config: HostConfig) -> str:
    """The TOML text that `parse_config` reads back, for whoever provisions a host."""
    plain = msgspec.to_builtins(config)
    tables = {name: value for name, value in plain.items() if isinstance(value, dict | list | tuple)}
    lines = _lines({name: value for name, value in plain.items() if name not in tables and value is not None})
    for name, value in tables.items():
        if isinstance(value, dict):
            lines += ["", f"[{name}]", *_lines(value)]
        else:
            for entry in value:
                lines += ["", f"[[{name}]]", *_lines(entry)]
    return "\n".join(lines) + "\n"


def _lines(table: dict[str, str | int | bool]) -> list[str]:
    # A JSON string, number or truth value is the same in TOML.
    return [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in table.items()]


def _check_references(config: HostConfig, where: str) -> None:
    merchants = {merchant.id for merchant in config.merchants}
    for number, terminal in enumerate(config.terminals):
        if terminal.merchant not in merchants:
            raise HostConfigError("names no merchant of this file", where=f"{where}, terminals[{number}].merchant")
    for name, ids in (
        ("terminals", [terminal.id for terminal in config.terminals]),
        ("merchants", [merchant.id for merchant in config.merchants]),
        ("issuers", [issuer.prefix for issuer in config.issuers]),
        ("accounts", [account.pan for account in config.accounts]),
    ):
        if len(set(ids)) != len(ids):
            raise HostConfigError("stands in it twice", where=f"{where}, {name}")
