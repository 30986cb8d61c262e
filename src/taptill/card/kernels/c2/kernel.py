"""Kernel C-2: Mastercard contactless (EMV Book C-2).

Comes in: the selected application and the sale. Goes out: the tap's `CardRead`.
Strategy: the book's states one after the other, each a dialogue that ends the tap with an outcome or lets it go on.
Data storage, writing to the card and refunds by cryptogram are not built in; mag-stripe mode is, and off unless
configured.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from types import MappingProxyType

from taptill.card.apdu import CommandApdu, ResponseApdu
from taptill.card.dialogue import Dialogue, Selection
from taptill.card.kernels.c2.card_data import read_emv_data
from taptill.card.kernels.c2.cryptogram import get_cryptogram
from taptill.card.kernels.c2.data_exchange import NO_DATA_EXCHANGE, DataExchange
from taptill.card.kernels.c2.decision import decide
from taptill.card.kernels.c2.mag_stripe import compute_checksum, read_mag_stripe_record
from taptill.card.kernels.c2.options import choose_mode
from taptill.card.kernels.c2.outcome import conclude
from taptill.card.kernels.c2.relay_resistance import resist_relay
from taptill.card.kernels.c2.tap_database import NAME, Mode, State, TapDatabase
from taptill.card.outcome import Outcome
from taptill.card.outcomes import end_application
from taptill.card.parameters import TapRequest
from taptill.card.proof.ca_keys import CaKeyStore

_STATES: Mapping[Mode, tuple[Callable[[TapDatabase], State], ...]] = MappingProxyType(
    {
        Mode.EMV: (resist_relay, read_emv_data, decide, get_cryptogram, conclude),
        Mode.MAG_STRIPE: (read_mag_stripe_record, compute_checksum),
    }
)


class KernelC2:
    """See the module. Stateless: one instance serves every tap. `data_exchange`: the terminal's side of DEK and DET."""

    name = NAME

    def __init__(self, data_exchange: DataExchange = NO_DATA_EXCHANGE) -> None:
        self._data_exchange = data_exchange

    def run(self, selection: Selection, request: TapRequest, ca_keys: CaKeyStore) -> Dialogue:
        """From GPO to the outcome. Raises what `Kernel` says, and ConfigError for `kernel_data` that is none."""
        here = TapDatabase.begin(selection, request, ca_keys, self._data_exchange)
        outcome = yield from _through(here)
        return here.read(outcome)


def _through(here: TapDatabase) -> Generator[CommandApdu, ResponseApdu, Outcome]:
    mode = yield from choose_mode(here)
    if isinstance(mode, Outcome):
        return mode
    for state in _STATES[mode]:
        outcome = yield from state(here)
        if outcome is not None:
            return outcome
    return end_application("no-cryptogram")
