"""The type-approval cases that have no trace, built from what their titles say.

A title names the scheme of the AID, how the entry of the PPSE names its kernel (9F2A absent, empty, or null) and that
the reader serves that AID with a kernel of another number. An absent or empty identifier stands for the scheme's own
kernel, so the entry is passed over; a null one lets the reader take what it has (EMV Book B, 3.3.2.5, C and D).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.card.reader_stage import ToldKernel, card, combination, configuration, entry, perform
from tests.conformance import NotApplicable

from taptill.card.outcome import MessageId, OutcomeKind, UiStatus

Case = dict[str, Any]
SCHEMES = {
    "Visa": ["A0000000031010"],
    "MasterCard": ["A0000000041010"],
    "JCB": ["A0000000651010"],
    "AMEX": ["A0000000251010"],
    "DISCOVER": ["A0000001523010", "A0000003241010"],
    "CUP": ["A0000003330101"],
}
NAMED_AS = {"not present": None, "with null length": "", "null": "00"}
ANOTHER_KERNEL = 0x3D  # what the type-approval plan calls TK3 and its like: no scheme's number
SPARE = "A0000000010001"  # an application that is always served, behind the one in question
EXTENSION = "0102"
NO_CONTACT = "contact interface: this terminal has none, so nothing could power the contactless one down"

_EXTENSION = re.compile(r"Extended selection present .* but Extended Selection not supported")
_KERNEL = re.compile(
    r"Kernel ID (?P<as>not present|with null length)|with (?P<null>null) Kernel ID",
)
_SCHEME = re.compile(r"Matching AID = (?P<scheme>\w+) AID, TK\d Kernel ID not equal to")


def without_a_trace(document: Case) -> Iterator[tuple[str, Any]]:
    titles = {test["id"]: re.sub(r"[\s*]+", " ", test["title"]) for test in document.get("tests", [])}
    lists = [value for key, value in document.items() if key.startswith("not_run_because_")]
    for name in (each for listed in lists for each in listed):
        title = titles.get(name, "")
        if "contact transaction" in title or name.startswith("2EA.010."):
            yield name, NotApplicable(NO_CONTACT)
        elif _EXTENSION.search(title) or (_KERNEL.search(title) and _SCHEME.search(title)):
            yield name, {"title": title}
        else:
            yield name, NotApplicable("no trace, and its title alone is no test")


@pytest.mark.vectors(folder="entry-point", cases=without_a_trace)
def test_a_case_without_a_trace_holds_by_its_title(vector: Case) -> None:
    title = vector["title"]
    kernel, scheme = _KERNEL.search(title), _SCHEME.search(title)
    if kernel is None or scheme is None:
        extended_selection_is_not_used_where_it_is_not_supported()
        return
    for aid in SCHEMES[scheme["scheme"]]:
        an_entry_of_another_kernel(aid, NAMED_AS[kernel["as"] or kernel["null"]])


def an_entry_of_another_kernel(aid: str, identifier: str | None) -> None:
    kernel = ToldKernel()
    served = combination(aid, ANOTHER_KERNEL)
    alone = perform(configuration([served], kernel), card(entry(aid, identifier)))
    beside = perform(
        configuration([served, combination(SPARE, 0x21)], kernel),
        card(entry(aid, identifier), entry(SPARE, "21", priority="02")),
    )
    if identifier == "00":
        assert (alone.selected(), beside.selected()) == ([aid], [aid])
        assert [told.prepared.combination.kernel_id for told, _ in kernel.told] == [ANOTHER_KERNEL] * 2
        return
    assert (alone.selected(), beside.selected()) == ([], [SPARE])
    assert alone.read is not None
    assert alone.read.outcome.kind is OutcomeKind.END_APPLICATION
    assert alone.shown()[-1] == (MessageId.INSERT_SWIPE_OR_TRY_ANOTHER_CARD, UiStatus.READY_TO_READ)
    assert [told.prepared.combination.kernel_id for told, _ in kernel.told] == [0x21]


def extended_selection_is_not_used_where_it_is_not_supported() -> None:
    held = card(entry(SPARE, "21", extension=EXTENSION))
    for supported, name in ((False, SPARE), (True, SPARE + EXTENSION)):
        reader = configuration([combination(SPARE, 0x21, extended_selection=supported)], ToldKernel())
        assert perform(reader, held).selected() == [name]
