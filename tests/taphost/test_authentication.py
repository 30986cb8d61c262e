"""Who asks, under which key: what is not authenticated changes nothing, and no card number is kept."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as with_settings

from taphost.acquirer import Acquirer
from taphost.config import HostConfig, Terminal
from taphost.errors import UnreadableMessage
from taphost.store import Store
from taphost.wire import read_incoming
from taptill.host.codec import IsoMessage, decode_message, encode_message, unwrap
from taptill.host.compose import compose
from taptill.host.exchange import Silent, Verdict
from taptill.host.read_reply import read_reply

if TYPE_CHECKING:
    from tests.taphost.conftest import Host

GOOD = "6228000100001117"


def test_an_envelope_sealed_for_another_payment_does_not_open(host: Host) -> None:
    till = host.till
    facts = till.seal(till.facts(1_000, "mine"), GOOD, till.card(GOOD).icc(1_000))
    request = compose(till.profile, "sale", replace(facts, payment_ref="yours"), till.keys)
    assert host.ask(request).code == "30"


def test_a_wrong_mac_is_answered_a0_and_leaves_no_trace(host: Host) -> None:
    sale = host.till.pay()
    broken = sale.wire[:-1] + bytes([sale.wire[-1] ^ 1])
    assert host.till.read(sale, host.acquirer.answer(broken)).code == "A0"
    with host.store.transaction() as books:
        assert books.entries(captured_only=False) == []
        assert books.current_batch("10000001") is None
    assert host.ask(sale).code == "00"


def test_no_changed_bit_of_a_signed_message_is_captured(new_host: Callable[[], Host]) -> None:
    """Whatever is flipped behind the header: refused as A0, or not even readable."""
    host = new_host()
    wire = host.till.pay().wire

    @given(at=st.integers(11, len(wire) - 1), bit=st.integers(0, 7))
    def flip(at: int, bit: int) -> None:
        changed = wire[:at] + bytes([wire[at] ^ 1 << bit]) + wire[at + 1 :]
        with suppress(UnreadableMessage):
            assert host.code_of(changed) == "A0"
        assert host.captured_minor() == 0

    flip()
    assert host.code_of(wire) == "00"


def test_a_used_key_with_other_bytes_is_refused(host: Host) -> None:
    sale = host.till.pay()
    assert host.ask(sale).code == "00"
    other = host.till.resign(sale.wire, DE11="000777")
    answer = decode_message(unwrap(host.acquirer.answer(other)).message)
    assert answer.text(39) == "A0"
    assert b"KEY USED BEFORE" in answer.octets(63)
    assert host.captured_minor() == 1_000


def test_the_answer_has_a_key_of_its_own(host: Host) -> None:
    """A request played back as an answer, or an answer under the request's key, is no answer."""
    sale = host.till.pay()
    answer = host.acquirer.answer(sale.wire)
    forged = answer[:-8] + host.till.keys.request_mac(sale.key_counter, unwrap(answer).message[:-8])
    result = read_reply(host.till.profile, sale, forged, host.till.keys)
    assert isinstance(result, Silent)
    assert result.reason == "bad MAC"


def test_a_terminal_nobody_registered_is_told_so(config: HostConfig, store: Store, host: Host) -> None:
    other = Terminal(id="99999999", merchant="898310000000001", key_set="0000000100000001")
    strange = with_settings(config, terminals=(other,))
    assert replace(host, acquirer=Acquirer(strange, store, lambda: 0)).code_of(host.till.pay().wire) == "97"
    assert host.captured_minor() == 0


def test_a_terminal_under_another_terminals_keys_is_not_believed(config: HostConfig, store: Store, host: Host) -> None:
    other = Terminal(id="10000001", merchant="898310000000001", key_set="0000000100000002")
    strange = with_settings(config, terminals=(other,))
    assert replace(host, acquirer=Acquirer(strange, store, lambda: 0)).code_of(host.till.pay().wire) == "97"


def test_a_wrong_merchant_is_refused(host: Host) -> None:
    wire = host.till.resign(host.till.pay().wire, DE42="898310000000002")
    assert host.code_of(wire) == "03"


def test_a_busy_host_answers_under_the_right_key_and_does_nothing(host: Host) -> None:
    sale = host.till.pay()
    reply = host.till.read(sale, host.acquirer.busy(sale.wire))
    assert (reply.code, reply.verdict) == ("96", Verdict.TRY_LATER)
    assert host.captured_minor() == 0
    assert host.ask(sale).code == "00"


def test_a_busy_host_still_checks_who_asks(host: Host) -> None:
    sale = host.till.pay()
    assert host.till.read(sale, host.acquirer.busy(sale.wire[:-8] + bytes(8))).code == "A0"


@pytest.mark.parametrize("body", [b"", b"\x60", bytes(11), b"GET / HTTP/1.1\r\n\r\n" * 3, b"\x60" + bytes(200)])
def test_noise_cannot_be_answered(host: Host, body: bytes) -> None:
    with pytest.raises(UnreadableMessage):
        host.acquirer.answer(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_unreadable(body: bytes) -> None:
    for octets in (body, b"\x60" + bytes(10) + body):
        with suppress(UnreadableMessage):
            assert read_incoming(octets).mac


def test_a_message_without_key_or_mac_cannot_be_answered(host: Host) -> None:
    wrapped = unwrap(host.till.pay().wire)
    message = decode_message(wrapped.message)
    for missing in (11, 41, 59, 60, 64):
        fields = {number: content for number, content in message.fields.items() if number != missing}
        with pytest.raises(UnreadableMessage):
            host.acquirer.answer(wrapped.tpdu + wrapped.header + encode_message(IsoMessage(message.mti, fields)))


def test_no_card_number_stands_in_what_is_kept(host: Host) -> None:
    for row in ("sale", "deferred_advice"):
        host.ask(host.till.pay(row))
    with host.store.transaction() as books:
        kept = repr(books.entries(captured_only=False)) + repr(books.accounts())
        replies = b"".join(entry.reply for entry in books.entries(captured_only=False))
    assert "622800******1117" in kept
    assert GOOD not in kept
    assert bytes.fromhex(GOOD) not in replies
    assert GOOD.encode() not in replies
