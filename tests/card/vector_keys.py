"""The CA keys that foreign cards are judged with: those of the capk folder beside them, and the terminal's own.

Origins disagree on some places, and a store takes one key in each: there are as many stores as the most disputed place
has keys, the best attested key first.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources
from itertools import zip_longest
from typing import Any

from tests.conformance import VECTORS, NotApplicable, vector_files

from taptill.card.proof.ca_keys import CaKey, CaKeyRefused, CaKeyStore, ca_key_checksum, parse_ca_keys

_SHIPPED = ("ca_keys_test.toml", "ca_keys_live.toml", "ca_keys_recorded.toml")


@cache
def vector_stores() -> tuple[CaKeyStore, ...]:
    """At least one; every key is in one of them."""
    by_place: dict[tuple[bytes, int], dict[bytes, CaKey]] = {}
    for key in (*_listed(), *_shipped()):
        by_place.setdefault((key.rid, key.index), {}).setdefault(key.modulus, key)
    return tuple(
        CaKeyStore.of(key or next(iter(keys.values())) for key, keys in zip(turn, by_place.values(), strict=True))
        for turn in zip_longest(*(keys.values() for keys in by_place.values()))
    )


KEY_IS_NOT_HERE = NotApplicable("its CA key would stand in the folder capk, which is absent")


def is_keyless(rid: bytes, index: bytes) -> bool:
    """Whether a card under this CA key cannot be judged, for want of the whole folder; a folder without the key of a
    card that stands beside it is a fault."""
    known = bool(index) and any(store.find(rid, index[0]) is not None for store in vector_stores())
    return bool(index) and not known and not (VECTORS / "capk").is_dir()


def key_of(entry: dict[str, Any]) -> CaKey:
    """An entry of a capk file, its checksum made here. Raises CaKeyRefused."""
    rid, modulus, exponent = (bytes.fromhex(entry[name]) for name in ("rid", "modulus", "exponent"))
    index = int(entry["index"], 16)
    return CaKey(rid, index, modulus, exponent, ca_key_checksum(rid, index, modulus, exponent))


def _listed() -> Iterator[CaKey]:
    """Best attested first, without those whose own checksum fails and those that no terminal would take."""
    files = (document for file, document in vector_files().items() if file.startswith("capk/"))
    entries = [entry for document in files for entry in document.get("keys", ())]
    for entry in sorted(entries, key=lambda entry: not entry.get("checksum_matches")):
        if entry.get("checksum_matches", True):
            try:
                yield key_of(entry)
            except CaKeyRefused:
                continue


def _shipped() -> Iterator[CaKey]:
    for name in _SHIPPED:
        yield from parse_ca_keys((resources.files("taptill.card.proof") / name).read_text(encoding="utf-8"))
