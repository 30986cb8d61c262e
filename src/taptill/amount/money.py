"""Money as integer minor units with its currency.

Comes in: an integer count of minor units (fen), or a decimal text. Goes out: `Money`, or its text.
Strategy: no float ever; two currencies never mix.
"""

from __future__ import annotations

from dataclasses import dataclass

from taptill.errors import TapTillError, Who

AMOUNT_MINOR_MAX = 999_999_999_999  # DE4 and 9F02 hold twelve digits


class AmountError(TapTillError):
    """An amount that is not a positive whole number of minor units in the right currency."""

    code = 1001
    who = Who.MERCHANT


@dataclass(frozen=True, slots=True)
class Currency:
    """ISO 4217: three-digit number, letters, minor digits, and the sign shown to people."""

    number: str
    letters: str
    minor_digits: int
    sign: str


CNY = Currency("156", "CNY", 2, "¥")
CURRENCIES = {CNY.letters: CNY, CNY.number: CNY}


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """`minor` fen of `currency`; raises AmountError outside 0..999,999,999,999."""

    minor: int
    currency: Currency = CNY

    def __post_init__(self) -> None:
        if isinstance(self.minor, bool) or not isinstance(self.minor, int):
            raise AmountError(f"{self.minor!r} is not a whole number of minor units", where="amount")
        if not 0 <= self.minor <= AMOUNT_MINOR_MAX:
            raise AmountError(f"{self.minor} is outside 0..{AMOUNT_MINOR_MAX}", where="amount")

    def __add__(self, other: Money) -> Money:
        self._same_currency(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same_currency(other)
        return Money(self.minor - other.minor, self.currency)

    def _same_currency(self, other: Money) -> None:
        if other.currency != self.currency:
            raise AmountError(f"{other.currency.letters} does not mix with {self.currency.letters}", where="amount")

    def __str__(self) -> str:
        digits = self.currency.minor_digits
        whole, part = divmod(self.minor, 10**digits)
        return f"{self.currency.sign}{whole}.{part:0{digits}d}" if digits else f"{self.currency.sign}{whole}"


def parse_money(text: str, currency: Currency = CNY) -> Money:
    """`"12.50"` -> 1250 fen. Raises AmountError for signs, exponents, or more decimals than the currency has."""
    whole, point, part = text.strip().partition(".")
    digits = currency.minor_digits
    if not (whole.isascii() and whole.isdigit()) or (point and not (part.isascii() and part.isdigit())):
        raise AmountError(f"{text!r} is not an amount", where="amount", next_step="write it like 12.50")
    if len(part) > digits:
        raise AmountError(f"{text!r} has more than {digits} decimals", where="amount")
    return Money(int(whole) * 10**digits + int(part.ljust(digits, "0") or "0"), currency)
