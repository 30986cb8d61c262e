"""The places of the bits in the Terminal Transaction Qualifiers (9F66): what the reader can do and asks for.

Comes in: nothing, these are names. Goes out: `(byte, mask)` pairs for `bits`. Sources: EMV Book A, 5.7; PBOC 3.0 part
12, which shares the data object with Visa.
"""

from __future__ import annotations

TTQ_CONTACT_CHIP = (0, 0x10)
TTQ_OFFLINE_ONLY = (0, 0x08)
TTQ_ONLINE_PIN = (0, 0x04)
TTQ_SIGNATURE = (0, 0x02)
TTQ_ODA_FOR_ONLINE = (0, 0x01)

TTQ_ONLINE_CRYPTOGRAM_REQUIRED = (1, 0x80)  # these two are of one sale, the others of the reader
TTQ_CVM_REQUIRED = (1, 0x40)

TTQ_ISSUER_UPDATE = (2, 0x80)

TTQ_FDDA_V01 = (3, 0x80)
