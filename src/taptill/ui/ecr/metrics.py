"""Figures for a monitoring system, in Prometheus' text format.

Comes in: the front's health and journal. Goes out: gauges, computed when they are asked for.
Strategy: nothing is counted beside the journal, so a restart loses no figure and no figure can contradict the books.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from prometheus_client.core import CollectorRegistry, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from taptill.terminal.front import Front
from taptill.terminal.notice_desk import NoticesHealth

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def metrics_text(front: Front) -> bytes:
    """All figures now. Raises JournalError."""
    registry = CollectorRegistry()
    registry.register(_TerminalCollector(front))
    return generate_latest(registry)


class _TerminalCollector(Collector):
    def __init__(self, front: Front) -> None:
        self._front = front

    def describe(self) -> Iterable[Metric]:
        """Registering asks for nothing."""
        return ()

    def collect(self) -> Iterable[Metric]:
        health = self._front.health()
        yield _gauge("taptill_ready", "1 when a sale can start", health["ready"])
        yield _gauge(
            "taptill_host_reachable", "0 once the acquirer is proven unreachable", health["host"] == "reachable"
        )
        yield _gauge("taptill_signed_on", "1 after a sign-on", health["signed_on"])
        no_sales = "1 while the journal's disk is full, slow or failing and no sale begins"
        yield _gauge("taptill_storage_fault", no_sales, bool(health["storage_fault"]))
        yield _gauge("taptill_journal_copy_fault", "1 while the second copy stands still", bool(health["copy_fault"]))
        yield _gauge("taptill_journal_copy_behind", "Entries that the second copy lacks", health["copy_behind"])
        at_risk = "Approved or accepted without the acquirer and not yet taken by it, in minor units"
        yield _gauge("taptill_money_at_risk_minor", at_risk, health["money_at_risk_minor"])
        yield _by("taptill_reader_up", "1 while the reader is usable", "reader", health["readers"])
        yield from _notices(health["notices"])
        debts = Counter(debt.state for debt in self._front.open_debts())
        yield _by("taptill_open_debts", "Messages owed to the acquirer", "state", {"open": 0, "parked": 0} | debts)
        yield _by("taptill_payments", "Payments in the journal", "state", self._front.payments_by_state())


def _notices(notices: NoticesHealth | None) -> Iterable[Metric]:
    if notices is None:
        return
    told = "Notices to webhooks that wait, and those given up within 24 hours"
    states = {"queued": notices["queued"], "expired": notices["expired"], "refused": notices["refused"]}
    yield _by("taptill_notices", told, "state", states)
    yield _gauge("taptill_notices_fault", "1 while the last try of a notice failed", bool(notices["last_error"]))


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=float(value))


def _by(name: str, what: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, what, labels=[label])
    for key, value in values.items():
        family.add_metric([key], float(value))
    return family
