"""A bad disk and a lost copy as a register and a screen see them."""

from __future__ import annotations

from pathlib import Path

from tests.ecr.counter import CounterWithApi
from tests.terminal.shop import Shop

from taptill.journal.adapters.copier import JournalCopier
from taptill.terminal.storing import SYNC_MS_MAX
from taptill.terminal.wiring import health


def test_a_slow_disk_is_in_the_health_in_words_for_the_screen(tmp_path: Path) -> None:
    with CounterWithApi(tmp_path) as counter:
        assert counter.register.health()["storage_reason"] is None
        counter.shop.disk_takes_ms = SYNC_MS_MAX + 1
        counter.shop.arm()
        shown = counter.register.health()
    assert not shown["ready"]
    assert shown["storage_fault"] == "slow: the disk took 1,001 ms"
    assert shown["storage_reason"]["code"] == "disk-slow"
    assert shown["storage_reason"]["cashier"]["zh-CN"] == "此终端暂停收款：存储过慢"
    assert (shown["copy_fault"], shown["copy_behind"]) == ("", 0)


def test_a_copy_that_stands_still_is_in_the_health(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.open()
    copier = JournalCopier(tmp_path / "journal.sqlite", tmp_path / "copy.sqlite")
    copier.fault = "the medium is gone"
    copier.follow([], list(shop.journal.records()))
    shown = health(shop.desk, copier)
    assert shown["copy_fault"] == "the medium is gone"
    assert shown["copy_behind"] == len(list(shop.journal.records()))
    shop.power_cut()
