"""A font that has Chinese signs.

Comes in: nothing. Goes out: `PrinterFont`, with a note when the slip will not look right.
Strategy: Debian's fonts-wqy-microhei, else the first Chinese font fontconfig knows, else Pillow's own (Latin only).
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import ImageFont

MICRO_HEI = Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc")
MONOSPACED_FACE = 1  # of the two faces in that file
FC_LIST_TIMEOUT_S = 10

Face = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class PrinterFont:
    """Where the font is; `path` None is Pillow's own font."""

    path: Path | None
    face: int = 0
    note: str = ""

    def at(self, size_px: int) -> Face:
        if self.path is None:
            return ImageFont.load_default(size_px)
        return ImageFont.truetype(str(self.path), size_px, index=self.face)


@cache
def printer_font() -> PrinterFont:
    """The best font of this machine."""
    if MICRO_HEI.exists():
        return PrinterFont(MICRO_HEI, MONOSPACED_FACE)
    listed = _chinese_fonts()
    if listed:
        return PrinterFont(listed[0], note=f"fonts-wqy-microhei is missing, drawn with {listed[0].name}")
    return PrinterFont(None, note="no Chinese font on this machine: apt install fonts-wqy-microhei")


def _chinese_fonts() -> list[Path]:
    if shutil.which("fc-list") is None:
        return []
    try:
        listing = subprocess.run(
            ["fc-list", ":lang=zh-cn", "file"], capture_output=True, text=True, timeout=FC_LIST_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return sorted(Path(line.split(":")[0]) for line in listing.stdout.splitlines() if line.strip())
