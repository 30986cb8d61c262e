"""Answers: genuine ones are read, everything else is silence with a reason."""

from __future__ import annotations

from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taptill.credential.adapters.file_keystore import FileKeyStore
from taptill.host.codec import MalformedMessage
from taptill.host.compose import OriginalRef, RequestFacts, compose
from taptill.host.exchange import HostRequest, Replied, Silent, Verdict
from taptill.host.profile import AES_PROFILE, Profile, load_profile
from taptill.host.read_reply import read_reply, reply_key


class MakeFacts(Protocol):
    def __call__(self, **changes: Any) -> RequestFacts: ...


class AnswerRequest(Protocol):
    def __call__(
        self, request_wire: bytes, code: str = "00", /, *, mti: str = "", mac: bytes | None = None, **changes: Any
    ) -> bytes: ...


@pytest.fixture
def sale(profile: Profile, keys: FileKeyStore, facts: MakeFacts) -> HostRequest:
    return compose(profile, "sale", facts(), keys)


@pytest.fixture
def query(profile: Profile, keys: FileKeyStore, facts: MakeFacts) -> HostRequest:
    return compose(profile, "status_query", facts(original=OriginalRef(3, 16, "1122")), keys)


@pytest.fixture
def sign_on(profile: Profile, keys: FileKeyStore, facts: MakeFacts) -> HostRequest:
    return compose(profile, "sign_on", facts(), keys)


def read(result: Replied | Silent) -> Replied:
    assert isinstance(result, Replied), result
    return result


def test_a_genuine_approval_is_read_with_its_texts(
    profile: Profile, keys: FileKeyStore, sale: HostRequest, answer: AnswerRequest
) -> None:
    texts = b"CUP" + "测试银行".encode("gb18030").ljust(20) + b" " * 20 + "收单".encode("gb18030").ljust(20)
    wire = answer(sale.wire, DE63=texts, DE55=bytes.fromhex("910212348A023030"))
    replied = read(read_reply(profile, sale, wire, keys))
    reply = replied.reply
    assert (reply.row, reply.code, reply.verdict, reply.stan) == ("sale", "00", Verdict.APPROVED, 17)
    assert (reply.amount_minor, reply.auth_code, reply.rrn, reply.batch) == (1250, "A1B2C3", "654321000017", 3)
    assert (reply.local_time, reply.settlement_texts) == ("1122064500", ("CUP", "测试银行", "收单"))
    assert reply.icc_data.hex() == "910212348a023030"
    assert reply.authenticated
    assert replied.evidence == wire


def test_a_text_cut_in_the_middle_of_a_character_costs_nothing_but_that_character(
    profile: Profile, keys: FileKeyStore, sale: HostRequest, answer: AnswerRequest
) -> None:
    texts = b"CUP" + ("a" + "银" * 10).encode("gb18030")[:20] + b"x" * 40
    reply = read(read_reply(profile, sale, answer(sale.wire, DE63=texts), keys)).reply
    assert reply.settlement_texts[1] == "a" + "银" * 9 + "�"


@pytest.mark.parametrize(
    ("change", "field_name"),
    [
        ({"DE3": "200000"}, "DE3"),
        ({"DE4": "000000001251"}, "DE4"),
        ({"DE4": "000000001249"}, "DE4"),
        ({"DE4": None}, "DE4"),
        ({"DE11": "000018"}, "DE11"),
        ({"DE41": "TT000002"}, "DE41"),
        ({"DE41": None}, "DE41"),
        ({"DE42": "898440000000002"}, "DE42"),
        ({"DE60": "22000004000601"}, "DE60"),
        ({"DE60": None}, "DE60"),
        ({"DE39": None}, "DE39"),
        ({"mti": "0230"}, "MTI"),
    ],
)
def test_an_answer_that_does_not_match_in_one_field_is_silence(
    profile: Profile,
    keys: FileKeyStore,
    sale: HostRequest,
    answer: AnswerRequest,
    change: dict[str, Any],
    field_name: str,
) -> None:
    assert read_reply(profile, sale, answer(sale.wire, **change), keys) == Silent(f"mismatch: {field_name}")


