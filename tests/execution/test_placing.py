"""Which task goes to which of several lanes: the rule, as a pure function."""

from __future__ import annotations

import pytest

from graphflow.execution.placing import LOADING, Group, Holding, Spot, Times, choose
from graphflow.planning.needs import Needs, Weights

GIGABYTE = 10**9


def weights(**sizes: int) -> Weights:
    return frozenset((name, size * GIGABYTE) for name, size in sizes.items())


SAMPLE = Needs("sample", weights(unet=4), passes=20)
ENCODE = Needs("encode", weights(clip=1))
LOADING_SAMPLE = 4 * GIGABYTE / LOADING


def chosen(groups: list[Group], *spots: Spot, times: Times | None = None) -> tuple[str, int] | None:
    found = choose(groups, lambda needs: spots, times or Times())
    return None if found is None else (found[0].type, found[1])


HAS_IT, HAS_NOT = Spot(), Spot(missing=4 * GIGABYTE)
BUSY_WITH_IT = Spot(jobs=1, left=0.5, free=False)


@pytest.mark.parametrize(
    ("spots", "lane"),
    [
        ([HAS_NOT, HAS_IT], 1),
        ([HAS_NOT, HAS_NOT], 0),
        ([Spot(jobs=1, left=1.0), Spot()], 1),  # another run's job is there
        ([Spot(jobs=1), Spot()], 1),  # and nobody knows how long it takes
        ([Spot(jobs=1, left=9.0), HAS_NOT], 1),
        ([Spot(jobs=1, left=3.0), HAS_NOT], 0),
        ([Spot(free=False), HAS_NOT._replace(free=False)], None),
    ],
)
def test_a_task_goes_to_the_free_lane_where_it_is_done_first(spots: list[Spot], lane: int | None) -> None:
    assert chosen([Group(SAMPLE, 1)], *spots) == (None if lane is None else ("sample", lane))


@pytest.mark.parametrize(
    ("seconds", "waiting", "left", "pays"),
    [
        (None, 1, 0.0, True),  # twenty passes take longer than loading
        (0.1, 1, 0.5, False),
        (0.1, 30, 0.5, False),
        (0.1, 40, 0.5, True),
        (0.1, 1, 5.0, True),
        (10.0, 1, 0.0, True),
    ],
)
def test_a_model_is_loaded_once_more_where_the_work_that_waits_takes_longer(
    seconds: float | None, waiting: int, left: float, pays: bool
) -> None:
    times = Times()
    if seconds is not None:
        times.note(SAMPLE, seconds + LOADING_SAMPLE)
        times.note(SAMPLE, seconds)  # the least that was seen counts, in which nothing was loaded
    found = chosen([Group(SAMPLE, waiting)], HAS_NOT, BUSY_WITH_IT._replace(left=left), times=times)
    assert found == (("sample", 0) if pays else None)


def test_a_single_text_waits_for_the_lane_that_has_its_encoder_and_many_do_not() -> None:
    busy, free = Spot(free=False), Spot(missing=GIGABYTE)
    assert chosen([Group(ENCODE, 1)], busy, free) is None
    assert chosen([Group(ENCODE, 11)], busy, free) == ("encode", 1)


def test_work_that_waits_is_shared_by_the_lanes_that_have_the_weights() -> None:
    busy, free = Spot(free=False), Spot(missing=GIGABYTE)
    assert chosen([Group(ENCODE, 11)], busy, busy, free) is None


def test_what_had_better_wait_keeps_nothing_else_from_the_lane() -> None:
    def look(needs: Needs) -> list[Spot]:
        return [Spot(free=False), Spot(missing=GIGABYTE if needs is ENCODE else 0)]

    other = Needs("resize")
    assert choose([Group(ENCODE, 1), Group(other, 1)], look, Times()) == (other, 1)


def test_a_lane_holds_what_it_was_given_as_far_as_it_fits() -> None:
    now = 100.0
    holding = Holding(lambda nbytes: nbytes <= 5 * GIGABYTE, clock=lambda: now)
    a, b, c = weights(a=2), weights(b=2), weights(c=2)

    def missing() -> list[int]:
        return [holding.spot(each, free=True).missing // GIGABYTE for each in (a, b, c)]

    assert missing() == [2, 2, 2]
    holding.take(a, 1.0)
    holding.take(b, 2.0)
    assert missing() == [0, 0, 2]
    spot = holding.spot(a | c, free=True)
    assert (spot.missing, spot.jobs, spot.left) == (2 * GIGABYTE, 2, 3.0)
    holding.take(a, 0.0)
    holding.take(c, 0.0)
    assert missing() == [0, 2, 0], "b was not used for longest"
    now = 102.0
    assert holding.spot(a, free=True).left == 1.0
    holding.give_back(4)
    assert holding.spot(a, free=True) == Spot(0, 0, 0.0, True)
    holding.take(weights(large=9), 0.0)
    assert [*missing(), holding.spot(weights(large=9), free=True).missing] == [2, 2, 2, 0], "alone it stays"
