"""What an ATR made up by a reader says, by published ones."""

from __future__ import annotations

import pytest

from taptill.card.adapters.pcsc_atr import kind_of

MIFARE_CLASSIC_1K = "3B8F8001804F0CA000000306030001000000006A"
FELICA = "3B8F8001804F0CA00000030611003B0000000042"
SRIX4K = "3B8F8001804F0CA0000003060600070000000069"
DESFIRE = "3B8180018080"
GEMALTO_DUAL_INTERFACE = "3B8E800180318066B1840C016E01830090001C"
ST19XRC8E_AS_ACS_GIVES_IT = "3B8C800150122345561253544E3381C355"
PIECES_OF_AN_ATQB = "3B88800100000000008171" + "00" + "F9"
A_WITH_EIGHT_HISTORICAL_BYTES = "3B8880014A434F5076323431" + "5E"  # JCOPv241
CONTACT_CARD = "3B6D00000031C071C66401590103829000"


@pytest.mark.parametrize(
    ("atr", "has_ats", "technology", "takes_apdus"),
    [
        (MIFARE_CLASSIC_1K, False, "A", False),
        (SRIX4K, False, "B", False),
        (FELICA, False, "?", False),
        (DESFIRE, True, "A", True),
        (GEMALTO_DUAL_INTERFACE, True, "A", True),
        (ST19XRC8E_AS_ACS_GIVES_IT, False, "B", True),
        (PIECES_OF_AN_ATQB, False, "B", True),
        (PIECES_OF_AN_ATQB, True, "A", True),
        (A_WITH_EIGHT_HISTORICAL_BYTES, True, "A", True),
        (CONTACT_CARD, False, "?", True),
        ("", False, "?", True),
        ("3B", False, "?", True),
        ("3B8880", False, "?", True),
    ],
)
def test_an_atr_tells_technology_and_whether_there_is_a_protocol(
    atr: str, has_ats: bool, technology: str, takes_apdus: bool
) -> None:
    kind = kind_of(bytes.fromhex(atr), lambda: has_ats)
    assert (kind.technology, kind.takes_apdus) == (technology, takes_apdus)


@pytest.mark.parametrize(
    "atr", [MIFARE_CLASSIC_1K, DESFIRE, GEMALTO_DUAL_INTERFACE, A_WITH_EIGHT_HISTORICAL_BYTES, CONTACT_CARD, ""]
)
def test_the_reader_is_asked_for_an_ats_only_where_the_atr_fits_both_types(atr: str) -> None:
    def ask() -> bool:
        raise AssertionError("the ATR said enough")

    kind_of(bytes.fromhex(atr), ask)
