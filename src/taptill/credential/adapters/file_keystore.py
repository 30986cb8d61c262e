"""A key store in a file of its own, readable by its owner alone.

Comes in: a path. Goes out: MACs, envelopes and tokens; never a key.
Strategy: a JSON file holds the keys, a second one the mark below which no counter is used again; the mark moves in
blocks, synced before the first counter of a block is used. The next mark has its room on the disk before it is needed:
on a full one, what is owed must still be able to leave. A Raspberry Pi has no secure element: whoever can read the
file has the keys, and whoever can read this process's memory too, for Python leaves copies behind. Use it in labs, or
put the file on an encrypted disk and say what that is worth.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from contextlib import suppress
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from taptill.credential.dukpt import INITIAL_KEY_ID_OCTETS, KeyUsage, derive_working_key, is_counter
from taptill.credential.keystore import KeyStoreError

KEY_OCTETS = 16
TOKEN_KEY_OCTETS = 32
TOKEN_OCTETS = 16
MAC_OCTETS = 8
NONCE_OCTETS = 12
RESERVED_BLOCK_COUNTERS = 256
_OTHERS_MAY = 0o077
_TOKEN_PURPOSE = b"taptill token 1:"


class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stored form; all three in hex."""

    key_set_id: str
    initial_key: str
    token_key: str


def write_keystore(path: Path, key_set_id: bytes, initial_key: bytes, token_key: bytes) -> None:
    """A new store, mode 0600, mark at 1. `token_key` has 32 bytes. Raises KeyStoreError if anything stands there."""
    _check_lengths(path, key_set_id, initial_key, token_key)
    content = _KeyFile(key_set_id.hex(), initial_key.hex(), token_key.hex())
    if path.exists():
        raise KeyStoreError("there is a key store already", where=str(path), next_step="keys are never overwritten")
    _write_mark(_mark_path(path), 1)
    _write_synced(path, msgspec.json.format(msgspec.json.encode(content)) + b"\n")


class FileKeyStore:
    """KeyStore on a file. Safe to use from several threads as long as one of them does all the `reserve`."""

    def __init__(self, path: Path) -> None:
        """Raises KeyStoreError where the file is missing, malformed, or open to others."""
        content = _read_key_file(path)
        self._path = path
        self._key_set_id = content[0]
        self._initial_key, self._token_key = bytearray(content[1]), bytearray(content[2])
        self._floor = self._reserved_end = _read_mark(_mark_path(path))

    def key_set_id(self) -> bytes:
        return self._key_set_id

    def counter_floor(self) -> int:
        """Counters below it may have been used before this start."""
        return self._floor

    def reserve(self, counter: int) -> None:
        if not is_counter(counter) or counter < self._floor:
            raise KeyStoreError(
                f"key counter {counter} lies below the mark {self._floor}, or is none", where=str(self._path)
            )
        if counter >= self._reserved_end:
            end = counter + RESERVED_BLOCK_COUNTERS
            _write_mark(_mark_path(self._path), end)
            self._reserved_end = end

    def request_mac(self, counter: int, message: bytes) -> bytes:
        self._check_reserved(counter)
        return self._mac(counter, KeyUsage.MAC_GENERATION, message)

    def response_mac(self, counter: int, message: bytes) -> bytes:
        """For any counter: the answer to a message of an earlier start is checked with that message's key."""
        return self._mac(counter, KeyUsage.MAC_VERIFICATION, message)

    def seal(self, counter: int, nonce: bytes, plaintext: bytes | bytearray, bound_to: bytes) -> bytes:
        self._check_reserved(counter)
        if len(nonce) != NONCE_OCTETS:
            raise KeyStoreError(f"a nonce has {NONCE_OCTETS} bytes, not {len(nonce)}", where="seal")
        return nonce + AESGCM(self._key(counter, KeyUsage.DATA_ENCRYPTION)).encrypt(nonce, plaintext, bound_to)

    def tokenize(self, pan: bytes | bytearray) -> bytes:
        digest = hmac.new(self._token_key, _TOKEN_PURPOSE, hashlib.sha256)
        digest.update(pan)
        return digest.digest()[:TOKEN_OCTETS]

    def close(self) -> None:
        """Zeroes what Python lets us zero; the store is of no use afterwards."""
        for key in (self._initial_key, self._token_key):
            key[:] = bytes(len(key))

    def _mac(self, counter: int, usage: KeyUsage, message: bytes) -> bytes:
        mac = CMAC(AES(self._key(counter, usage)))
        mac.update(message)
        return mac.finalize()[:MAC_OCTETS]

    def _key(self, counter: int, usage: KeyUsage) -> bytes:
        return derive_working_key(self._initial_key, self._key_set_id, counter, usage)

    def _check_reserved(self, counter: int) -> None:
        if not self._floor <= counter < self._reserved_end:
            raise KeyStoreError(f"key counter {counter} was not reserved", where=str(self._path))

    def __repr__(self) -> str:
        return f"FileKeyStore({str(self._path)!r})"


def _read_key_file(path: Path) -> tuple[bytes, bytes, bytes]:
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            octets = stream.read()
    except OSError as error:
        raise KeyStoreError(f"cannot be read: {error.strerror}", where=str(path)) from None
    if mode & _OTHERS_MAY:
        raise KeyStoreError(f"mode {mode & 0o777:o} lets others in", where=str(path), next_step="chmod 600")
    try:
        content = msgspec.json.decode(octets, type=_KeyFile)
        keys = tuple(bytes.fromhex(part) for part in (content.key_set_id, content.initial_key, content.token_key))
    except (msgspec.DecodeError, ValueError):
        raise KeyStoreError("is no key store", where=str(path)) from None  # the cause may quote a key
    _check_lengths(path, *keys)
    return keys[0], keys[1], keys[2]


def _check_lengths(path: Path, key_set_id: bytes, initial_key: bytes, token_key: bytes) -> None:
    wanted = (INITIAL_KEY_ID_OCTETS, KEY_OCTETS, TOKEN_KEY_OCTETS)
    if (len(key_set_id), len(initial_key), len(token_key)) != wanted:
        raise KeyStoreError("key set id, initial key and token key have 8, 16 and 32 bytes", where=str(path))


def _mark_path(path: Path) -> Path:
    return path.with_name(path.name + ".mark")


def _read_mark(path: Path) -> int:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise KeyStoreError(
            "the mark of used counters is missing", where=str(path), next_step="load new keys"
        ) from None
    if not text.isdigit():
        raise KeyStoreError("the mark of used counters is no number", where=str(path), next_step="load new keys")
    return int(text)


def _write_mark(path: Path, mark: int) -> None:
    """Raises KeyStoreError; then the mark is what it was."""
    octets = f"{mark}\n".encode("ascii")
    _write_synced(path, octets)
    with suppress(OSError):  # the room that the old mark has just left; where it is gone, only the next mark suffers
        _write_draft(_draft_path(path), octets)


def _draft_path(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def _write_draft(draft: Path, octets: bytes) -> None:
    """Over what is there, not anew: a block that is held stays held."""
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(descriptor, 0o600)  # a draft left by a crash keeps the mode it had
        stream.write(octets)
        stream.truncate()
        os.fsync(stream.fileno())


def _write_synced(path: Path, octets: bytes) -> None:
    """Whole or not at all, and on the disk on return: file, rename, directory."""
    draft = _draft_path(path)
    try:
        _write_draft(draft, octets)
        draft.rename(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise KeyStoreError(f"cannot be written: {error.strerror}", where=str(path)) from None
