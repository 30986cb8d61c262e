"""The places of the bits in the Card Transaction Qualifiers (9F6C): what the card wants where, and what its device did.

Comes in: nothing, these are names. Goes out: `(byte, mask)` pairs for `bits`. Sources: EMV Book C-3, Annex A; PBOC 3.0
part 12, which shares the data object.
"""

from __future__ import annotations

CTQ_ONLINE_PIN = (0, 0x80)
CTQ_SIGNATURE = (0, 0x40)
CTQ_ONLINE_IF_ODA_FAILS = (0, 0x20)
CTQ_SWITCH_IF_ODA_FAILS = (0, 0x10)
CTQ_ONLINE_IF_EXPIRED = (0, 0x08)
CTQ_SWITCH_FOR_CASH = (0, 0x04)
CTQ_SWITCH_FOR_CASHBACK = (0, 0x02)
CTQ_NOT_FOR_ATM = (0, 0x01)

CTQ_CONSUMER_DEVICE = (1, 0x80)
CTQ_ISSUER_UPDATE = (1, 0x40)
