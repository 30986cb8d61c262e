"""Contact or contactless: how a recorded card was talked to.

Comes in: the exchanges of a recording, and what was observed of it. Goes out: an `Interface`.
Strategy: transcripts do not say it, so it is told from what was said, in this order: a directory that answered; a
command that no contactless kernel sends; a cryptogram asked for where the scheme's contactless kernel would not ask.
Kernels here are contactless; a contact transcript is judged on its records and its offline proofs alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from taptill.card.aip import AIP_EMV_MODE
from taptill.card.apdu import MalformedApdu, split_command
from taptill.card.bits import has_bit
from taptill.card.dol import MalformedDol, parse_dol
from taptill.card.replay.observation import INTERNAL_AUTHENTICATE, PDOL, PSE, Observed, accepted
from taptill.card.replay.recording import SELECT, Exchange
from taptill.card.selection import PPSE

# VERIFY, EXTERNAL AUTHENTICATE, GET CHALLENGE and INTERNAL AUTHENTICATE: PIN, issuer and DDA of EMV Book 3 and 4.
_CONTACT_COMMANDS = {0x20, 0x82, 0x84, INTERNAL_AUTHENTICATE}
_CRYPTOGRAM_WITH_OPTIONS = {3, 6, 7}  # kernels whose cards give their cryptogram in the answer to GPO
_ASKING_FOR_TTQ = {3, 7}  # EMV Book B, 3.3.3.6; EMV Book C-7
_MASTERCARD = 2


class Interface(Enum):
    """What the card was held to, or put into."""

    CONTACTLESS = "contactless"
    CONTACT = "contact"


def recorded_interface(exchanges: Iterable[Exchange], observed: Observed, kernel_id: int) -> Interface:
    """`kernel_id` 0: no kernel is known for the application. Raises nothing."""
    spoken = tuple(exchanges)
    directories = {name for each in accepted(spoken) if (name := _selected(each)) in (PSE, PPSE)}
    if PPSE in directories:
        return Interface.CONTACTLESS
    contact = PSE in directories or _by_its_commands(spoken, observed) or _by_its_application(observed, kernel_id)
    return Interface.CONTACT if contact else Interface.CONTACTLESS


def _by_its_commands(exchanges: tuple[Exchange, ...], observed: Observed) -> bool:
    """A second GENERATE AC carries the issuer's answer, which a contactless card does not wait for."""
    instructions = {each.command[1] for each in exchanges if len(each.command) > 1 and not each.command[0] & 0x80}
    return len(observed.cryptograms) > 1 or bool(instructions & _CONTACT_COMMANDS)


def _by_its_application(observed: Observed, kernel_id: int) -> bool:
    if observed.cryptograms and kernel_id in _CRYPTOGRAM_WITH_OPTIONS:
        return True
    if observed.cryptograms and kernel_id == _MASTERCARD:
        return not has_bit(observed.data.get(0x82, b""), AIP_EMV_MODE)
    return bool(observed.gpo) and kernel_id in _ASKING_FOR_TTQ and not _asks_for_ttq(observed)


def _asks_for_ttq(observed: Observed) -> bool:
    try:
        return any(entry.tag == 0x9F66 for entry in parse_dol(observed.data.get(PDOL, b""), "PDOL"))
    except MalformedDol:
        return True


def _selected(exchange: Exchange) -> bytes:
    try:
        command = split_command(exchange.command)
    except MalformedApdu:
        return b""
    return command.data if command.ins == SELECT else b""
