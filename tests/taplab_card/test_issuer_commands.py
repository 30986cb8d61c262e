"""What cards do with their issuer's answer. The commands come from the host's own code, their MACs from pyemv."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyemv.cvn import MasterCardCVN20, VisaCVN10, VisaCVN18
from pyemv.tools import encrypt_tdes_ecb, xor

from taphost.issuer import derive_card_key, derive_session_key
from taphost.issuer_keys import purpose_key
from taphost.issuer_pin import pin_change
from taphost.issuer_response import ScriptAction, ScriptCommand, issuer_authentication_data, script_commands
from taplab.card import Card, Scheme, load_card
from taplab.card.in_hand import CardInHand
from taplab.card.issuing import SCRIPT_PURPOSE
from taptill.amount.money import Money
from taptill.card.entry_point import (
    Activation,
    Configuration,
    Retained,
    Step,
    StepDialogue,
    preprocessed,
    run_step,
)
from taptill.card.outcome import OnlineResponse, Start
from taptill.card.parameters import Combination, TapRequest
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.read_card import KERNELS, exchange
from taptill.card.tlv import encode_tlv
from taptill.entropy import SystemEntropy

CARD_TIMEOUT_MS = 1_000
SALE = TapRequest(
    amount=Money(2_500),
    amount_other=Money(0),
    transaction_type=0x00,
    date_yymmdd="260115",
    time_hhmmss="120000",
    country="156",
    unpredictable_number=bytes.fromhex("2B29EBE4"),
    online_possible=True,
    offline_allowed=False,
)
VISA_WITH_UPDATES = Combination(bytes.fromhex("A0000000031010"), 3, bytes.fromhex("2600C080"))
ONLINE_REQUIRED = bytes.fromhex("26800080")
PANS = {"unionpay": "6228000100001109", "visa": "4761739001010010", "mastercard": "5413339000001513"}
SCHEMES = list(PANS)
TapACard = Callable[..., Any]
MakeCard = Callable[..., Card]


def asked_its_issuer(tap: TapACard, card: Card | str) -> Any:
    """A tap that came to an ARQC."""
    tapped = tap(card, _9F66=ONLINE_REQUIRED)
    assert tapped.process() == "9000"
    if 0x9F26 not in tapped.got:
        tapped.read()
        tapped.generate("80")
    assert tapped.got[0x9F27].hex() == "80"
    return tapped


def sent(tapped: Any, scheme: Scheme, *commands: ScriptCommand) -> list[str]:
    """Status words of these commands as the issuer seals them."""
    master = purpose_key(scheme.issuer_key, SCRIPT_PURPOSE)
    pan = tapped.got[0x57].hex().split("d")[0]
    sealed = script_commands(derive_card_key(master, pan, "01"), tapped.got, commands)
    return [tapped.card.answer(command).octets.hex() for command in sealed]


BLOCK, UNBLOCK = ScriptCommand(ScriptAction.APPLICATION_BLOCK), ScriptCommand(ScriptAction.APPLICATION_UNBLOCK)


@pytest.mark.parametrize("scheme_name", SCHEMES)
def test_a_blocked_application_says_so_until_it_is_unblocked(
    tap: TapACard, make: MakeCard, scheme: Scheme, scheme_name: str
) -> None:
    tapped = asked_its_issuer(tap, make(scheme_name))
    assert sent(tapped, scheme, BLOCK) == ["9000"]
    tapped.card.reset()
    assert tapped.select() == "6283"
    if scheme_name == "mastercard":
        assert tapped.process() == "9000"
        tapped.read()
        tapped.generate("80")
        assert tapped.got[0x9F27].hex() == "00"
    else:
        assert tapped.process() == "6985"
    tapped = asked_its_issuer(tap, make(scheme_name))
    assert sent(tapped, scheme, BLOCK, UNBLOCK) == ["9000", "9000"]
    tapped.card.reset()
    assert tapped.select() == "9000"


@pytest.mark.parametrize("scheme_name", SCHEMES)
def test_what_the_issuer_changed_outlives_the_process(
    tmp_path: Path, tap: TapACard, scheme: Scheme, scheme_name: str
) -> None:
    file, state = tmp_path / "card.toml", tmp_path / "card.json"
    file.write_text(
        f'label = "x"\npan = "{PANS[scheme_name]}"\nexpiry = "2031-12"\nscheme = "{scheme_name}"\n', encoding="utf-8"
    )
    record = encode_tlv(0x70, encode_tlv(0x9F42, bytes.fromhex("0978")))
    place = (1, 1 << 3 | 4) if scheme_name != "visa" else (3, 2 << 3 | 4)
    tag = bytes.fromhex("00CB" if scheme_name == "mastercard" else "9F79")
    tapped = asked_its_issuer(tap, load_card(file, scheme, SystemEntropy(), state))
    update = ScriptCommand(ScriptAction.UPDATE_RECORD, bytes(place), record)
    put = ScriptCommand(ScriptAction.PUT_DATA, tag, bytes.fromhex("000000012300"))
    assert sent(tapped, scheme, update, put) == ["9000", "9000"]
    again = load_card(file, scheme, SystemEntropy(), state)
    assert again.state() == tapped.card.state()
    assert again.state().balance_minor == 12300
    assert tap(again).command(f"00B2{place[0]:02X}{place[1]:02X}") == (record, "9000")


def test_a_lower_limit_is_obeyed(tap: TapACard, scheme: Scheme) -> None:
    tapped = asked_its_issuer(tap, "visa_offline")
    tapped.got[0x57] = bytes.fromhex("4761739001010028D3112201012345670F")
    lower = ScriptCommand(ScriptAction.PUT_DATA, bytes.fromhex("9F78"), bytes.fromhex("000000002499"))
    assert sent(tapped, scheme, lower) == ["9000"]
    tapped = tap(tapped.card)
    assert tapped.process() == "9000"
    assert tapped.got[0x9F27].hex() == "80"  # 25.00 is now too much
    assert tapped.command("80CA9F78")[0].hex() == "9f7806000000002499"


@pytest.mark.parametrize("scheme_name", SCHEMES)
def test_scripts_that_are_wrong_get_their_status_and_change_nothing(
    tap: TapACard, make: MakeCard, scheme: Scheme, scheme_name: str
) -> None:
    tapped = asked_its_issuer(tap, make(scheme_name))
    assert tapped.card.answer(bytes.fromhex("841E0000080102030405060708")).octets.hex() == "6988"
    assert tapped.card.answer(bytes.fromhex("841E00000401020304")).octets.hex() == "6987"
    assert not tapped.card.state().blocked
    fresh = asked_its_issuer(tap, make(scheme_name))
    unknown = ScriptCommand(ScriptAction.PUT_DATA, bytes.fromhex("9F10"), bytes(6))
    nowhere = ScriptCommand(ScriptAction.UPDATE_RECORD, b"\x09\x0c", bytes(2))
    no_amount = ScriptCommand(ScriptAction.PUT_DATA, bytes.fromhex("00CB" if scheme_name == "mastercard" else "9F78"))
    assert sent(fresh, scheme, unknown, nowhere, no_amount) == ["6a88", "6a83", "6a80"]


def test_a_script_for_nobodys_question_is_refused(tap: TapACard) -> None:
    tapped = tap("visa_credit")
    assert tapped.card.answer(bytes.fromhex("841E0000080102030405060708")).octets.hex() == "6985"


@pytest.mark.parametrize(
    ("lines", "judge"),
    [
        (("visa", "[visa]", "cryptogram_version = 10"), VisaCVN10),
        (("visa", "[visa]", "cryptogram_version = 18"), VisaCVN18),
        (("mastercard",), MasterCardCVN20),
    ],
    ids=["Visa 10", "Visa 18", "Mastercard 14"],
)
def test_the_cards_believe_macs_that_another_implementation_makes(
    tap: TapACard, make: MakeCard, scheme: Scheme, lines: tuple[str, ...], judge: Any
) -> None:
    tapped = asked_its_issuer(tap, make(*lines))
    key, scripts = scheme.issuer_key, purpose_key(scheme.issuer_key, SCRIPT_PURPOSE)
    issuer = judge(key, scripts, scripts, PANS[lines[0]], "01")
    header = bytes.fromhex("841E000008")
    arqc = int.from_bytes(tapped.got[0x9F26], "big")
    for number in range(3):  # Mastercard counts the cryptogram on from command to command
        counted = (arqc + (number if lines[0] == "mastercard" else 0)).to_bytes(8, "big")
        mac = issuer.generate_command_mac(header, counted, tapped.got[0x9F36])
        assert tapped.card.answer(header + mac).octets.hex() == "9000"
    assert tapped.card.state().blocked


def test_visa_authenticates_its_issuer_by_either_method(tap: TapACard, make: MakeCard, scheme: Scheme) -> None:
    """ARPCs made by pyemv: method 1 with the card's own key for version 10, method 2 for version 18."""
    key, pan = scheme.issuer_key, PANS["visa"]
    tapped = asked_its_issuer(tap, make("visa", "[visa]", "cryptogram_version = 10"))
    arpc = VisaCVN10(key, key, key, pan, "01").generate_arpc(tapped.got[0x9F26], b"00")
    assert tapped.command("00820000", arpc + b"00")[1] == "9000"
    assert tapped.command("00820000", bytes(8) + b"00")[1] == "6300"
    tapped = asked_its_issuer(tap, make("visa"))
    update = bytes.fromhex("00820000")
    arpc = VisaCVN18(key, key, key, pan, "01").generate_arpc(tapped.got[0x9F26], tapped.got[0x9F36], update)
    assert tapped.command("00820000", arpc + update)[1] == "9000"
    assert tapped.command("00820000", arpc + bytes(4))[1] == "6300"


