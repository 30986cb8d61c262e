"""Which slip belongs to which payment: the QR on it leads to the payment's page."""

from __future__ import annotations

from collections.abc import Sequence

from taplab.printer.server import Job


def slip_of(payment_ref: str, jobs: Sequence[Job]) -> Job | None:
    """The latest slip of a payment, None while none came out."""
    return next((job for job in reversed(jobs) if any(payment_ref in qr for qr in job.qr_contents)), None)
