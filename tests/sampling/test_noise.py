"""Noise depends on the seed and the place in the batch, and has the right statistics."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphflow.sampling.errors import SamplingError
from graphflow.sampling.noise import initial_noise, item_seed, step_noise
from tests.closeness import assert_close, close

seeds = st.integers(0, 2**64 - 1)
SIGMAS = torch.tensor([14.0, 7.0, 3.0, 1.0, 0.1, 0.0])


@given(seeds, st.integers(1, 4), st.integers(1, 4))
def test_the_noise_of_an_item_does_not_depend_on_the_size_of_the_batch(seed: int, small: int, more: int) -> None:
    few, many = initial_noise((small, 4, 3, 5), seed), initial_noise((small + more, 4, 3, 5), seed)
    assert torch.equal(few, many[:small])


@given(seeds)
def test_the_first_item_has_the_seed_itself_in_both_layouts(seed: int) -> None:
    shape = (1, 4, 3, 5)
    assert torch.equal(initial_noise(shape, seed), torch.randn(shape, generator=torch.Generator().manual_seed(seed)))
    assert torch.equal(initial_noise(shape, seed), initial_noise(shape, seed, "batch"))


def test_the_seed_of_a_later_item_is_fixed_for_ever() -> None:
    assert item_seed(42, 0) == 42
    assert item_seed(42, 1) == 14225201623453507685


@pytest.mark.parametrize("layout", ["per_sample", "batch"])
def test_batch_index_takes_the_noise_of_that_place(layout: str) -> None:
    whole = initial_noise((3, 4, 4, 4), 9, layout)  # type: ignore[arg-type]
    picked = initial_noise((2, 4, 4, 4), 9, layout, [2, 0])  # type: ignore[arg-type]
    assert_close(picked, whole[[2, 0]])


def test_settings_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(SamplingError, match="2 entries for a batch of 1"):
        initial_noise((1, 4, 4, 4), 9, batch_index=[0, 1])
    with pytest.raises(SamplingError, match="seed"):
        initial_noise((1, 4, 4, 4), -1)
    with pytest.raises(SamplingError, match="seed"):
        step_noise("gaussian", torch.zeros(1, 1, 2, 2), SIGMAS, 2**64)


@pytest.mark.parametrize("kind", ["gaussian", "brownian", "brownian_device"])
def test_step_noise_of_an_item_does_not_depend_on_the_size_of_the_batch(kind: str) -> None:
    def draws(batch: int) -> torch.Tensor:
        noise = step_noise(kind, torch.zeros(batch, 2, 4, 4), SIGMAS, 42)  # type: ignore[arg-type]
        return torch.stack([noise(SIGMAS[0], SIGMAS[1]), noise(SIGMAS[1], SIGMAS[2])])

    assert torch.equal(draws(1), draws(3)[:, :1])
    assert not close(draws(3)[:, 1], draws(3)[:, 2])


def test_the_first_independent_draw_is_the_initial_noise_again() -> None:
    x = torch.zeros(2, 2, 4, 4)
    first = step_noise("gaussian", x, SIGMAS, 42, "batch")(SIGMAS[0], SIGMAS[1])
    assert torch.equal(first, initial_noise(x.shape, 42, "batch"))


@pytest.mark.parametrize(("seed", "following"), [(42, 43), (2**64 - 1, 0)])
def test_independent_draws_may_start_beside_the_seed(seed: int, following: int) -> None:
    x, at = torch.zeros(2, 2, 4, 4), SIGMAS[:2]
    for layout in ("per_sample", "batch"):
        beside = step_noise("gaussian", x, SIGMAS, seed, layout, start="seed + 1")(*at)  # type: ignore[arg-type]
        assert torch.equal(beside, initial_noise(x.shape, following, layout))  # type: ignore[arg-type]
    for kind, device in (("brownian", "cpu"), ("brownian_device", "cuda"), ("gaussian", "cuda")):
        one, other = (step_noise(kind, x, SIGMAS, 42, "batch", device, start)(*at) for start in ("seed", "seed + 1"))  # type: ignore[arg-type]
        assert torch.equal(one, other), "CUDA devices and Brownian paths start from the seed"


def test_a_brownian_path_is_the_same_however_it_is_cut() -> None:
    noise = step_noise("brownian", torch.zeros(1, 4, 8, 8), SIGMAS, 42)

    def increment(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return noise(a, b) * (a - b).sqrt()

    parts = increment(SIGMAS[0], SIGMAS[1]) + increment(SIGMAS[1], SIGMAS[3])
    assert torch.allclose(increment(SIGMAS[0], SIGMAS[3]), parts, atol=1e-4)


def test_brownian_noise_is_standard_normal_up_to_the_rounded_ends_of_a_schedule() -> None:
    sigmas = torch.tensor([14.614641189, 3.0000017, 0.39774563908])  # the tree rounds to six decimals
    noise = step_noise("brownian", torch.zeros(1, 4, 64, 64), sigmas, 7)
    for a, b in ((0, 1), (1, 2)):
        drawn = noise(sigmas[a], sigmas[b])
        assert float(drawn.mean()) == pytest.approx(0, abs=0.03)
        assert float(drawn.std()) == pytest.approx(1, abs=0.03)


def test_brownian_noise_between_levels_closer_than_the_tree_tells_apart_is_nothing() -> None:
    sigmas = torch.tensor([0.0291683, 0.0291681, 0.0])
    noise = step_noise("brownian", torch.zeros(2, 4, 8, 8), sigmas, 7)
    assert torch.equal(noise(sigmas[0], sigmas[1]), torch.zeros(2, 4, 8, 8))


def test_a_sampler_registered_without_noise_gets_none() -> None:
    with pytest.raises(SamplingError):
        step_noise("none", torch.zeros(1, 1, 2, 2), SIGMAS, 1)(SIGMAS[0], SIGMAS[1])
