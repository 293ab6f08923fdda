"""The denoising loop: start, end, kept parts, guidance, and what it tells while it runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from graphflow.sampling.errors import SamplingError
from graphflow.sampling.guidance import AwayFromVariation, ClassifierFree, Guider
from graphflow.sampling.guiders import DualClassifierFree, PerpendicularNegative
from graphflow.sampling.latent_space import LatentSpace
from graphflow.sampling.loop import Sampled, cut_sigmas, sample
from graphflow.sampling.modifiers import Interval
from graphflow.sampling.names import SAMPLER_NAMES
from graphflow.sampling.noise import initial_noise
from graphflow.sampling.prediction import ModelSampling
from graphflow.sampling.samplers import SAMPLERS
from graphflow.sampling.schedules import make_sigmas
from tests.closeness import assert_close
from tests.sampling.toy import DISCRETE, FLOW, RecordingModel, conditioning, entry

SHAPE = (2, 4, 8, 8)
SPACE = LatentSpace(scale=0.5, shift=0.1)


def run(model: RecordingModel | None = None, sampling: ModelSampling = DISCRETE, **changes: Any) -> Sampled:
    settings: dict[str, Any] = {
        "positive": conditioning(entry(0.3)),
        "negative": conditioning(entry(-0.3)),
        "guider": ClassifierFree(scale=3.0),
        "sampler": "euler",
        "sigmas": make_sigmas("normal", sampling, 6),
        "latent": torch.zeros(SHAPE),
        "noise": initial_noise(SHAPE, 7),
        "seed": 7,
        "latent_space": SPACE,
    }
    return sample(model or RecordingModel(), sampling, **{**settings, **changes})


def picture() -> Tensor:
    return torch.linspace(-2, 2, 512).reshape(SHAPE)


@pytest.mark.parametrize("sampling", [DISCRETE, FLOW], ids=["discrete", "flow"])
@pytest.mark.parametrize("latent", [torch.zeros(SHAPE), picture()], ids=["empty", "picture"])
def test_two_stages_with_leftover_noise_equal_one(sampling: ModelSampling, latent: Tensor) -> None:
    sigmas = make_sigmas("normal", sampling, 6)
    whole = run(sampling=sampling, latent=latent).latent
    first = run(sampling=sampling, latent=latent, sigmas=cut_sigmas(sigmas, end_step=3)).latent
    second = run(sampling=sampling, latent=first, noise=None, sigmas=cut_sigmas(sigmas, start_step=3)).latent
    assert torch.allclose(second, whole, atol=2e-4)


def test_a_part_of_a_schedule_may_be_forced_down_to_zero() -> None:
    sigmas = make_sigmas("normal", DISCRETE, 6)
    assert torch.equal(cut_sigmas(sigmas, start_step=2, end_step=4), sigmas[2:5])
    forced = cut_sigmas(sigmas, end_step=4, force_full_denoise=True)
    assert forced.tolist() == [*sigmas[:4].tolist(), 0.0]
    assert torch.equal(cut_sigmas(sigmas, end_step=100), sigmas)
    assert float(sigmas[4]) > 0.0


def test_without_steps_the_latent_stays() -> None:
    assert torch.equal(run(latent=picture(), sigmas=torch.zeros(1)).latent, picture())


def test_without_noise_and_at_the_lowest_level_a_picture_passes_nearly_unchanged() -> None:
    got = run(latent=picture(), noise=None, sigmas=torch.tensor([0.03, 0.0])).latent
    assert torch.allclose(got, picture(), atol=0.15)


@pytest.mark.parametrize("sampling", [DISCRETE, FLOW], ids=["discrete", "flow"])
def test_the_kept_part_of_a_latent_stays_and_the_rest_is_made_anew(sampling: ModelSampling) -> None:
    mask = torch.zeros(1, 64, 64)
    mask[:, :, 32:] = 1.0
    for name in SAMPLER_NAMES:
        if SAMPLERS[name].run is SAMPLERS[name.removesuffix("_gpu")].run and name.endswith("_gpu"):
            continue
        sigmas = make_sigmas("normal", sampling, 6, sampler=name)
        got = run(sampling=sampling, latent=picture(), noise_mask=mask, sampler=name, sigmas=sigmas).denoised
        assert torch.allclose(got[..., :3], picture()[..., :3], atol=1e-4), name
        assert not torch.allclose(got[..., 5:], picture()[..., 5:], atol=0.1), name


@pytest.mark.parametrize(("sampler", "seed"), [("euler", 7), ("ddim", 8)])
def test_what_a_mask_keeps_carries_the_noise_of_the_start_or_of_the_sampler(sampler: str, seed: int) -> None:
    seen: list[Tensor] = []

    class Watching(RecordingModel):
        def __call__(self, x: Tensor, *rest: Any, **more: Any) -> Tensor:
            seen.append(x)
            return super().__call__(x, *rest, **more)

    run(Watching(), sampler=sampler, latent=picture(), noise_mask=torch.zeros(1, 8, 8), latent_space=LatentSpace())
    kept = picture() + DISCRETE.sigma_max * initial_noise(SHAPE, seed)
    assert_close(seen[0][:2], DISCRETE.scale_input(kept, DISCRETE.sigma_max))


@pytest.mark.parametrize("masks", [2, 3, 4])
@pytest.mark.parametrize("items", [1, 3, 5])
def test_masks_of_another_number_begin_again_or_are_left_out(masks: int, items: int) -> None:
    # Mask i keeps everything where i is even, and nothing where it is odd.
    noise_mask = torch.stack([torch.full((8, 8), float(i % 2)) for i in range(masks)])
    latent = torch.linspace(-2, 2, items * 256).reshape(items, 4, 8, 8)
    noise = initial_noise(latent.shape, 7)
    got = run(latent=latent, noise=noise, noise_mask=noise_mask).latent
    for i in range(items):
        assert torch.allclose(got[i], latent[i], atol=1e-4) is (i % masks % 2 == 0)


def test_a_prompts_masks_of_another_number_begin_again() -> None:
    mask = torch.stack([torch.zeros(8, 8), torch.ones(8, 8)])
    told = conditioning(replace(entry(5.0), mask=mask), entry(0.3))
    many = run(positive=told, latent=torch.zeros(3, 4, 8, 8), noise=torch.zeros(3, 4, 8, 8)).latent
    assert torch.allclose(many[0], many[2])
    assert not torch.allclose(many[0], many[1], atol=0.1)
    one = run(positive=told, latent=torch.zeros(1, 4, 8, 8), noise=torch.zeros(1, 4, 8, 8)).latent
    assert torch.allclose(one[0], many[0], atol=1e-5)


@pytest.mark.parametrize("sampling", [DISCRETE, FLOW], ids=["discrete", "flow"])
def test_a_level_that_stands_there_twice_is_one_step(sampling: ModelSampling) -> None:
    sigmas = make_sigmas("normal", sampling, 5)
    twice = sigmas.repeat_interleave(2)
    for name in SAMPLER_NAMES:
        if name == "lcm":  # makes noise anew and predicts again
            continue
        once = run(sampling=sampling, sampler=name, sigmas=sigmas, latent=picture()).latent
        again = run(sampling=sampling, sampler=name, sigmas=twice, latent=picture()).latent
        assert torch.equal(once, again), name
    assert torch.equal(run(sigmas=torch.ones(4), latent=picture()).latent, picture())
    seen: list[int] = []
    run(sampler="lcm", sigmas=torch.tensor([5.0, 5.0, 0.0]), on_step=lambda index, *_: seen.append(index))
    assert seen == [0, 1]


@pytest.mark.parametrize("sampling", [DISCRETE, FLOW], ids=["discrete", "flow"])
@pytest.mark.parametrize("steps", [1, 2, 4, 20])
def test_every_sampler_tells_how_far_it_is(sampling: ModelSampling, steps: int) -> None:
    for name in SAMPLER_NAMES:
        told: list[tuple[int, int]] = []
        sigmas = make_sigmas("karras", sampling, steps, sampler=name)
        run(sampling=sampling, sampler=name, sigmas=sigmas, on_step=lambda i, n, *_, told=told: told.append((i, n)))
        done = [index for index, _ in told]
        assert {total for _, total in told} <= {steps}, name
        if name not in ("dpm_fast", "dpm_adaptive"):  # which choose their own steps
            assert done == list(range(steps)), name
        assert done == sorted(done), name
        assert not done or (done[0] == 0 and max(steps - 4, 0) <= done[-1] < steps), name


def test_noise_of_another_shape_is_refused() -> None:
    with pytest.raises(SamplingError, match="does not fit the latent"):
        run(noise=torch.zeros(1, 4, 8, 8))


def test_an_item_does_not_depend_on_the_others_of_its_batch() -> None:
    for name in ("euler_ancestral", "dpmpp_2m_sde"):
        both = run(sampler=name).latent
        one = run(sampler=name, latent=torch.zeros(1, 4, 8, 8), noise=initial_noise((1, 4, 8, 8), 7)).latent
        assert torch.allclose(both[:1], one, atol=1e-5)


def test_the_negative_side_is_skipped_at_scale_one_only() -> None:
    plain, guided, forced = RecordingModel(), RecordingModel(), RecordingModel()
    run(plain, guider=ClassifierFree(scale=1.0))
    run(guided, guider=ClassifierFree(scale=1.01))
    run(forced, guider=ClassifierFree(scale=1.0), sampler="euler_cfg_pp")
    assert {len(entries) for _, entries, _ in plain.calls} == {1}
    assert {len(entries) for _, entries, _ in guided.calls} == {2}
    assert {len(entries) for _, entries, _ in forced.calls} == {2}


def test_without_a_negative_side_guidance_changes_nothing() -> None:
    assert torch.allclose(run(negative=None).latent, run(guider=ClassifierFree(scale=1.0)).latent, atol=1e-5)


def test_every_step_is_reported_and_may_stop_the_run() -> None:
    seen: list[tuple[int, int]] = []

    class StoppedError(Exception):
        pass

    def on_step(index: int, total: int, x: Tensor, denoised: Tensor) -> None:
        assert x.shape == denoised.shape == SHAPE
        seen.append((index, total))
        if index == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        run(on_step=on_step)
    assert seen == [(0, 6), (1, 6), (2, 6)]


def test_results_are_ordinary_tensors_and_inputs_stay_as_they_were() -> None:
    latent, noise = picture(), initial_noise(SHAPE, 7)
    result = run(latent=latent, noise=noise)
    result.latent.add_(1.0)  # an inference tensor would refuse
    assert torch.equal(latent, picture())
    assert torch.equal(noise, initial_noise(SHAPE, 7))


def test_the_space_of_the_model_is_entered_and_left() -> None:
    assert_close(SPACE.leave(SPACE.enter(picture())), picture())
    assert torch.equal(SPACE.enter(torch.zeros(2)), torch.zeros(2))


def test_a_variation_reaches_the_network_by_name() -> None:
    model = RecordingModel()
    away = AwayFromVariation(variation="weak", scale=2.0)
    run(model, guider=ClassifierFree(scale=1.0), modifiers=[away])
    assert [variation for _, _, variation in model.calls] == [None, "weak"] * 6


@pytest.mark.parametrize(
    ("guider", "others"),
    [
        (ClassifierFree(scale=3.0), {}),
        (DualClassifierFree(scale=3.0), {"middle": conditioning(entry(0.1))}),
        (PerpendicularNegative(scale=3.0), {"empty": conditioning(entry(0.0))}),
    ],
)
def test_outside_its_interval_guidance_is_left_out_and_costs_nothing(guider: Guider, others: Any) -> None:
    model = RecordingModel()
    unguided = run(guider=ClassifierFree(scale=1.0))
    never = run(model, guider=guider, others=others, modifiers=[Interval(start=0.0, end=0.0)])
    assert torch.allclose(never.latent, unguided.latent, atol=1e-5)
    assert {len(entries) for _, entries, _ in model.calls} == {1}
    late = RecordingModel()
    run(late, guider=guider, others=others, modifiers=[Interval(start=0.5)])
    assert [len(entries) > 1 for _, entries, _ in late.calls] == [False] * 3 + [True] * 3
