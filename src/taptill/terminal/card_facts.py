"""What the journal keeps of a tap, for receipts, `explain`, reversals and disputes.

Comes in: `CardRead`. Goes out: tags as hex, and words of our own. Strategy: a list of what is kept, never of what is
left out. A card may send anything, and its number stands in more than the data objects named after it: the certificate
of its key (9F46) holds it (EMV Book 2, table 14), and who has the public keys above it reads it.
"""

from __future__ import annotations

from taptill.card.outcome import CardRead
from taptill.card.read_card import KERNELS

AUTHORISATION_RESPONSE_CODE = 0x8A
_KERNEL_NAMES = frozenset(kernel.name for kernel in KERNELS.values())
TVR_FOUND = "tvr"  # after the tap; 95 stays what the card signed

ASKED = ("9F02", "9F03", "9F1A", "5F2A", "9A", "9F21", "9C", "9F37", "9F66", "9F33", "9F35", "9F1E", "9F09", "9F41")
ANSWERED = ("82", "84", "9F26", "9F27", "9F10", "9F36", "9F6C", "5F34", "9F63", "9F6E", "9F74", "8A", "DF31")
FOUND = ("95", "9B", "9F34")
PRINTED = ("4F", "9F06", "50", "9F11", "9F12", "5F2D", "9F79", "9F5D")
ISSUER_RULES = ("5F28", "8E", "8F", "9F07", "9F0D", "9F0E", "9F0F")  # why it went as it did
KEPT = frozenset((*ASKED, *ANSWERED, *FOUND, *PRINTED, *ISSUER_RULES))


def card_facts(card: CardRead, response_code: bytes = b"") -> dict[str, str]:
    """`response_code` is the terminal's own (8A), if it decided."""
    facts = {f"{tag:X}": value.hex().upper() for tag, value in card.data.items() if f"{tag:X}" in KEPT}
    facts |= {"84": card.aid.hex().upper(), TVR_FOUND: card.tvr.hex().upper()}
    kernel = card.kernel if card.kernel in _KERNEL_NAMES else ""  # where none is built in, a sentence says so
    facts |= {"kernel": kernel, "label": card.label, "cvm": card.outcome.cvm.value}
    facts |= {"oda": f"{card.oda.method.value} {card.oda.verdict.value}", "test_key": str(card.oda.test_key)}
    facts |= {f"{AUTHORISATION_RESPONSE_CODE:X}": response_code.hex().upper()} if response_code else {}
    facts["cryptogram"] = card.cryptogram_type.value if card.cryptogram_type else ""
    return facts
