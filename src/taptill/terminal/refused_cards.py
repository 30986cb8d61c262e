"""The exception list: cards that get no offline approval (EMV Book 4, 6.3.5).

Comes in: text with one digest a line, as `card_digest` makes them, in hex; `#` begins a comment. Goes out: the digests.
Strategy: a line that is none stops the start with its place, because a card that was to be refused would slip through.
"""

from __future__ import annotations

import re

from taptill.card.rules.risk_management import card_digest
from taptill.errors import ConfigError

_DIGEST = re.compile(r"[0-9A-Fa-f]{64}")  # SHA-256
_CARD_NUMBER = re.compile(r"[0-9]{12,19}")
_COMMAND = "taptill card-digest makes a line"


def parse_refused_cards(text: str, where: str) -> frozenset[bytes]:
    """Raises ConfigError naming `where` and the line, never what stands there: it may be a card number."""
    digests = set()
    for number, line in enumerate(text.splitlines(), 1):
        digest = line.partition("#")[0].strip()
        if digest and not _DIGEST.fullmatch(digest):
            raise ConfigError("no SHA-256 in 64 hex digits", where=f"{where}, line {number}", next_step=_COMMAND)
        if digest:
            digests.add(bytes.fromhex(digest))
    return frozenset(digests)


def refused_card_line(typed: str) -> str:
    """The line for a card number, which may be grouped by spaces. Raises ConfigError, without the number."""
    number = "".join(typed.split())
    if not _CARD_NUMBER.fullmatch(number) or not _check_digit_holds(number):
        raise ConfigError("no card number", where="standard input", next_step="type 12 to 19 digits, as on the card")
    return card_digest(number).hex()


def _check_digit_holds(number: str) -> bool:
    """ISO/IEC 7812-1, Annex B: a digest of a mistyped number would refuse nobody."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in number[-2::-2])
    return (sum(map(int, number[-1::-2])) + sum(doubled)) % 10 == 0
