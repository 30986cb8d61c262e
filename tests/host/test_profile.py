"""The profile as data: strict to load, complete in its words, kind to people."""

from __future__ import annotations

import pytest

from taptill.host.exchange import SilenceMeans, Verdict
from taptill.host.profile import AES_PROFILE, Profile, ProfileError, load_profile

TEXT = AES_PROFILE.read_text("utf-8")
# Message type, answer, processing code, DE60.1 and 60.3 from the acquirer's transaction table (2002 edition, firmware).
TRANSACTIONS = {
    "sale": ("0200", "0210", "000000", "22", "000"),
    "status_query": ("0200", "0210", "531000", "22", "000"),
    "reversal": ("0400", "0410", "000000", "22", "000"),
    "offline_advice": ("0200", "0210", "000000", "36", "000"),
    "deferred_advice": ("0220", "0230", "000000", "30", "000"),
    "echo": ("0820", "0830", "", "00", "301"),
    "sign_on": ("0800", "0810", "", "00", "004"),
}
FIELDS_NEVER_SENT = {2, 14, 35, 36, 52}
# Answer codes of terminals in the field and what the machine has to make of them (facts, DE39 table).
VERDICTS = {
    Verdict.APPROVED: "00 11 A2 A4 A5 A6",
    Verdict.PARTIAL: "10",
    Verdict.IN_DOUBT: "09 68 98",
    Verdict.DUPLICATE: "94",
    Verdict.NOT_FOUND: "25",
    Verdict.SIGN_ON_FIRST: "22 77 99 A0",
    Verdict.TRY_LATER: "90 91 92 96 A7",
    Verdict.DECLINED: "01 02 03 04 05 06 07 12 13 14 15 19 20 21 23 30 31 33 34 35 36 37 38 40 41 43 51 54 55 57 58 59 "
    "61 62 64 65 75 97",
}


@pytest.mark.parametrize("name", TRANSACTIONS)
def test_every_transaction_is_the_acquirers(profile: Profile, name: str) -> None:
    row = profile.row(name)
    found = (row.mti, row.reply_mti, row.processing_code, row.transaction_type, row.network_code)
    assert found == TRANSACTIONS[name]


def test_silence_means_what_the_money_rules_say(profile: Profile) -> None:
    means = {name: profile.row(name).silence for name in TRANSACTIONS}
    assert means == {
        "sale": SilenceMeans.QUERY_THEN_REVERSE,
        "status_query": SilenceMeans.ASK_AGAIN,
        "reversal": SilenceMeans.REPEAT_IDENTICAL,
        "offline_advice": SilenceMeans.REPEAT_IDENTICAL,
        "deferred_advice": SilenceMeans.REPEAT_IDENTICAL,
        "echo": SilenceMeans.ASK_AGAIN,
        "sign_on": SilenceMeans.ASK_AGAIN,
    }


def test_no_row_sends_a_card_number_track_expiry_or_pin(profile: Profile) -> None:
    for row in profile.rows.values():
        assert not FIELDS_NEVER_SENT & {*row.fields, *row.optional_fields}


def test_every_row_carries_a_mac_and_its_key_number(profile: Profile) -> None:
    for row in profile.rows.values():
        assert {59, 64} <= set(row.fields)
        assert "ksn" in row.private_data


@pytest.mark.parametrize(("verdict", "code"), [(v, code) for v, codes in VERDICTS.items() for code in codes.split()])
def test_every_known_code_has_its_verdict(profile: Profile, verdict: Verdict, code: str) -> None:
    assert profile.verdict(profile.row("sale"), code) is verdict


def test_an_unknown_code_declines_a_sale_and_leaves_a_debt_open(profile: Profile) -> None:
    assert profile.verdict(profile.row("sale"), "ZZ") is Verdict.DECLINED
    assert profile.verdict(profile.row("reversal"), "ZZ") is Verdict.IN_DOUBT
    assert profile.verdict(profile.row("deferred_advice"), "ZZ") is Verdict.IN_DOUBT


def test_a_debt_is_closed_by_the_codes_of_its_row(profile: Profile) -> None:
    assert set(profile.row("reversal").closing_codes) == {"00", "11", "12", "25"}
    assert set(profile.row("offline_advice").closing_codes) == {"00", "11", "A2", "A4", "A5", "A6"}
    assert profile.row("sale").closing_codes == ()


def test_every_answer_has_words_for_everybody_in_both_languages(profile: Profile) -> None:
    for answer in (*profile.answers, profile.unlisted_answer):
        for texts in (answer.cashier, answer.customer, answer.next_step):
            assert texts.of("zh-CN").strip()
            assert texts.of("en").isascii()
            assert len(texts.of("en")) <= 60


def test_a_shop_is_never_told_to_seize_a_card(profile: Profile) -> None:
    """Code 04 and its like say so in the old tables; a small shop must not try."""
    for word in ("没收", "扣卡", "seize", "retain", "confiscate", "pick up"):
        assert word not in TEXT.lower()
    assert "Another card" in profile.answer("04").next_step.of("en")


def test_too_little_credit_names_three_ways_on(profile: Profile) -> None:
    step = profile.answer("51").next_step.of("en")
    assert all(way in step for way in ("Another card", "lower amount", "QR or cash"))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("window = 1", "window = 1\nwimdow = 2", "wimdow"),
        ("window = 1", "window = 0", "window"),
        ('tpdu = "6000010000"', 'tpdu = "00"', "tpdu"),
        ('silence = "ask_again"', 'silence = "hope"', "silence"),
        ('icc = "online"', 'icc = "onlime"', "onlime"),
        ('icc = "online"\n', "", "come together"),
        ("fields = [3, 11, 12", "fields = [3, 3, 12", "stands twice"),
        ("fields = [3, 11, 12", "fields = [3, 127, 12", "no format"),
        ('\ncodes = ["00", "11"]', '\ncodes = ["00", "51"]', "code 51 stands twice"),
        ('name = "aes"', "name = aes", "line"),
    ],
)
def test_a_slip_in_the_text_is_refused_and_named(old: str, new: str, complaint: str) -> None:
    assert old in TEXT
    with pytest.raises(ProfileError, match=complaint):
        load_profile(TEXT.replace(old, new, 1))


def test_a_transaction_the_host_does_not_offer_is_an_error(profile: Profile) -> None:
    with pytest.raises(ProfileError, match="instalment"):
        profile.row("instalment")
