"""A receipt as ESC/POS bytes.

Comes in: a `Receipt` and the columns of the paper (32 on 58 mm, 48 on 80 mm). Goes out: one print job.
Strategy: plain command bytes. python-escpos' text() hunts for code pages and sends Chinese without FS &, so a real
printer prints other signs; the dozen commands used here are in every command manual, and its encoder judges them in
the tests. The job ends with GS r 1: printers take it from the receive buffer after everything before it is printed and
do not execute it without paper, so its answer is the proof of print. DLE EOT overtakes the job and proves nothing;
GS ( H would prove more, but cheap printers print it as text.
"""

from __future__ import annotations

from taptill.receipt.facts import Qr, Receipt, Style
from taptill.receipt.layout import COLUMNS_58_MM, COLUMNS_80_MM, Row, lay_out

INITIALISE = b"\x1b@"
NO_AUTOMATIC_STATUS = b"\x1da\x00"  # GS a 0: only answers to questions, no bytes in between
CHINESE = b"\x1c&"  # FS &: bytes from 81 on are Chinese pairs
LEFT, CENTRE = b"\x1ba\x00", b"\x1ba\x01"
FEED_AND_CUT = b"\x1dVB\x03"  # GS V 66: feed to the cutter and three dots, then cut
CONFIRM = b"\x1dr\x01"  # GS r 1: paper sensor status, in the order of the job
QR_STORE, QR_PRINT = b"1P0", b"1Q0"  # GS ( k functions 180 and 181
QR_SETUP = (b"1A2\x00", b"1E1")  # functions 165: model 2, and 169: correction level M
QR_MODULE_DOTS = {COLUMNS_58_MM: 5, COLUMNS_80_MM: 6}
SUBSTITUTES = str.maketrans({"¥": "￥"})  # U+00A5 has no two-byte code in GB18030, the full-width sign has one

# GS ! sets every character on printers of today, FS ! the Chinese ones on older printers: width and height bits.
_SIZES = {Style.TITLE: b"\x1c!\x0c\x1d!\x11", Style.EMPHASIS: b"\x1c!\x08\x1d!\x01"}
_NORMAL_SIZE = b"\x1c!\x00\x1d!\x00"
_BOLD = {Style.TITLE: b"\x1bE\x01", Style.EMPHASIS: b"\x1bE\x01"}
_NOT_BOLD = b"\x1bE\x00"
_FONT = {Style.SMALL: b"\x1bM\x01"}
_FONT_A = b"\x1bM\x00"
_PITCH = {Style.TITLE: b"\x1b3\x3c", Style.EMPHASIS: b"\x1b3\x3c", Style.SMALL: b"\x1b3\x16"}  # ESC 3 n, in dots
_NORMAL_PITCH = b"\x1b2"


def render_escpos(receipt: Receipt, columns: int = COLUMNS_58_MM) -> bytes:
    """One job: initialise, rows, cut, and the question whose answer means "printed"."""
    job = bytearray(INITIALISE + NO_AUTOMATIC_STATUS + CHINESE)
    style, centred = Style.NORMAL, False
    for row in lay_out(receipt, columns):
        row_style, row_centred = (Style.NORMAL, True) if isinstance(row, Qr) else (row.style, row.centred)
        if row_centred is not centred:
            job += CENTRE if row_centred else LEFT
        if row_style is not style:
            job += _styled(row_style)
        style, centred = row_style, row_centred
        job += _qr(row, QR_MODULE_DOTS.get(columns, 5)) if isinstance(row, Qr) else _text(row)
    return bytes(job + FEED_AND_CUT + CONFIRM)


def _styled(style: Style) -> bytes:
    look = _SIZES.get(style, _NORMAL_SIZE) + _BOLD.get(style, _NOT_BOLD) + _FONT.get(style, _FONT_A)
    return look + _PITCH.get(style, _NORMAL_PITCH)


def _text(row: Row) -> bytes:
    return row.text.translate(SUBSTITUTES).encode("gb18030", errors="replace") + b"\n"


def _qr(qr: Qr, module_dots: int) -> bytes:
    functions = (*QR_SETUP, b"1C" + bytes([module_dots]), QR_STORE + qr.content.encode(), QR_PRINT)
    return b"".join(b"\x1d(k" + len(function).to_bytes(2, "little") + function for function in functions)
