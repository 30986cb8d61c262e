"""What every world stands on: keys, cards, accounts, and the configurations of terminal and host.

Comes in: nothing. Goes out: one `Ground` per process, the same in every process.
Strategy: keys follow from their names, so that a journal that quotes a card's certificates has the same digest wherever
its world is replayed. What is dear to make (certificates, cards) is made once; a card of one world is a counter and a
balance on top of it. Simulation keys: whoever reads this file has them.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from taphost.config import HostConfig, Merchant, Terminal
from taplab.card import Card, Scheme
from taplab.card.card_file import packaged_cards, personalise, read_card_file
from taplab.card.personalisation import Personalisation
from taplab.card.rsa_key import RsaKey
from taplab.card.scheme import CA_BITS, CA_EXPONENT, ICC_BITS, ICC_EXPONENT, ISSUER_BITS, ISSUER_EXPONENT
from taplab.provision import (
    ACCOUNT_KEY_OCTETS,
    BDK_OCTETS,
    KEY_SET_ID,
    MERCHANT_ID,
    MERCHANT_NAME,
    TERMINAL_ID,
    TOKEN_KEY_OCTETS,
    LabFiles,
    card_accounts,
    issuers,
    terminal_config,
)
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.credential.adapters.file_keystore import write_keystore
from taptill.credential.dukpt import derive_initial_key
from taptill.entropy import Entropy
from taptill.host.profile import Profile
from taptill.terminal.config import Operator, OutageLimits, TerminalConfig
from taptill.terminal.wiring import product_ca_keys, read_profile

READER_URL = "pcsc:counter"
PRINTER_URL = "escpos+tcp://printer"
HOST_URL = "tls://host:9443"
ISSUER_KEY_OCTETS = 16
OPERATOR_NAME = "operator"
KEY_OCTETS = 32

# How far above the number that a prime's name stands for the first fitting prime lies.
_STEPS_TO_PRIME = {
    "authority p": 206,
    "authority q": 20,
    "issuer p": 986,
    "issuer q": 100,
    "card p": 26,
    "card q": 42,
}


@dataclass(frozen=True, slots=True)
class Ground:
    """`keystore` holds the two files of a key store that was never used, by name; `terminal.keystore` names the one."""

    scheme: Scheme = field(repr=False)
    cards: Mapping[str, Personalisation] = field(repr=False)
    ca_keys: CaKeyStore = field(repr=False)
    host: HostConfig
    terminal: TerminalConfig
    profile: Profile
    keystore: Mapping[str, bytes] = field(repr=False)
    operator_key: bytes = field(repr=False)
    outage_limits: Mapping[str, OutageLimits]  # by row of the profile

    def fresh_card(self, name: str, entropy: Entropy) -> Card:
        """One of the lab's packaged cards, never used. Its random UIDs and signed numbers come from `entropy`."""
        return Card(self.cards[name], entropy)


@lru_cache(maxsize=1)
def common_ground() -> Ground:
    """Takes a few dozen milliseconds, once per process."""
    files = LabFiles.of(Path())
    scheme = _scheme()
    bdk = _octets("base derivation key", BDK_OCTETS)
    terminal = _terminal_config(files)
    return Ground(
        scheme=scheme,
        cards=MappingProxyType(
            {name: personalise(read_card_file(path), scheme) for name, path in packaged_cards().items()}
        ),
        ca_keys=CaKeyStore.of((*product_ca_keys(), *scheme.ca_keys())),
        host=_host_config(scheme, bdk),
        terminal=terminal,
        profile=read_profile("aes"),
        keystore=MappingProxyType(_keystore(files.keystore.name, bdk)),
        operator_key=_octets("operator key", KEY_OCTETS),
        outage_limits=MappingProxyType(_outage_limits(terminal)),
    )


def _scheme() -> Scheme:
    return Scheme(
        authority=_rsa_key("authority", CA_BITS, CA_EXPONENT),
        issuer=_rsa_key("issuer", ISSUER_BITS, ISSUER_EXPONENT),
        card=_rsa_key("card", ICC_BITS, ICC_EXPONENT),
        issuer_key=_octets("issuer key", ISSUER_KEY_OCTETS),
    )


def _rsa_key(name: str, bits: int, exponent: int) -> RsaKey:
    return RsaKey.from_primes(_prime(f"{name} p", bits // 2), _prime(f"{name} q", bits // 2), exponent)


def _prime(name: str, bits: int) -> int:
    """With its two highest bits set, so that the product of two has all its bits."""
    number = int.from_bytes(_octets(name, bits // 8), "big")
    return (number | 3 << (bits - 2) | 1) + _STEPS_TO_PRIME[name]


def _octets(name: str, count: int) -> bytes:
    return hashlib.shake_256(f"TapTill simulation {name}".encode()).digest(count)


def _host_config(scheme: Scheme, bdk: bytes) -> HostConfig:
    return HostConfig(
        bdk=bdk.hex(),
        account_key=_octets("account key", ACCOUNT_KEY_OCTETS).hex(),
        merchants=(Merchant(id=MERCHANT_ID, name=MERCHANT_NAME),),
        terminals=(Terminal(id=TERMINAL_ID, merchant=MERCHANT_ID, key_set=KEY_SET_ID.hex()),),
        issuers=issuers(scheme),
        accounts=card_accounts(),
    )


def _terminal_config(files: LabFiles) -> TerminalConfig:
    text = terminal_config(
        files, readers=[READER_URL], printer=PRINTER_URL, endpoints=[HOST_URL], ecr_listen="127.0.0.1:0"
    )
    config = msgspec.convert(tomllib.loads(text), TerminalConfig)
    public_key = Ed25519PrivateKey.from_private_bytes(_octets("operator key", KEY_OCTETS)).public_key()
    return msgspec.structs.replace(
        config, operators=[Operator(name=OPERATOR_NAME, key=public_key.public_bytes_raw().hex())]
    )


def _outage_limits(terminal: TerminalConfig) -> dict[str, OutageLimits]:
    limits = {"offline_advice": terminal.offline, "deferred_advice": terminal.deferred}
    return {row: limit for row, limit in limits.items() if limit is not None}


def _keystore(name: str, bdk: bytes) -> dict[str, bytes]:
    """The store and its mark, as the product writes them."""
    initial_key = derive_initial_key(bdk, KEY_SET_ID)
    with TemporaryDirectory() as place:
        write_keystore(Path(place, name), KEY_SET_ID, initial_key, _octets("token key", TOKEN_KEY_OCTETS))
        return {path.name: path.read_bytes() for path in sorted(Path(place).iterdir())}
