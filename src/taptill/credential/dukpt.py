"""AES DUKPT (ANSI X9.24-3:2017): one key per message and purpose, derived from a counter.

Comes in: a base derivation key or an initial key, its 8-byte id, a counter. Goes out: key bytes.
Strategy: the host's way, from the initial key down the one-bits of the counter, so that nothing has to be stored but
the initial key. At most sixteen one-bits are allowed in a counter (X9.24-3, 6.2), so a derivation is never deeper.
"""

from __future__ import annotations

from enum import IntEnum

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from taptill.errors import TapTillError

INITIAL_KEY_ID_OCTETS = 8
COUNTER_MAX = 0xFFFF0000
COUNTER_ONE_BITS_MAX = 16
_ALGORITHM_OF_BITS = {128: 2, 192: 3, 256: 4}  # X9.24-3, 6.3.2: the number of AES with keys of that length
_COUNTER_TOP_BIT = 1 << 31


class DukptError(TapTillError):
    """A key, id or counter that AES DUKPT does not allow."""

    code = 2002


class KeyUsage(IntEnum):
    """What a derived key is for (X9.24-3, 6.3.2)."""

    KEY_ENCRYPTION = 0x0002
    PIN_ENCRYPTION = 0x1000
    MAC_GENERATION = 0x2000
    MAC_VERIFICATION = 0x2001
    MAC_BOTH_WAYS = 0x2002
    DATA_ENCRYPTION = 0x3000
    DATA_DECRYPTION = 0x3001
    DATA_BOTH_WAYS = 0x3002
    KEY_DERIVATION = 0x8000
    INITIAL_KEY = 0x8001


def derive_initial_key(bdk: bytes | bytearray, initial_key_id: bytes) -> bytes:
    """The terminal's initial key, as long as `bdk` (16, 24 or 32 bytes). Raises DukptError."""
    _check_initial_key_id(initial_key_id)
    return _derive(bdk, KeyUsage.INITIAL_KEY, _bits(bdk), initial_key_id)


def derive_working_key(
    initial_key: bytes | bytearray, initial_key_id: bytes, counter: int, usage: KeyUsage, bits: int = 128
) -> bytes:
    """The key of `counter` for `usage`, `bits` long and never longer than the initial key. Raises DukptError."""
    if bits not in _ALGORITHM_OF_BITS or bits > _bits(initial_key):
        raise DukptError(f"no {bits}-bit key comes from this initial key", where="dukpt")
    transaction_key = derive_transaction_key(initial_key, initial_key_id, counter)
    return _derive(transaction_key, usage, bits, _derivation_id(initial_key_id, counter))


def derive_transaction_key(initial_key: bytes | bytearray, initial_key_id: bytes, counter: int) -> bytes:
    """The key from which all working keys of `counter` come (X9.24-3, 6.3.3). Raises DukptError."""
    _check_initial_key_id(initial_key_id)
    if not is_counter(counter):
        raise DukptError(f"0x{counter:X} is no transaction counter", where="dukpt")
    bits = _bits(initial_key)
    key = bytes(initial_key)
    reached = 0
    mask = _COUNTER_TOP_BIT
    while mask:
        if counter & mask:
            reached |= mask
            key = _derive(key, KeyUsage.KEY_DERIVATION, bits, _derivation_id(initial_key_id, reached))
        mask >>= 1
    return key


def is_counter(counter: int) -> bool:
    """Whether a message may use `counter`: from 1 to COUNTER_MAX, at most sixteen one-bits."""
    return 0 < counter <= COUNTER_MAX and counter.bit_count() <= COUNTER_ONE_BITS_MAX


def next_counter(counter: int) -> int:
    """The lowest usable counter above `counter`. Raises DukptError when all are used up."""
    candidate = counter + 1
    while candidate.bit_count() > COUNTER_ONE_BITS_MAX:
        candidate += candidate & -candidate  # all counters below this sum keep the surplus bits
    if candidate > COUNTER_MAX:
        raise DukptError("all transaction counters are used up", where="dukpt", next_step="load a new initial key")
    return candidate


def _derivation_id(initial_key_id: bytes, counter: int) -> bytes:
    return initial_key_id[4:] + counter.to_bytes(4, "big")


def _derive(key: bytes | bytearray, usage: KeyUsage, bits: int, identifier: bytes) -> bytes:
    """X9.24-3, 6.3.1: one block of derivation data for every 128 bits wanted."""
    head = usage.to_bytes(2, "big") + _ALGORITHM_OF_BITS[bits].to_bytes(2, "big") + bits.to_bytes(2, "big")
    blocks = (bytes([1, number]) + head + identifier for number in range(1, (bits + 127) // 128 + 1))
    encryptor = Cipher(AES(bytes(key)), ECB()).encryptor()
    return encryptor.update(b"".join(blocks))[: bits // 8]


def _bits(key: bytes | bytearray) -> int:
    bits = len(key) * 8
    if bits not in _ALGORITHM_OF_BITS:
        raise DukptError(f"a key of {bits} bits is no AES key", where="dukpt")
    return bits


def _check_initial_key_id(initial_key_id: bytes) -> None:
    if len(initial_key_id) != INITIAL_KEY_ID_OCTETS:
        raise DukptError(f"an initial key id has 8 bytes, not {len(initial_key_id)}", where="dukpt")
