"""Randomness as a port: unpredictable numbers, nonces and references come from here and nowhere else."""

from __future__ import annotations

import secrets
from typing import Protocol


class Entropy(Protocol):
    """Never blocks for long, never raises."""

    def octets(self, count: int) -> bytes:
        """`count` unpredictable bytes."""


class SystemEntropy:
    """The operating system's generator."""

    def octets(self, count: int) -> bytes:
        return secrets.token_bytes(count)
