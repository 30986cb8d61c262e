"""Ways into a parking, and an operator who signs.

Comes in: the shop of `shop.py`. Goes out: payments that only an operator can end, and his offers.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.terminal.shop import CONFIG, Shop, good_host, reply, silent_host, tapped

from taptill.card.outcome import CryptogramType, OutcomeKind
from taptill.host.exchange import ExchangeResult, HostRequest, Verdict
from taptill.journal.disposition import Statement, parking_of, read_offer, statement_text
from taptill.terminal.config import Operator
from taptill.terminal.effects import Answer
from taptill.terminal.events import DispositionOffered

LI, WANG = Ed25519PrivateKey.from_private_bytes(bytes(range(32))), Ed25519PrivateKey.from_private_bytes(bytes(32))
NOBODY = "00" * 32


def format_error(request: HostRequest) -> ExchangeResult:
    """30 to what is owed: the host will never take it as it is."""
    owed = request.row in {"reversal", "offline_advice", "deferred_advice"}
    return reply(request, "30", Verdict.DECLINED) if owed else good_host(request)


def refuses_reversals(request: HostRequest) -> ExchangeResult:
    return silent_host(request) if request.row == "sale" else format_error(request)


def always_94(request: HostRequest) -> ExchangeResult:
    """Knows the key of another sale, and its status questions find nothing."""
    return reply(request, "94", Verdict.DUPLICATE) if request.row == "sale" else good_host(request)


def new_shop(directory: Path) -> Shop:
    """Li may decide what is parked here."""
    operators = [Operator(name="li", key=LI.public_key().public_bytes_raw().hex())]
    shop = Shop(directory)
    shop.config = msgspec.structs.replace(CONFIG, operators=operators)
    shop.open()
    return shop


def parked_reversal(shop: Shop) -> str:
    shop.host = refuses_reversals
    ref = shop.sell()
    shop.pass_time(200_000)
    assert shop.state(ref) == "parked"
    return ref


def parked_sale(shop: Shop) -> str:
    shop.host = always_94
    ref = shop.sell()
    shop.pass_time(200_000)
    assert shop.state(ref) == "parked"
    return ref


def parked_advice(shop: Shop, kind: OutcomeKind, cryptogram: CryptogramType) -> str:
    shop.lose_host()
    ref = shop.sell(tapped(kind, cryptogram))
    shop.host = format_error
    shop.pass_time(200_000)
    assert [debt.state for debt in shop.journal.open_debts() if debt.payment_ref == ref] == ["parked"]
    return ref


def statement(shop: Shop, target: str, decision: str) -> Statement:
    """As `taptill dispose` writes it."""
    parking = parking_of(shop.journal.records(target.partition("/")[0]), target)
    return Statement(
        terminal_id=CONFIG.identity.terminal_id,
        target=target,
        decision=decision,
        reason="said on the phone, case 4711",
        operator="li",
        parked_by=parking.digest.hex() if parking else NOBODY,
    )


def offer(shop: Shop, said: Statement, key: Ed25519PrivateKey = LI) -> Answer:
    text = statement_text(said)
    shop._tickets += 1
    shop.post(DispositionOffered(shop._tickets, read_offer(text, key.sign(text.encode()).hex())))
    return shop.answers[shop._tickets]


def dispose(shop: Shop, target: str, decision: str) -> Answer:
    return offer(shop, statement(shop, target, decision))
