"""Every meeting of card wish, reader ability, cryptogram and proof, judged by tables typed from the specification.

Strategy: a situation is a set of words. A table is read from the top; the first row whose words all hold (those with a
minus must not) says what comes out. The rows follow EMV Book C-3, 5.4 to 5.9, clause by clause, and know nothing of the
kernels' code; C-7 has the rows it differs in before them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.card.visa_card import VISA, VisaCard, visa_keys

from taptill.card.outcome import Cvm, OutcomeKind

Tap = Callable[..., Any]
UNIONPAY = bytes.fromhex("A000000333010101")

# 5.7.1: cardholder verification.
VERIFICATION = """
-ctq -cvm-required                                  none
-ctq signature                                      signature
-ctq pin                                            pin
-ctq                                                refused
ctq-pin pin                                         pin
ctq-device ARQC -signed                             device
ctq-device signed -copy-differs                     device
ctq-device                                          refused
ctq-signature signature                             signature
cvm-required                                        refused
.                                                   none
"""
# 5.4.3.2 cryptogram; 5.6.1.1 authentication online; 5.8 online; 5.5.1.1 expiry; 5.6.2 authentication; 5.7, 5.9 offline.
C3 = """
AAC                                                 declined
ARQC oda-online oda-failed ctq-switch contact       another-interface
must-online oda-online oda-failed ctq-switch contact another-interface
ARQC offline-only                                   declined
must-online offline-only                            declined
ARQC refused                                        declined
must-online refused                                 declined
ARQC                                                online
must-online                                         online
expired ctq-expired-online -offline-only refused    declined
expired ctq-expired-online -offline-only            online
expired                                             declined
oda-failed ctq-oda-online -offline-only refused     declined
oda-failed ctq-oda-online -offline-only             online
oda-failed ctq-switch contact                       another-interface
oda-failed                                          declined
refused                                             declined
pin-asked -offline-only                             online
pin-asked                                           declined
.                                                   approved
"""
# PBOC 3.0 part 12: online no record is read, so nothing is authenticated and no 9F69 seen; what has to go online is not
# approved by the card.
C7 = (
    """
TC must-online                                      declined
AAC                                                 declined
ARQC offline-only                                   declined
ARQC refused                                        declined
ARQC                                                online
"""
    + C3
)
C7_VERIFICATION = (
    """
ctq-pin pin                                         pin
ctq-device ARQC                                     device
ctq-device unproven -cvm-required                   none
"""
    + VERIFICATION
)
KINDS = {
    "approved": OutcomeKind.APPROVED,
    "declined": OutcomeKind.DECLINED,
    "online": OutcomeKind.ONLINE_REQUEST,
    "another-interface": OutcomeKind.TRY_ANOTHER_INTERFACE,
}
CVMS = {"none": Cvm.NONE, "signature": Cvm.SIGNATURE, "pin": Cvm.ONLINE_PIN, "device": Cvm.CONSUMER_DEVICE}
CTQ = {
    "ctq-pin": 0x8000,
    "ctq-signature": 0x4000,
    "ctq-oda-online": 0x2000,
    "ctq-switch": 0x1000,
    "ctq-expired-online": 0x0800,
    "ctq-device": 0x0080,
}
TTQ = {"contact": 0x10, "offline-only": 0x08, "pin": 0x04, "signature": 0x02, "oda-online": 0x01}
SWITCHES = ["ctq", *CTQ, *TTQ, "cvm-required", "must-online", "oda-failed", "expired", "copy-differs"]


def look_up(table: str, words: set[str]) -> str:
    for row in filter(None, table.splitlines()):
        *conditions, says = row.split()
        if all((word[1:] not in words) if word[0] == "-" else word in words or word == "." for word in conditions):
            return says
    raise AssertionError("the table has a hole")


@st.composite
def situations(draw: st.DrawFn) -> set[str]:
    words = {word for word in SWITCHES if draw(st.booleans())} | {draw(st.sampled_from(["AAC", "ARQC", "TC"]))}
    words |= {"signed"} if "TC" in words or draw(st.booleans()) else set()
    return words if "ctq" in words else words - set(CTQ)


def card_for(words: set[str], aid: bytes) -> VisaCard:
    ctq = sum(bit for word, bit in CTQ.items() if word in words)
    return VisaCard(
        gives=next(kind for kind in ("AAC", "ARQC", "TC") if kind in words),
        ctq=f"{ctq:04x}" if "ctq" in words else None,
        copied_ctq=f"{ctq ^ 0x0001:04x}" if "copy-differs" in words else None,
        fdda=1 if "signed" in words else None,
        aid=aid,
        spoilt="oda-failed" in words,
        record={0x5F24: "191231" if "expired" in words else "391231"},
    )


def judged_by(tap: Tap, words: set[str], kernel_id: int, aid: bytes) -> Any:
    ttq = 0x20 | sum(bit for word, bit in TTQ.items() if word in words)
    read, _ = tap(
        card_for(words, aid),
        visa_keys(aid[:5]),
        kernel_id=kernel_id,
        aid=aid,
        ttq=bytes([ttq, 0, 0x40, 0x80]),
        pin_pad=True,
        cvm_limit_minor=0 if "cvm-required" in words else None,
        offline_allowed="must-online" not in words,
    )
    return read.outcome


def expected(words: set[str], verification: str, outcomes: str) -> tuple[OutcomeKind, Cvm | None]:
    cvm = look_up(verification, words)
    named = {"refused": {"refused"}, "pin": {"pin-asked"}}.get(cvm, set())
    kind = KINDS[look_up(outcomes, words | named)]
    shown = kind in (OutcomeKind.APPROVED, OutcomeKind.ONLINE_REQUEST)
    return kind, CVMS[cvm] if shown else None


def said(outcome: Any) -> tuple[OutcomeKind, Cvm | None]:
    shown = outcome.kind in (OutcomeKind.APPROVED, OutcomeKind.ONLINE_REQUEST)
    return outcome.kind, outcome.cvm if shown else None


@settings(max_examples=150, deadline=None)
@given(words=situations())
def test_kernel_c3_decides_as_its_book_does(tap: Tap, words: set[str]) -> None:
    if "signed" not in words:
        words = words - {"oda-failed"}  # what is not there cannot fail: the card's profile claims no signature
    assert said(judged_by(tap, words, 3, VISA)) == expected(words, VERIFICATION, C3)


@settings(max_examples=150, deadline=None)
@given(words=situations())
def test_kernel_c7_decides_as_its_book_does(tap: Tap, words: set[str]) -> None:
    if "copy-differs" in words and "signed" in words:
        words = words | {"unproven"}
    assert said(judged_by(tap, words, 7, UNIONPAY)) == expected(words, C7_VERIFICATION, C7)
