"""Everything a lab needs before it starts: keys, certificates, and the configurations of host and terminal.

Comes in: a directory, maybe provisioned before. Goes out: the files in it, named by `LabFiles`.
Strategy: secrets are made once and kept, because journals and databases depend on them; what follows from them (the
host's configuration, the CA file of the lab's cards) is written anew each time, so that new cards get their accounts.
Lab secrets only: never load these into anything that meets a real card.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from taphost.config import CardAccount, HostConfig, Issuer, Merchant, Terminal, Tls, config_text
from taplab.card.card_file import CardFile, packaged_cards
from taplab.card.scheme import Scheme
from taplab.lab_certificates import HOST_NAME, CertificateFiles, make_certificates
from taplab.secret_file import write_secret
from taptill.credential.adapters.file_keystore import write_keystore
from taptill.credential.dukpt import derive_initial_key
from taptill.entropy import Entropy, SystemEntropy
from taptill.errors import ConfigError

TERMINAL_ID = "10000001"
MERCHANT_ID = "898310000000001"
MERCHANT_NAME = "闪付实验小店 TapTill Lab Shop"
ISSUER_NAME = "Lab bank"
ISSUER_PREFIXES = ("622800", "476173", "541333", "374245")  # of the test numbers of UnionPay, Visa, Mastercard, Amex
STATUS_URL = "https://status.example/{ref}"
CREDIT_MINOR = 1_000_000
OUTAGE_LIMITS = {
    "per_payment_minor": 10_000,
    "per_card_count": 5,
    "count": 20,
    "total_minor": 100_000,
    "age_hours": 24,
}
CREDIT_MINOR_OF = {"low_limit": 500}  # by the card's name
BLOCKED_AT_THE_ISSUER = {"blocked"}
KEY_SET_ID = bytes.fromhex("0000000100000001")  # X9.24-3, 6.1: BDK id, then derivation id of terminal 1
BDK_OCTETS = 16
ACCOUNT_KEY_OCTETS = 16
TOKEN_KEY_OCTETS = 32


class LabSecretsError(ConfigError):
    """The lab's file of secrets cannot be read."""


@dataclass(frozen=True, slots=True)
class LabFiles:
    """Where everything stands. `journal`, `host_database` and `terminal_config` are names until somebody writes."""

    directory: Path
    certificates: CertificateFiles
    secrets: Path
    scheme: Path
    ca_keys: Path
    keystore: Path
    host_config: Path
    host_database: Path
    terminal_config: Path
    journal: Path

    @classmethod
    def of(cls, directory: Path, terminal_folder: str = "") -> LabFiles:
        """`terminal_folder` is where the terminal keeps what it writes itself, inside `directory`."""
        own = directory / terminal_folder
        return cls(
            directory=directory,
            certificates=CertificateFiles.of(directory),
            secrets=directory / "secrets.json",
            scheme=directory / "scheme.json",
            ca_keys=directory / "lab-ca-keys.toml",
            keystore=own / "keystore.json",
            host_config=directory / "host.toml",
            host_database=directory / "host.sqlite",
            terminal_config=directory / "terminal.toml",
            journal=own / "journal.sqlite",
        )


