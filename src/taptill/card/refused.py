"""Why something of a card is not taken, as a value: what a card can do is no exception.

Comes in: nothing, this is a shape. Goes out: `Refused`, an ordinary result beside the one hoped for.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refused:
    """Why something is not authentic: a stable word such as "issuer-certificate-expired"."""

    reason: str
