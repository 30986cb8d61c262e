"""Card data that must never be seen: it masks itself in every text form and can be wiped.

Strategy: the number lives in one bytearray that is overwritten as soon as the credential is made; Python may have
copied it meanwhile, so this narrows the window and does not close it.
"""

from __future__ import annotations


class SensitiveBytes:
    """A bytearray whose repr, str and format show nothing but its length."""

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes | bytearray) -> None:
        self._octets = bytearray(octets)

    def reveal(self) -> bytearray:
        """The bytes themselves, for the one module that seals them."""
        return self._octets

    def wipe(self) -> None:
        for index in range(len(self._octets)):
            self._octets[index] = 0

    def __len__(self) -> int:
        return len(self._octets)

    def __repr__(self) -> str:
        return f"<{len(self._octets)} bytes hidden>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> str:
        raise TypeError("sensitive bytes are not pickled")


def mask_pan(digits: str) -> str:
    """`6228000100001117` -> `622800******1117`: at most the first six and the last four."""
    if len(digits) < 12:
        return "*" * len(digits)
    return digits[:6] + "*" * (len(digits) - 10) + digits[-4:]
