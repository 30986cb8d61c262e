"""What a qPBOC card says in its own way: the kind of its cryptogram.

Comes in: the data objects of the tap. Goes out: AAC, TC or ARQC.
Sources: PBOC 3.0 (JR/T 0025) part 12; EMV Book C-7. Reading the CVR where 9F27 is missing follows recorded cards.
"""

from __future__ import annotations

from collections.abc import Mapping

from taptill.card.outcome import CryptogramType
from taptill.card.payment_data import cryptogram_type

_CVR_CRYPTOGRAMS = {0x00: CryptogramType.AAC, 0x10: CryptogramType.TC, 0x20: CryptogramType.ARQC}
_CVR_OCTET = 4  # 9F10: length, key index, cryptogram version, CVR length, then the CVR's second octet


def qpboc_cryptogram_type(data: Mapping[int, bytes]) -> CryptogramType | None:
    """From 9F27, else from the CVR in 9F10 (UnionPay cards leave 9F27 out of qPBOC); None when neither tells."""
    if data.get(0x9F27):
        return cryptogram_type(data[0x9F27])
    application_data = data.get(0x9F10, b"")
    if len(application_data) <= _CVR_OCTET:
        return None
    return _CVR_CRYPTOGRAMS.get(application_data[_CVR_OCTET] & 0x30)
