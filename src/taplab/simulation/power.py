"""The moment the power fails at the counter."""

from __future__ import annotations


class PowerCut(BaseException):
    """Unwinds everything that runs on the terminal. Not an error: nothing in the terminal may catch it."""
