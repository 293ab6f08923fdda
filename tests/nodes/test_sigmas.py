"""Nodes that make and change schedules."""

from __future__ import annotations

import pytest
import torch

from graphflow.errors import InvalidInputError
from graphflow.nodes import (
    align_your_steps_sigmas,
    beta_sigmas,
    exponential_sigmas,
    extend_sigmas,
    flip_sigmas,
    karras_sigmas,
    laplace_sigmas,
    load_checkpoint,
    make_sigmas,
    percent_to_sigma,
    polyexponential_sigmas,
    set_first_sigma,
    set_prediction,
    sigmas_from_list,
    split_sigmas,
    split_sigmas_at_strength,
    turbo_sigmas,
    vp_sigmas,
)
from graphflow.values import Model, Sigmas
from tests.closeness import assert_close
from tests.nodes.fakes import Told

DOWN = Sigmas(values=torch.tensor([8.0, 4.0, 2.0, 1.0, 0.0]))


@pytest.fixture
def model(told: Told) -> Model:
    return load_checkpoint("full").model


def levels(sigmas: Sigmas) -> list[float]:
    result: list[float] = sigmas.values.tolist()
    return result


def test_every_schedule_falls_to_zero(model: Model) -> None:
    made = [
        make_sigmas(model, "karras", 6),
        karras_sigmas(6),
        exponential_sigmas(6),
        polyexponential_sigmas(6),
        vp_sigmas(6),
        beta_sigmas(model, 6),
        turbo_sigmas(model, 6),
        align_your_steps_sigmas("sdxl", 6),
    ]
    for sigmas in made:
        values = sigmas.values
        assert len(values) == 7
        assert values.dtype == torch.float32
        assert bool((values[1:] < values[:-1]).all())
        assert float(values[-1]) == 0.0
    laplace = laplace_sigmas(6)
    assert len(laplace.values) == 6
    assert float(laplace.values.min()) == pytest.approx(0.0291675, rel=1e-5)


def test_a_strength_takes_the_last_part(model: Model) -> None:
    half = make_sigmas(model, "normal", 4, strength=0.5)
    assert_close(half.values, make_sigmas(model, "normal", 8).values[-5:], pointwise=True)
    assert len(make_sigmas(model, "normal", 4, strength=0.0).values) == 0
    assert_close(turbo_sigmas(model, 1, 0.5).values, turbo_sigmas(model, 6).values[[5, 6]], pointwise=True)
    whole = align_your_steps_sigmas("sd", 10)
    assert_close(align_your_steps_sigmas("sd", 10, 0.3).values, whole.values[-4:], pointwise=True)
    assert len(align_your_steps_sigmas("sd", 10, 0.0).values) == 0


def test_the_model_says_which_levels_there_are(model: Model) -> None:
    zero_snr = set_prediction(model, "v_prediction", zero_snr=True)
    assert float(make_sigmas(zero_snr, "normal", 4).values[0]) > 1000
    assert float(make_sigmas(model, "normal", 4).values[0]) == pytest.approx(14.6146, abs=1e-3)


def test_schedules_are_cut_in_two() -> None:
    high, low = split_sigmas(DOWN, 1)
    assert (levels(high), levels(low)) == ([8.0, 4.0], [4.0, 2.0, 1.0, 0.0])
    high, low = split_sigmas_at_strength(DOWN, 0.5)
    assert (levels(high), levels(low)) == ([8.0, 4.0, 2.0], [2.0, 1.0, 0.0])
    assert levels(split_sigmas_at_strength(DOWN, 0.0).high) == levels(DOWN)


def test_a_flipped_schedule_does_not_begin_with_zero() -> None:
    assert levels(flip_sigmas(DOWN)) == pytest.approx([1e-4, 1.0, 2.0, 4.0, 8.0])
    assert levels(flip_sigmas(Sigmas(values=torch.tensor([3.0, 2.0])))) == [2.0, 3.0]
    assert levels(DOWN)[-1] == 0.0


def test_the_first_level_is_replaced() -> None:
    assert levels(set_first_sigma(DOWN, 9.0)) == [9.0, 4.0, 2.0, 1.0, 0.0]
    assert levels(DOWN)[0] == 8.0
    with pytest.raises(InvalidInputError, match="no levels"):
        set_first_sigma(Sigmas(values=torch.zeros(0)), 9.0)


def test_steps_between_two_levels_are_cut() -> None:
    assert levels(extend_sigmas(DOWN, 2, end_sigma=2.0)) == [8.0, 6.0, 4.0, 3.0, 2.0, 1.5, 1.0, 0.0]
    assert levels(extend_sigmas(DOWN, 2, start_sigma=4.0, end_sigma=4.0)) == [8.0, 4.0, 3.0, 2.0, 1.0, 0.0]
    cosine = levels(extend_sigmas(DOWN, 2, end_sigma=8.0, spacing="cosine"))[1]
    sine = levels(extend_sigmas(DOWN, 2, end_sigma=8.0, spacing="sine"))[1]
    assert cosine < 6.0 < sine
    assert cosine + sine == pytest.approx(12.0, rel=1e-5)


def test_levels_are_taken_as_written() -> None:
    assert levels(sigmas_from_list([3.0, 1.5, 0.0])) == [3.0, 1.5, 0.0]


def test_shares_of_sampling_as_levels(model: Model) -> None:
    assert percent_to_sigma(model, 0.0) > 1e8
    assert percent_to_sigma(model, 0.0, actual=True) == pytest.approx(14.6146, abs=1e-3)
    assert percent_to_sigma(model, 1.0) == 0.0
    assert percent_to_sigma(model, 1.0, actual=True) == pytest.approx(0.0292, abs=1e-3)
    assert 0.5 < percent_to_sigma(model, 0.5) < 3.0