class _Secrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stored form, all in hex."""

    bdk: str
    account_key: str
    token_key: str


def provision(directory: Path, entropy: Entropy | None = None, terminal_folder: str = "") -> LabFiles:
    """Makes what is missing and keeps what is there. Raises ConfigError for a kept file that cannot be read, OSError
    for a directory that cannot be written."""
    entropy = entropy or SystemEntropy()
    directory.mkdir(parents=True, exist_ok=True)
    files = LabFiles.of(directory, terminal_folder)
    files.journal.parent.mkdir(exist_ok=True)
    if not files.certificates.complete():
        make_certificates(files.certificates, TERMINAL_ID)
    secrets = _kept_secrets(files.secrets, entropy)
    scheme = Scheme.load_or_generate(files.scheme, entropy)
    write_secret(files.ca_keys, scheme.ca_keys_toml())
    if not files.keystore.exists():
        initial_key = derive_initial_key(bytes.fromhex(secrets.bdk), KEY_SET_ID)
        write_keystore(files.keystore, KEY_SET_ID, initial_key, bytes.fromhex(secrets.token_key))
    write_secret(files.host_config, config_text(_host_config(files, secrets, scheme)))
    return files


def terminal_config(
    files: LabFiles, *, readers: Sequence[str], printer: str, endpoints: Sequence[str], ecr_listen: str
) -> str:
    """The TOML text of a terminal in this lab; its paths are relative to the directory. Both ways through an outage are
    open, and nobody has to wait as long as in a shop."""
    certificates = files.certificates
    tables: dict[str, Mapping[str, str | int | list[str]]] = {
        "": {
            "journal": str(files.journal.relative_to(files.directory)),
            "keystore": f"file:{files.keystore.relative_to(files.directory)}",
            "readers": list(readers),
            "printer": printer,
            "ca_keys": [files.ca_keys.name],
            "ecr_listen": ecr_listen,
        },
        "[identity]\n": {
            "terminal_id": TERMINAL_ID,
            "merchant_id": MERCHANT_ID,
            "merchant_name": MERCHANT_NAME,
            "acquirer": ISSUER_NAME,
            "status_url": STATUS_URL,
        },
        "[offline]\n": dict(OUTAGE_LIMITS),
        "[deferred]\n": dict(OUTAGE_LIMITS),
        "[host]\n": {
            "endpoints": list(endpoints),
            "server_name": HOST_NAME,
            "ca": certificates.authority.name,
            "certificate": certificates.terminal.name,
            "key": certificates.terminal_key.name,
            "reply_timeout_ms": 2_500,
            "query_timeout_ms": 2_000,
            "query_pause_ms": 500,
            "unknown_wait_ms": 8_000,
            "probe_pause_min_ms": 300,
            "probe_pause_max_ms": 1_500,
        },
    }
    return "\n".join(head + _toml(table) for head, table in tables.items())


def _toml(table: Mapping[str, str | int | list[str]]) -> str:
    """A JSON string, whole number or list of strings is the same in TOML."""
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in table.items())


def _kept_secrets(path: Path, entropy: Entropy) -> _Secrets:
    if path.exists():
        try:
            return msgspec.json.decode(path.read_bytes(), type=_Secrets)
        except msgspec.DecodeError:
            raise LabSecretsError(
                "holds no secrets of a lab", where=str(path), next_step="use a new directory"
            ) from None
    made = _Secrets(
        bdk=entropy.octets(BDK_OCTETS).hex(),
        account_key=entropy.octets(ACCOUNT_KEY_OCTETS).hex(),
        token_key=entropy.octets(TOKEN_KEY_OCTETS).hex(),
    )
    write_secret(path, msgspec.json.encode(made))
    return made


def _host_config(files: LabFiles, secrets: _Secrets, scheme: Scheme) -> HostConfig:
    certificates = files.certificates
    return HostConfig(
        bdk=secrets.bdk,
        account_key=secrets.account_key,
        tls=Tls(
            certificate=certificates.host.name, key=certificates.host_key.name, client_ca=certificates.authority.name
        ),
        merchants=(Merchant(id=MERCHANT_ID, name=MERCHANT_NAME),),
        terminals=(Terminal(id=TERMINAL_ID, merchant=MERCHANT_ID, key_set=KEY_SET_ID.hex()),),
        issuers=issuers(scheme),
        accounts=card_accounts(),
    )


def issuers(scheme: Scheme) -> tuple[Issuer, ...]:
    """The lab's one issuer, for the numbers of every scheme."""
    return tuple(Issuer(prefix=prefix, key=scheme.issuer_key.hex(), name=ISSUER_NAME) for prefix in ISSUER_PREFIXES)


def card_accounts() -> tuple[CardAccount, ...]:
    """One for each card that comes with the lab. An expiry of a card is a month like 2031-12."""
    cards = {name: msgspec.toml.decode(path.read_bytes(), type=CardFile) for name, path in packaged_cards().items()}
    return tuple(
        CardAccount(
            pan=card.pan,
            credit_minor=CREDIT_MINOR_OF.get(name, CREDIT_MINOR),
            expiry=card.expiry[2:4] + card.expiry[5:7],
            blocked=name in BLOCKED_AT_THE_ISSUER,
            note=card.label,
        )
        for name, card in cards.items()
    )
