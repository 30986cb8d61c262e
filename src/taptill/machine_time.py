"""What the operating system says about its own time.

Comes in: nothing. Goes out: whether its clock is synchronised, whether a real-time clock with a battery set it, which
boot this is. Strategy: ask the kernel, not a time daemon: chrony, ntpd and systemd-timesyncd all report to it. What
cannot be read counts as no.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

STA_UNSYNC = 0x0040  # adjtimex(2): nobody disciplines the clock, or not for too long
TIME_ERROR = 5
RTC_APART_S_MAX = 300  # what a clock that did set the system's may have drifted from it since

_RTC_CLASS = Path("/sys/class/rtc")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class _Timex(ctypes.Structure):
    """`struct timex` as far as its status; the rest is filled in and not looked at."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_ubyte * 256),
    )


def is_synchronised() -> bool:
    """Some time daemon keeps the clock right, as far as the kernel knows."""
    try:
        said = _Timex(modes=0)
        state = int(ctypes.CDLL(None).adjtimex(ctypes.byref(said)))
    except (OSError, AttributeError):
        return False
    return 0 <= state < TIME_ERROR and not said.status & STA_UNSYNC


def is_set_from_rtc(wall_s: int, rtc_class: Path = _RTC_CLASS) -> bool:
    """A real-time clock set the system's at boot and still agrees with it: one with an empty battery does not, nor
    does a system clock that was set by hand since."""
    return any(_agrees(clock, wall_s) for clock in rtc_class.glob("rtc*"))


def _agrees(clock: Path, wall_s: int) -> bool:
    try:
        set_the_clock = (clock / "hctosys").read_text("ascii").strip() == "1"
        return set_the_clock and abs(int((clock / "since_epoch").read_text("ascii")) - wall_s) <= RTC_APART_S_MAX
    except (OSError, ValueError):
        return False


def boot_id() -> str:
    """Another one after every boot of the machine; empty where it is not told."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