def test_unionpay_authenticates_its_issuer(tap: TapACard, scheme: Scheme) -> None:
    """Method 1 under our own reading of the session key."""
    tapped = asked_its_issuer(tap, "good_credit")
    card_key = derive_card_key(scheme.issuer_key, PANS["unionpay"], "01")
    session_key = derive_session_key(card_key, tapped.got[0x9F36])
    arpc = encrypt_tdes_ecb(session_key, xor(tapped.got[0x9F26], b"00" + bytes(6)))
    assert issuer_authentication_data(card_key, tapped.got, b"00") == arpc + b"00"
    assert tapped.command("00820000", arpc + b"00")[1] == "9000"


def test_the_issuers_answer_is_taken_at_a_later_tap_too(tap: TapACard, scheme: Scheme) -> None:
    """EMV Book C-3, issuer update processing: the card is presented again and selected, without a new GPO."""
    tapped = asked_its_issuer(tap, "visa_credit")
    card_key = derive_card_key(scheme.issuer_key, PANS["visa"], "01")
    answer = issuer_authentication_data(card_key, tapped.got, bytes.fromhex("00820000"))
    tapped.card.reset()
    assert tapped.card.answer(bytes.fromhex("0082000008") + answer).octets.hex() == "6d00"
    asked = dict(tapped.got)
    tapped.select()
    assert tapped.command("00820000", answer)[1] == "9000"
    tapped.got = asked
    assert sent(tapped, scheme, BLOCK) == ["9000"]


