"""Cards as TOML files: what is special about a card in a dozen lines, everything else as its scheme's cards have it.

Comes in: a TOML file (or the name of one that comes with the lab) and the lab's scheme. Goes out: a `Card`.
Strategy: an unknown key in the file, or a table of another scheme, is an error, so a typing slip does not give a card
that silently behaves. What can be told stands in card_tables; how an issuer writes it is in issuing.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from taplab.card.card import Card
from taplab.card.card_state import read_states, write_states
from taplab.card.card_tables import ApplicationTable, CardFile
from taplab.card.issuing import personalise
from taplab.card.scheme import Scheme
from taptill.entropy import Entropy
from taptill.errors import ConfigError

__all__ = ["CardFile", "CardFileError", "load_card", "packaged_cards", "personalise", "read_card_file"]

CARDS = Path(__file__).with_name("cards")


class CardFileError(ConfigError):
    """A card file that is missing, malformed, or holds a key nobody reads."""


def packaged_cards() -> dict[str, Path]:
    """The cards that come with the lab, by name."""
    return {path.stem: path for path in sorted(CARDS.glob("*.toml"))}


def load_card(source: str | Path, scheme: Scheme, entropy: Entropy, state_path: Path | None = None) -> Card:
    """A card from a file, or from the name of a packaged one. With `state_path` its counter and balance outlive the
    process. Raises CardFileError, CardStateError."""
    path = packaged_cards().get(str(source), Path(source))
    written = personalise(read_card_file(path), scheme)
    if state_path is None:
        return Card(written, entropy)
    return Card(written, entropy, read_states(state_path), partial(write_states, state_path))


def read_card_file(path: Path) -> CardFile:
    """Raises CardFileError."""
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=CardFile)
    except OSError as missing:
        names = ", ".join(packaged_cards())
        raise CardFileError("no such card", where=str(path), next_step=f"name a file or one of: {names}") from missing
    except msgspec.DecodeError as broken:
        raise CardFileError(str(broken), where=str(path)) from broken
    if len(file.uid) not in (0, 8) or file.uid.strip("0123456789abcdefABCDEF"):
        raise CardFileError("`uid` is four bytes in hex", where=str(path))
    for application in file.applications():
        _check(application, path)
    return file


def _check(application: ApplicationTable, path: Path) -> None:
    """The texts that go into records digit by digit, and tables that nobody would read."""
    months = (application.expiry, application.effective)
    if not (application.pan.isascii() and application.pan.isdigit() and 12 <= len(application.pan) <= 19):
        raise CardFileError("`pan` is not 12 to 19 digits", where=str(path))
    if not all(len(month) == 7 and month[4] == "-" and month.replace("-", "").isdecimal() for month in months):
        raise CardFileError("`expiry` and `effective` are months like 2031-12", where=str(path))
    if not (
        len(application.service_code) == 3 and application.service_code.isdecimal() and 0 <= application.sequence <= 99
    ):
        raise CardFileError("`service_code` has three digits, `sequence` at most two", where=str(path))
    of_one_scheme = {"visa": application.visa, "mastercard": application.mastercard}
    for name, table in of_one_scheme.items():
        if table is not None and application.scheme != name:
            raise CardFileError(f"[{name}] in an application of {application.scheme}", where=str(path))
    if application.scheme == "mastercard" and (application.qualifiers is not None or not application.fdda_version):
        raise CardFileError("`qualifiers` or `fdda_version` in an application of mastercard", where=str(path))
