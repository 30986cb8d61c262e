"""The same receipt as plain text, for a screen or a log.

Comes in: a `Receipt` and a width in columns. Goes out: lines of text, ended by a line feed each.
Strategy: the printer's layout without its sizes; a QR code becomes its content.
"""

from __future__ import annotations

from taptill.receipt.facts import Qr, Receipt
from taptill.receipt.layout import columns_of, lay_out


def render_text(receipt: Receipt, columns: int = 32) -> str:
    """The receipt as text; no line is wider than `columns` but a QR code's content."""
    lines: list[str] = []
    for row in lay_out(receipt, columns, scaled=False):
        if isinstance(row, Qr):
            lines.append(row.content)
        else:
            indent = (columns - columns_of(row.text)) // 2 if row.centred else 0
            lines.append(" " * indent + row.text)
    return "\n".join(lines) + "\n"