@pytest.mark.parametrize("code", ["00", "51", "96"])
@pytest.mark.parametrize(("mac", "reason"), [(b"", "no MAC"), (b"12345678", "bad MAC")])
def test_without_a_right_mac_neither_approval_nor_decline_is_believed(
    profile: Profile,
    keys: FileKeyStore,
    sale: HostRequest,
    answer: AnswerRequest,
    code: str,
    mac: bytes,
    reason: str,
) -> None:
    assert read_reply(profile, sale, answer(sale.wire, code, mac=mac), keys) == Silent(reason)


def test_the_requests_own_mac_is_not_an_answers(
    profile: Profile, keys: FileKeyStore, sale: HostRequest, answer: AnswerRequest
) -> None:
    """A reflected message has a MAC of the right terminal and counter, but of the other direction."""
    genuine = answer(sale.wire)
    forged = genuine[:-8] + keys.request_mac(1, genuine[11:-8])
    assert read_reply(profile, sale, forged, keys) == Silent("bad MAC")


def test_every_flipped_bit_of_an_answer_is_silence(
    profile: Profile, keys: FileKeyStore, sale: HostRequest, answer: AnswerRequest
) -> None:
    """From the message on; TPDU and header are not under the MAC."""
    wire = answer(sale.wire)
    for bit in range(11 * 8, len(wire) * 8):
        flipped = bytearray(wire)
        flipped[bit // 8] ^= 1 << bit % 8
        assert isinstance(read_reply(profile, sale, bytes(flipped), keys), Silent)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(octets=st.binary(max_size=200))
def test_arbitrary_bytes_are_silence_and_their_key_is_a_declared_error(
    profile: Profile, keys: FileKeyStore, sale: HostRequest, octets: bytes
) -> None:
    assert isinstance(read_reply(profile, sale, octets, keys), Silent)
    try:
        reply_key(profile, octets)
    except MalformedMessage:
        return


def test_a_decline_is_read_without_an_amount(
    profile: Profile, keys: FileKeyStore, sale: HostRequest, answer: AnswerRequest
) -> None:
    reply = read(read_reply(profile, sale, answer(sale.wire, "51", DE4=None), keys)).reply
    assert (reply.verdict, reply.amount_minor) == (Verdict.DECLINED, None)


@pytest.mark.parametrize(("amount", "accepted"), [("000000001000", True), ("000000001250", False), ("0" * 12, False)])
def test_a_partial_approval_has_to_be_lower_and_more_than_nothing(
    profile: Profile, keys: FileKeyStore, sale: HostRequest, answer: AnswerRequest, amount: str, accepted: bool
) -> None:
    result = read_reply(profile, sale, answer(sale.wire, "10", DE4=amount), keys)
    assert isinstance(result, Replied) is accepted
    if isinstance(result, Replied):
        assert (result.reply.verdict, result.reply.amount_minor) == (Verdict.PARTIAL, 1000)


def test_a_decline_without_mac_counts_only_where_the_profile_says_so(
    keys: FileKeyStore, sale: HostRequest, answer: AnswerRequest
) -> None:
    text = AES_PROFILE.read_text("utf-8")
    lax = load_profile(text.replace("unauthenticated_declines = false", "unauthenticated_declines = true"))
    reply = read(read_reply(lax, sale, answer(sale.wire, "51", mac=b""), keys)).reply
    assert (reply.verdict, reply.authenticated) == (Verdict.DECLINED, False)
    assert read_reply(lax, sale, answer(sale.wire, "00", mac=b""), keys) == Silent("no MAC")
    assert read_reply(lax, sale, answer(sale.wire, "51", mac=b"12345678"), keys) == Silent("bad MAC")


@pytest.mark.parametrize("letter", "ADN")
def test_a_status_without_mac_says_nothing_even_where_declines_carry_none(
    keys: FileKeyStore, query: HostRequest, answer: AnswerRequest, letter: str
) -> None:
    text = AES_PROFILE.read_text("utf-8")
    lax = load_profile(text.replace("unauthenticated_declines = false", "unauthenticated_declines = true"))
    forged = answer(query.wire, "05", mac=b"", DE62=f"{letter}00" + " " * 18 + "000000001250")
    assert read_reply(lax, query, forged, keys) == Silent("no MAC")


def test_nobody_forgives_a_debt_without_a_mac(keys: FileKeyStore, facts: MakeFacts, answer: AnswerRequest) -> None:
    text = AES_PROFILE.read_text("utf-8")
    lax = load_profile(text.replace("unauthenticated_declines = false", "unauthenticated_declines = true"))
    original = OriginalRef(3, 16, "1122")
    reversal = compose(lax, "reversal", facts(original=original, reversal_reason="98"), keys)
    assert read_reply(lax, reversal, answer(reversal.wire, "12", mac=b""), keys) == Silent("no MAC")


@pytest.mark.parametrize(
    ("letter", "state", "amount"),
    [
        ("A", "approved", 1250),
        ("D", "declined", None),
        ("R", "reversed", None),
        ("N", "not found", None),
        ("P", "in progress", None),
    ],
)
def test_a_status_tells_the_state_of_the_original(
    profile: Profile,
    keys: FileKeyStore,
    query: HostRequest,
    answer: AnswerRequest,
    letter: str,
    state: str,
    amount: int | None,
) -> None:
    status = f"{letter}51" + "X9Y8Z7" + "654321000016" + "000000001250"
    reply = read(read_reply(profile, query, answer(query.wire, DE62=status), keys)).reply
    assert (reply.original_state, reply.original_code, reply.amount_minor) == (state, "51", amount)
    assert (reply.auth_code, reply.rrn) == ("X9Y8Z7", "654321000016")


@pytest.mark.parametrize(
    "status", [None, "A", "X00" + " " * 18 + "0" * 12, "A00" + " " * 30, "A00" + " " * 18 + "0" * 13]
)
def test_an_approved_query_without_a_readable_status_is_silence(
    profile: Profile, keys: FileKeyStore, query: HostRequest, answer: AnswerRequest, status: str | None
) -> None:
    assert read_reply(profile, query, answer(query.wire, DE62=status), keys) == Silent("malformed: DE62")


def test_a_refused_query_needs_no_status(
    profile: Profile, keys: FileKeyStore, query: HostRequest, answer: AnswerRequest
) -> None:
    later = read(read_reply(profile, query, answer(query.wire, "96"), keys)).reply
    assert (later.verdict, later.original_state) == (Verdict.TRY_LATER, "")
    unknown = read(read_reply(profile, query, answer(query.wire, "25"), keys)).reply
    assert (unknown.verdict, unknown.original_state) == (Verdict.NOT_FOUND, "not found")


def test_a_sign_on_brings_clock_batch_and_highest_stan(
    profile: Profile, keys: FileKeyStore, sign_on: HostRequest, answer: AnswerRequest
) -> None:
    wire = answer(sign_on.wire, DE60="00000007004", DE62="20261122064500" + "000123" + "000003")
    reply = read(read_reply(profile, sign_on, wire, keys)).reply
    assert (reply.batch, reply.stan_high, reply.clock_unix_ms) == (7, 123, 1_795_329_900_000)
    assert reply_key(profile, wire) == sign_on.key


@pytest.mark.parametrize("text", [None, "20261322064500000123000003", "2026", "x" * 26])
def test_a_sign_on_without_a_readable_clock_is_silence(
    profile: Profile, keys: FileKeyStore, sign_on: HostRequest, answer: AnswerRequest, text: str | None
) -> None:
    assert read_reply(profile, sign_on, answer(sign_on.wire, DE62=text), keys) == Silent("malformed: DE62")


def test_an_answer_names_the_question_it_belongs_to(profile: Profile, sale: HostRequest, answer: AnswerRequest) -> None:
    assert reply_key(profile, answer(sale.wire)) == sale.key
