"""One approved tap, as every receipt test starts from it."""

from __future__ import annotations

import pytest

from taptill.amount.money import Money
from taptill.receipt.facts import Merchant, ReceiptFacts

CARD = {
    "9F26": "A1B2C3D4E5F60718",
    "9F27": "80",
    "4F": "A000000333010101",
    "95": "0000000000",
    "9B": "E800",
    "9F36": "0012",
    "82": "7C00",
    "9F37": "01020304",
    "8A": "3030",
    "9F10": "07010103A0B802010A01000000000000000000",
    "50": "50424F4320435245444954",
}


@pytest.fixture
def approved() -> ReceiptFacts:
    return ReceiptFacts(
        merchant=Merchant("东方便利店", "898310048160001", "10000001", "01", "银联商务"),
        payment_ref="P-20251122-0007",
        state="approved",
        amount=Money(12850),
        approved=Money(12850),
        masked_pan="622800******1117",
        entry_mode="C",
        scheme="UnionPay",
        batch=1,
        stan=7,
        auth_code="A12345",
        rrn="254313000007",
        at_ms=1_763_800_000_000,  # 2025-11-22 08:26:40 UTC
        time_trusted=True,
        host_texts=("CUP 祝您购物愉快",),
        card=CARD,
        status_url="https://pay.example/s/P-20251122-0007?k=4f9d",
    )
