"""The key store's mark moves, with its syncs, while nobody waits: never between a tap and its request."""

from __future__ import annotations

from pathlib import Path

from tests.terminal.shop import CONFIG, Shop, good_host, silent_host, tapped

from taptill.card.outcome import OutcomeKind
from taptill.credential.adapters.file_keystore import RESERVED_BLOCK_COUNTERS
from taptill.terminal.events import Tick
from taptill.terminal.linking import PROBE_TIMER


def _mark(directory: Path) -> int:
    return int((directory / "keys.json.mark").read_text(encoding="ascii"))


def test_the_mark_stands_still_from_the_arming_to_the_answer(tmp_path: Path) -> None:
    """More sales than a block has counters."""
    shop = Shop(tmp_path)
    shop.open()
    marks = set[int]()
    for _ in range(RESERVED_BLOCK_COUNTERS + 50):
        shop.arm()
        armed = _mark(tmp_path)
        shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
        assert _mark(tmp_path) == armed
        marks.add(armed)
    assert len(marks) > 1


def test_echoes_while_a_payment_waits_for_its_card_use_up_nothing_it_needs(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.open()
    for _ in range(RESERVED_BLOCK_COUNTERS // 8):
        shop.arm()
        armed = _mark(tmp_path)
        for _ in range(20):
            shop.post(Tick(PROBE_TIMER))
        shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
        assert _mark(tmp_path) == armed


def test_questions_and_reversal_of_an_unknown_sale_need_no_new_block(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.open()
    for _ in range(RESERVED_BLOCK_COUNTERS // 8):
        ref = str(shop.arm().payment_ref)
        armed = _mark(tmp_path)
        shop.host = silent_host
        shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
        while shop.state(ref) in {"authorizing", "unknown"}:
            shop.pass_time(1_000)
        assert _mark(tmp_path) == armed
        shop.host = good_host
        while shop.state(ref) != "reversed":
            shop.pass_time(CONFIG.host.probe_pause_max_ms)
