"""Closing the day: totals from the journal. Reading order: totals."""
