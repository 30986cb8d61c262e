"""The places of the bits in the Application Interchange Profile (82): what the card can do.

Comes in: nothing, these are names. Goes out: `(byte, mask)` pairs for `bits`. Sources: EMV Book 3, C1; EMV Book C-2,
A.1.16 for what only Mastercard cards say.
"""

from __future__ import annotations

AIP_CARDHOLDER_VERIFICATION = (0, 0x10)
AIP_ON_DEVICE_CVM = (0, 0x02)  # EMV Book C-2
AIP_COMBINED_AUTHENTICATION = (0, 0x01)
AIP_EMV_MODE = (1, 0x80)  # EMV Book C-2
AIP_RELAY_RESISTANCE = (1, 0x01)  # EMV Book C-2
