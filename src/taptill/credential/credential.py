"""The credential: all that is left of a card once the tap is over."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Credential:
    """`token` is stable per card and terminal estate; `envelope` can be opened by the host alone, with the data key of
    `key_counter`."""

    token: bytes  # 16 bytes, keyed
    masked_pan: str
    sequence_number: str | None
    expiry_known: bool
    key_counter: int
    envelope: bytes
