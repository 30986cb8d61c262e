"""Lists of revoked issuer certificates."""

from __future__ import annotations

import pytest

from taptill.card.proof.revocation import RevocationList, RevocationRefused, RevokedCertificate, parse_revocations

UNIONPAY = bytes.fromhex("A000000333")


def test_an_entry_counts_under_its_own_ca_key() -> None:
    text = '[[revoked]]\nrid = "A000000333"\nindex = "03"\nserial = "0000A1"\n'
    revoked = RevocationList.of(parse_revocations(text + text + text.replace("A1", "A2")))
    assert revoked.under(UNIONPAY, 3) == {bytes.fromhex("0000A1"), bytes.fromhex("0000A2")}
    assert revoked.under(UNIONPAY, 4) == frozenset()
    assert len(revoked) == 2


def test_no_entries_are_an_empty_list() -> None:
    assert len(RevocationList.of(parse_revocations(""))) == 0


@pytest.mark.parametrize(
    "text",
    [
        "[[revoked",
        "revoked = 3",
        "revoked = [1]",
        '[[revoked]]\nrid = "A000000333"',
        '[[revoked]]\nrid = "A0"\nindex = "03"\nserial = "0000A1"',
        '[[revoked]]\nrid = "A000000333"\nindex = "103"\nserial = "0000A1"',
        '[[revoked]]\nrid = "A000000333"\nindex = "03"\nserial = "A1"',
        '[[revoked]]\nrid = "A000000333"\nindex = 3\nserial = "0000A1"',
    ],
)
def test_text_that_is_no_such_list_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(RevocationRefused, match="the list") as refused:
        parse_revocations(text, "the list")
    assert refused.value.code == 1206


def test_an_entry_of_wrong_lengths_is_refused() -> None:
    with pytest.raises(RevocationRefused):
        RevokedCertificate(UNIONPAY, 256, bytes(3))
