"""Codes of cardholder verification: in the rules of a CVM list (8E) and in the CVM results (9F34).

Comes in: nothing, these are names. Goes out: methods, and results ready made. Sources: EMV Book 3, Annex C3; EMV
Book 4, Table 2 and Annex A4. One code has two meanings: 01 is offline PIN in a CVM list, and in the results of kernel
C-2 verification on the consumer's device (EMV Book C-2, 7.5).
"""

from __future__ import annotations

from taptill.card.outcome import Cvm

METHOD, OR_NEXT = 0x3F, 0x40  # of a rule's first octet: the method, and whether the next rule applies if it fails
FAIL, ONLINE_PIN, SIGNATURE, NO_CVM = 0x00, 0x02, 0x1E, 0x1F
OFFLINE_PINS = frozenset({0x01, 0x03, 0x04, 0x05})  # plaintext or enciphered, with signature or without
KNOWN_METHODS = OFFLINE_PINS | {FAIL, ONLINE_PIN, SIGNATURE, NO_CVM}
CONSUMER_DEVICE = 0x01  # in results of C-2, never in a list

UNKNOWN, FAILED, SUCCESSFUL = 0x00, 0x01, 0x02  # the third octet of results

NOT_WANTED = bytes.fromhex("3F0000")
NOTHING_FITS = bytes.fromhex("3F0001")
ON_DEVICE, NOT_ASKED_FOR = bytes.fromhex("010002"), bytes.fromhex("3F0002")  # EMV Book C-2, CVM.3 and CVM.4

# Where the card's qualifiers say it and no CVM list is walked: a tap without CVM says nothing (as recorded terminals
# do); the code for consumer device CVM is our own reading.
RESULTS_BY_QUALIFIERS = {
    Cvm.NONE: bytes(3),
    Cvm.NOT_APPLICABLE: bytes(3),
    Cvm.SIGNATURE: bytes.fromhex("1E0300"),
    Cvm.ONLINE_PIN: bytes.fromhex("020300"),
    Cvm.CONSUMER_DEVICE: bytes.fromhex("010002"),
}
