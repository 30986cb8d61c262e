"""Which CA keys a terminal trusts: those that ship with it, and those its acquirer delivered.

Comes in: the product's keys, the configured files, whether the terminal is live. Goes out: a `CaKeyStore`.
Strategy: a configured key takes the place of the product's, two configured keys in one place contradict each other. A
live terminal trusts no test key: the product's are left out, a configured one is refused by name, and a published test
key is one whatever the file that holds it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from taptill.card.proof.ca_keys import CaKey, CaKeyStore
from taptill.card.proof.revocation import RevocationList
from taptill.errors import ConfigError


@dataclass(frozen=True, slots=True)
class CaKeyFile:
    """A configured file: where it lies, and its keys."""

    where: str
    keys: tuple[CaKey, ...]


def trusted_store(
    product: Sequence[CaKey],
    files: Iterable[CaKeyFile],
    live: bool,
    revoked: RevocationList | None = None,
    with_product: bool = True,
) -> CaKeyStore:
    """`with_product` False trusts only what the files hold. Raises ConfigError naming a test key on a live terminal,
    CaKeyRefused for two different configured keys in one place."""
    test_moduli = frozenset(key.modulus for key in product if key.test)
    configured = CaKeyStore.of(_configured(files, test_moduli, live))
    kept = (key for key in product if with_product and not (live and key.test))
    return CaKeyStore.of((*configured, *(key for key in kept if configured.find(key.rid, key.index) is None)), revoked)


def _configured(files: Iterable[CaKeyFile], test_moduli: frozenset[bytes], live: bool) -> Iterator[CaKey]:
    for file in files:
        for key in file.keys:
            test = key.test or key.modulus in test_moduli
            if test and live:
                raise ConfigError(
                    f"{key.name} is a test key, and identity.live is true",
                    where=f"ca_keys: {file.where}",
                    next_step="take the key out, or set identity.live = false",
                )
            yield replace(key, test=test)
