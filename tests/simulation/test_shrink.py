"""A failing day is shrunk to what makes it fail."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from taplab.simulation.day import Day, draw_day
from taplab.simulation.schedule import Fault, Kind, Point
from taplab.simulation.shrink import shrink


def _day_of(numbers: list[int]) -> Day:
    return Day(0, draw_day(0).visits, tuple(Fault(Point.STEP, number, Kind.POWER_CUT) for number in numbers))


@given(st.sets(st.integers(0, 60), min_size=2, max_size=30), st.data())
def test_only_the_faults_that_are_needed_together_are_left(numbers: set[int], data: st.DataObject) -> None:
    needed = set(data.draw(st.lists(st.sampled_from(sorted(numbers)), min_size=1, max_size=2)))
    day = _day_of(sorted(numbers))
    shortest = shrink(day, lambda candidate: needed <= {fault.nth for fault in candidate.faults}, runs_max=2_000)
    assert {fault.nth for fault in shortest.faults} == needed
    assert shortest.visits == ()


def test_a_day_that_needs_everything_stays_as_it_is() -> None:
    day = _day_of([1, 2, 3])
    assert shrink(day, lambda candidate: candidate == day) == day


def test_it_gives_up_after_so_many_runs() -> None:
    tried: list[Day] = []

    def fails(candidate: Day) -> bool:
        tried.append(candidate)
        return False

    shrink(_day_of(list(range(40))), fails, runs_max=7)
    assert len(tried) == 7
