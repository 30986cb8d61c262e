"""How long a recorded card took to answer.

Comes in: the times of day at which a command went and its response came, where somebody wrote them down. Goes out:
microseconds.
Strategy: relay resistance is the one part of a kernel that looks at the time. A recording without times answers its
command in the time that the card itself announces, so that the protocol can be replayed at all.
"""

from __future__ import annotations

import re

_TIME_OF_DAY = re.compile(r"(\d{1,2}):(\d{2}):(\d{2}(?:\.\d{1,6})?)")
_DAY_US = 24 * 3600 * 1_000_000

# EMV Book C-2, 3.10: the unit is 100 us; 18 units are expected for the command, up to 24 for the response.
_RELAY_RESISTANCE = bytes.fromhex("80EA0000")
_UNIT_US, _COMMAND_UNITS, _RESPONSE_UNITS_MAX = 100, 18, 24


def elapsed_us(sent: object, received: object, command: bytes, response: bytes) -> int:
    """From `t_send` and `t_recv` (HH:MM:SS.mmm), else as announced; 0 for all other commands. Raises nothing."""
    times = [_of_day_us(each) for each in (sent, received)]
    if times[0] is not None and times[1] is not None:
        return (times[1] - times[0]) % _DAY_US
    return _announced_us(response) if command[:4] == _RELAY_RESISTANCE else 0


def _of_day_us(text: object) -> int | None:
    found = _TIME_OF_DAY.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    return (int(found[1]) * 3600 + int(found[2]) * 60) * 1_000_000 + round(float(found[3]) * 1_000_000)


def _announced_us(response: bytes) -> int:
    """80 0A, device entropy (4), minimum, maximum and estimated time (2 each): EMV Book C-2, 5.3.3."""
    if response[:2] != b"\x80\x0a" or len(response) < 12:
        return 0
    minimum, estimated = (int.from_bytes(response[at : at + 2], "big") for at in (6, 10))
    return _UNIT_US * (_COMMAND_UNITS + min(estimated, _RESPONSE_UNITS_MAX) + minimum)
