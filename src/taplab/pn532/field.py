"""The radio field between the chip's antenna and the cards that lie in it.

Comes in: cards presented and removed, the field switched, frames to send. Goes out: the one frame that came back, and
how much time the air and the cards took (`take_spent_us`).
Strategy: every frame reaches every card of its modulation; cards that are not meant stay silent by their own state. Two
that speak at once are heard as nothing. A card hears nothing in the guard time it asked for (SFGT).
"""

from __future__ import annotations

from enum import Enum

from taplab.pn532.airtime import (
    ATQB_OCTETS,
    CARD_RESET_US,
    EMPTY_POLL_US,
    FIELD_ON_GUARD_US,
    REQB_OCTETS,
    Timing,
    air_us,
    anticollision_us,
)
from taplab.pn532.held_cards import MemoryCard, Phone, TypeBCard
from taplab.pn532.picc import ContactlessCard, Picc
from taplab.pn532.picc_b import PiccB
from taplab.pn532.picc_blocks import AirAnswer

HeldCard = ContactlessCard | TypeBCard


class Modulation(Enum):
    """Of ISO/IEC 14443-2; a card understands one of the two."""

    A = "A"
    B = "B"


class RfField:
    """Time is only added up here; whoever asks waits it out."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._piccs: list[Picc | PiccB] = []
        self._deaf_until_us: dict[Picc | PiccB, int] = {}
        self._spent_us = 0
        self._off_since_us = -CARD_RESET_US
        self.now_us = 0  # set by the chip before each command
        self.on = False
        self.frames_to_lose = 0  # of those the reader sends from now on

    @property
    def cards(self) -> list[HeldCard]:
        return [picc.card for picc in self._piccs]

    def present(self, card: HeldCard) -> None:
        picc = _picc_of(card)
        picc.power(self.on)
        self._piccs.append(picc)

    def remove(self, card: HeldCard | None) -> None:
        """One card, or all of them. A card that is not there is not missed."""
        for picc in [picc for picc in self._piccs if card is None or picc.card is card]:
            picc.power(False)
            self._piccs.remove(picc)
            self._deaf_until_us.pop(picc, None)

    def switch(self, on: bool) -> None:
        """A field that was off for less than a card needs to notice changes nothing for the cards in it."""
        if on and not self.on:
            self._spend_air(FIELD_ON_GUARD_US)
            noticed = self.now_us - self._off_since_us >= CARD_RESET_US
            for picc in self._piccs:
                if noticed:
                    picc.power(False)
                    self._deaf_until_us.pop(picc, None)
                picc.power(True)
        elif self.on and not on:
            self._off_since_us = self.now_us
        self.on = on

    def request(self, wake: bool = False) -> list[Picc]:
        """The cards that answer REQA (WUPA with `wake`), told apart by anticollision but none selected yet."""
        answering = [picc for picc in self._piccs if isinstance(picc, Picc) and picc.request(wake)]
        if not answering:
            self._spend_air(EMPTY_POLL_US)
        return answering

    def request_b(self, family: int, wake: bool = False) -> list[PiccB]:
        """The cards that answer REQB (WUPB with `wake`), each in a slot of its own."""
        answering = [picc for picc in self._piccs if isinstance(picc, PiccB) and picc.request(family, wake)]
        self._spend_air(air_us(REQB_OCTETS) + air_us(ATQB_OCTETS) if answering else EMPTY_POLL_US)
        return answering

    def select(self, chosen: Picc) -> None:
        self._spend_air(anticollision_us(len(chosen.card.uid)))
        for picc in self._piccs:
            if isinstance(picc, Picc):
                picc.select(chosen.card.uid)

    def transceive(self, frame: bytes, timeout_us: int, modulation: Modulation = Modulation.A) -> bytes | None:
        """What comes back within the time; None is silence or a collision."""
        self._spend_air(air_us(len(frame)))
        answers = []
        is_lost, self.frames_to_lose = self.frames_to_lose > 0, max(0, self.frames_to_lose - 1)
        for picc in [] if is_lost else self._hearing(modulation):
            if (answer := picc.receive(frame)) is not None:
                answers.append(answer)
                self._note_guard(picc, answer)
        if len(answers) != 1 or answers[0].compute_us > timeout_us:
            self._spend_air(timeout_us)
            return None
        if self._timing.compute:
            self._spent_us += answers[0].compute_us
        self._spend_air(air_us(len(answers[0].octets)))
        return answers[0].octets

    def _hearing(self, modulation: Modulation) -> list[Picc | PiccB]:
        kind = Picc if modulation is Modulation.A else PiccB
        now_us = self._time_us()
        return [
            picc for picc in self._piccs if isinstance(picc, kind) and self._deaf_until_us.get(picc, now_us) <= now_us
        ]

    def _note_guard(self, picc: Picc | PiccB, answer: AirAnswer) -> None:
        if self._timing.compute:
            self._deaf_until_us[picc] = self._time_us() + answer.guard_us

    def _time_us(self) -> int:
        return self.now_us + self._spent_us

    def take_spent_us(self) -> int:
        """The time used since the last asking."""
        spent, self._spent_us = self._spent_us, 0
        return spent

    def _spend_air(self, duration_us: int) -> None:
        if self._timing.air:
            self._spent_us += duration_us


def _picc_of(card: HeldCard) -> Picc | PiccB:
    if isinstance(card, TypeBCard):
        return PiccB(card)
    return Picc(card, card.sak) if isinstance(card, Phone | MemoryCard) else Picc(card)