def walk(dialogue: StepDialogue, card: Card) -> Step:
    """One presentation, step by step."""
    hand = CardInHand(card)
    hand.wait_for_card(CARD_TIMEOUT_MS)
    try:
        command = next(dialogue)
        while True:
            command = dialogue.send(exchange(command, hand, CARD_TIMEOUT_MS))
    except StopIteration as finished:
        step: Step = finished.value
        return step


def test_the_terminal_brings_the_issuers_answer_back_to_the_card(scheme: Scheme) -> None:
    """Kernel C-3: an online request that wants the issuer's data, then a presentation that delivers them."""
    card = load_card("visa_signs_online", scheme, SystemEntropy())
    configuration = Configuration([VISA_WITH_UPDATES], KERNELS, CaKeyStore.of(scheme.ca_keys()))
    asks = Activation(SALE)
    first = walk(run_step(configuration, asks, preprocessed(configuration, asks, Retained()), Start.B), card)
    assert first.read.outcome.online_response is OnlineResponse.EMV_DATA
    pan = "4761739001010044"
    card_key = derive_card_key(scheme.issuer_key, pan, "01")
    script_key = derive_card_key(purpose_key(scheme.issuer_key, SCRIPT_PURPOSE), pan, "01")
    (block,) = script_commands(script_key, first.read.data, [BLOCK])
    answer = encode_tlv(0x91, issuer_authentication_data(card_key, first.read.data, bytes.fromhex("00820000")))
    answer += encode_tlv(0x8A, b"00") + encode_tlv(0x72, encode_tlv(0x9F18, bytes(4)) + encode_tlv(0x86, block))
    brings = Activation(SALE, Start.B, restart=True, online_response=answer)
    second = walk(run_step(configuration, brings, first.retained, Start.B), card).read
    assert (second.outcome.kind.value, second.data[0x9F5B].hex()) == ("approved", "2000000000")
    assert second.tvr == bytes(5)
    assert card.state().blocked


@pytest.mark.parametrize(("data", "status"), [("", "6700"), ("01020304", "6700"), ("00" * 17, "6700")])
def test_authentication_data_of_a_wrong_length_is_refused(tap: TapACard, data: str, status: str) -> None:
    tapped = asked_its_issuer(tap, "visa_credit")
    assert tapped.command("00820000", bytes.fromhex(data))[1] == status


@pytest.mark.parametrize("scheme_name", ["visa", "mastercard"])
def test_a_new_pin_is_taken_and_the_tries_are_forgiven(
    tap: TapACard, make: MakeCard, scheme: Scheme, scheme_name: str
) -> None:
    tapped = asked_its_issuer(tap, make(scheme_name))
    secret = purpose_key(scheme.issuer_key, "script secrecy")
    keys = [derive_card_key(master, PANS[scheme_name], "01") for master in (scheme.issuer_key, secret)]
    unblock, cut = (ScriptCommand(ScriptAction.PIN_CHANGE, bytes([0, p2]), bytes(p2)) for p2 in (0, 2))
    wrong = ScriptCommand(ScriptAction.PIN_CHANGE, b"\x00\x07")
    commands = (pin_change(keys[0], keys[1], tapped.got, "1234"), unblock, cut, wrong)
    assert sent(tapped, scheme, *commands) == ["9000", "9000", "6a80", "6a86"]


def test_there_is_nothing_to_authenticate_before_a_question(tap: TapACard) -> None:
    assert tap("visa_credit").command("00820000", bytes(10))[1] == "6985"
    assert tap("mastercard_credit").command("00820000", bytes(10))[1] == "6d00"
