"""A card that leaves between GENERATE AC and its answer, and comes back."""

from __future__ import annotations

from tests.card.c2.conftest import REQUEST, Hold
from tests.card.c2.mchip_card import GENERATE, PAN, RECOVER, MchipCard

from taptill.amount.money import Money
from taptill.card.outcome import CardRead, CryptogramType, OdaVerdict, OutcomeKind
from taptill.card.torn import TornRecord

TORN = {0xDF811D: "01"}
SECOND_NUMBER = bytes.fromhex("99887766")


def tear(hold: Hold, card: MchipCard) -> TornRecord:
    card.leaves_at.append(GENERATE)
    read = hold(card, TORN)
    assert (read.outcome.kind, read.outcome.reason) == (OutcomeKind.TRY_AGAIN, "card-lost")
    assert read.torn_record is not None
    card.commands.clear()
    return read.torn_record


def torn_card(sequence_number: str = "01") -> MchipCard:
    return MchipCard(changes={0x9F51: "9F3704", 0x5F34: sequence_number})


def test_a_card_that_left_is_asked_for_the_cryptogram_it_made(hold: Hold) -> None:
    card = torn_card()
    record = tear(hold, card)
    assert (record.lifetime_s, record.records_max) == (300, 1)
    read = hold(card, TORN, torn_records=(record,), unpredictable_number=SECOND_NUMBER)
    assert (read.outcome.kind, read.recovered) == (OutcomeKind.APPROVED, True)
    assert (read.oda.verdict, read.cryptogram_type) == (OdaVerdict.PASSED, CryptogramType.TC)
    assert card.asked(RECOVER) == [bytes.fromhex("80D0000004") + REQUEST.unpredictable_number + b"\x00"]
    assert card.asked(GENERATE) == []
    assert read.data[0x9F37] == REQUEST.unpredictable_number
    assert read.torn_record is None


def test_a_card_that_never_made_one_is_asked_anew(hold: Hold) -> None:
    card = torn_card()
    record = tear(hold, card)
    card.torn = None
    read = hold(card, TORN, torn_records=(record,), unpredictable_number=SECOND_NUMBER)
    assert (read.outcome.kind, read.recovered) == (OutcomeKind.APPROVED, False)
    assert (len(card.asked(RECOVER)), len(card.asked(GENERATE))) == (1, 1)
    assert read.data[0x9F37] == SECOND_NUMBER


def test_a_recovery_that_brings_nonsense_is_a_recovery_used_up(hold: Hold) -> None:
    card = torn_card()
    record = tear(hold, card)
    card.torn = bytes.fromhex("7705 9F27")
    read = hold(card, TORN, torn_records=(record,))
    assert (read.outcome.kind, read.outcome.reason) == (OutcomeKind.END_APPLICATION, "card-data-malformed")
    assert read.recovered


def test_a_record_of_another_card_or_another_sale_is_not_used(hold: Hold) -> None:
    card = torn_card()
    record = tear(hold, card)
    hold(card, TORN, torn_records=(record,), amount=Money(101))
    assert card.asked(RECOVER) == []
    other = torn_card("02")
    hold(other, TORN, torn_records=(record,))
    assert other.asked(RECOVER) == []


def test_a_card_that_leaves_again_is_recorded_anew(hold: Hold) -> None:
    card = torn_card()
    record = tear(hold, card)
    card.torn = None
    card.leaves_at = [GENERATE]
    again = hold(card, TORN, torn_records=(record,), unpredictable_number=SECOND_NUMBER).torn_record
    assert again is not None
    assert (again.card, again.drdol_values) == (record.card, SECOND_NUMBER)


def test_a_card_that_leaves_while_it_recovers_may_come_back_once_more(hold: Hold) -> None:
    card = torn_card()
    record = tear(hold, card)
    card.leaves_at = [RECOVER]
    read = hold(card, TORN, torn_records=(record,))
    assert (read.outcome.kind, read.torn_record) == (OutcomeKind.TRY_AGAIN, None)


def test_what_must_go_online_meanwhile_is_not_taken_from_a_recovered_approval(hold: Hold) -> None:
    card = torn_card()
    record = tear(hold, card)
    read = hold(card, TORN, torn_records=(record,), offline_allowed=False)
    assert (read.outcome.kind, read.outcome.reason) == (OutcomeKind.DECLINED, "card-approved-what-must-go-online")


def lost(hold: Hold, card: MchipCard, kernel_data: dict[int, str]) -> CardRead:
    card.leaves_at.append(GENERATE)
    return hold(card, kernel_data)


def test_nothing_is_recorded_where_recovery_is_off_or_unknown_to_the_card(hold: Hold) -> None:
    for read in (lost(hold, torn_card(), {}), lost(hold, MchipCard(), TORN)):
        assert (read.outcome.kind, read.torn_record) == (OutcomeKind.TRY_AGAIN, None)


def test_nothing_of_a_record_is_shown(hold: Hold) -> None:
    record = tear(hold, torn_card())
    assert repr(record) == "TornRecord()"
    assert PAN not in str(record.terminal) + record.cdol_values.hex()


def test_a_recovered_signature_covers_the_relay_resistance_of_its_own_tap(hold: Hold) -> None:
    card = torn_card()
    card.aip = "1981"
    relay_on = TORN | {0xDF811B: "B0"}
    card.leaves_at.append(GENERATE)
    record = hold(card, relay_on).torn_record
    assert record is not None
    later = (SECOND_NUMBER, SECOND_NUMBER, SECOND_NUMBER)
    read = hold(card, relay_on, torn_records=(record,), fresh_numbers=later)
    assert (read.outcome.kind, read.recovered, read.oda.verdict) == (OutcomeKind.APPROVED, True, OdaVerdict.PASSED)
    assert read.data[0x9F37] == REQUEST.fresh_numbers[0]
