"""Runtime hooks on tiny UNets: what they compute, and that nothing of them is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphflow.errors import InvalidInputError
from graphflow.families.latent_diffusion.hooks.deep_shrink import deep_shrink
from graphflow.families.latent_diffusion.hooks.freeu import scale_low_frequencies
from graphflow.families.latent_diffusion.hooks.hypertile import join, split, tile_counts
from graphflow.families.latent_diffusion.hooks.self_attention import AttentionMap, AwayFromBlurred, blurred
from graphflow.families.latent_diffusion.hooks.tokens import kept_places, merge
from graphflow.loading.devices import place
from graphflow.loading.manager import ModelManager
from graphflow.sampling.denoise import Request, denoise
from graphflow.sampling.guidance import ClassifierFree, Predictions
from graphflow.sampling.prediction import ModelSampling
from graphflow.sampling.schedules import make_sigmas
from graphflow.store.tapes import Tape
from graphflow.values import Conditioning, ConditioningEntry, Control, ControlNet, Latent, Model, Noise
from graphflow.values.network_hooks import (
    DeepShrink,
    FreeU,
    HyperTile,
    MergeTokens,
    PerturbedAttention,
    SelfAttentionGuidance,
    SkipLayers,
)
from tests.closeness import assert_close, close
from tests.models.tiny import sd_parts
from tests.models.tiny_manager import SD, SDXL, make_manager, model, running

NEUTRAL = FreeU(b1=1.0, b2=1.0, s1=1.0, s2=1.0)
SHRINK = DeepShrink(
    block=1, factor=2.0, start=0.0, end=0.5, after_skip=True, downscale_method="bicubic", upscale_method="bilinear"
)
STRONG: dict[str, Any] = {
    "freeu v1": FreeU(b1=1.3, b2=1.4, s1=0.5, s2=0.2, method="v1"),
    "freeu v2": FreeU(b1=1.3, b2=1.4, s1=0.5, s2=0.2),
    "deep shrink": SHRINK,
    "hypertile": HyperTile(tile=4, swap=2, max_depth=1, scale_depth=False),
    "merge tokens": MergeTokens(ratio=0.5),
}


@cache
def shared() -> ModelManager:
    """One manager for all tests here."""
    return make_manager()


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[None]:
    with running(shared()):
        yield


def recipe() -> Model:
    return model(shared(), SD)


def inputs(size: tuple[int, int] = (8, 12), width: int = 32) -> tuple[Tensor, Tensor, list[ConditioningEntry]]:
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(2, 4, *size, generator=generator)
    text = torch.randn(1, 77, width, generator=generator)
    return x, torch.tensor([400, 400]), [ConditioningEntry(embedding=text)]


def predict(loaded: Any, sigma: float = 14.0, size: tuple[int, int] = (8, 12), **more: Any) -> Tensor:
    x, time, entries = inputs(size)
    output: Tensor = loaded.predict(x, time, entries, sigma=torch.tensor(sigma), **more)
    return output


@pytest.fixture(scope="module")
def plain() -> Tensor:
    with recipe().use() as loaded:
        return predict(loaded)


@pytest.mark.parametrize("hook", STRONG.values(), ids=STRONG)
def test_a_hook_changes_the_network_and_leaves_nothing_behind(plain: Tensor, hook: Any) -> None:
    manager = make_manager()
    with running(manager):
        with model(manager, SD).hooked(hook).use() as loaded:
            changed = predict(loaded)
            again = predict(loaded) if not isinstance(hook, HyperTile | MergeTokens) else changed
        with model(manager, SD).use() as loaded:
            after = predict(loaded)
        with model(manager, SD).hooked(hook).use() as loaded:
            repeated = predict(loaded)
    assert changed.shape == plain.shape
    assert torch.isfinite(changed).all()
    assert not torch.allclose(changed, plain, atol=1e-3)
    assert torch.equal(changed, again)
    assert torch.equal(changed, repeated), "draws start from the same seed at each use"
    assert_close(after, plain)


@pytest.mark.parametrize(
    "hook",
    [
        NEUTRAL,
        FreeU(b1=1.0, b2=1.0, s1=1.0, s2=1.0, method="v1"),
        HyperTile(tile=64, swap=1, max_depth=1, scale_depth=True),
        MergeTokens(ratio=0.0),
    ],
    ids=["freeu v2", "freeu v1", "hypertile", "merge tokens"],
)
def test_hooks_at_rest_change_nothing(plain: Tensor, hook: Any) -> None:
    with recipe().hooked(hook).use() as loaded:
        torch.testing.assert_close(predict(loaded), plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("hook", [*STRONG.values(), SelfAttentionGuidance()], ids=[*STRONG, "self-attention guidance"])
def test_what_a_hook_draws_and_sees_goes_on_where_a_run_was_stopped(hook: Any, tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    def run(tape: Tape | None, stop: int) -> tuple[Tensor, int]:
        def on_step(done: int, total: int, x: Tensor, denoised: Tensor) -> None:
            if done == stop:
                raise StoppedError

        generator = torch.Generator().manual_seed(1)
        sides = {
            name: Conditioning(entries=(ConditioningEntry(embedding=torch.randn(1, 77, 32, generator=generator)),))
            for name in ("positive", "negative")
        }
        asked = 0
        with recipe().hooked(hook).use() as loaded:
            original = loaded.module.forward

            def counted(*args: Any, **kwargs: Any) -> Any:
                nonlocal asked
                asked += 1
                return original(*args, **kwargs)

            loaded.module.forward = counted
            try:
                latent, _ = denoise(
                    Request(
                        denoiser=loaded,
                        family="",
                        sides=sides,
                        guider=ClassifierFree(scale=3.0),
                        sampler="euler",
                        sigmas=make_sigmas("normal", loaded.model_sampling, 4),
                        latent=Latent(samples=torch.zeros(1, 4, 8, 12)),
                        noise=Noise(seed=7),
                        on_step=on_step,
                        notice=lambda message: None,
                        tape=tape,
                    )
                )
            finally:
                del loaded.module.forward
        return latent.samples, asked

    wanted, whole = run(None, -1)
    tape = Tape(str(tmp_path / "tape"), 1 << 24)
    with pytest.raises(StoppedError):
        run(tape, 2)
    tape.close()
    found, rest = run(Tape(str(tmp_path / "tape"), 1 << 24), -1)
    assert torch.equal(found, wanted) and rest < whole


@settings(max_examples=8, deadline=None)
@given(st.permutations([*STRONG.values(), PerturbedAttention(), SelfAttentionGuidance()]), st.integers(1, 7))
def test_any_hooks_go_together_in_any_order(plain: Tensor, hooks: list[Any], count: int) -> None:
    manager = shared()
    with running(manager):
        with model(manager, SD).hooked(*hooks[:count]).use() as loaded:
            for variation in (None, *loaded.variations):
                assert torch.isfinite(predict(loaded, variation=variation)).all()
        with model(manager, SD).use() as loaded:
            assert torch.equal(predict(loaded), plain)


@pytest.mark.parametrize("hook", [*STRONG.values(), PerturbedAttention(), SelfAttentionGuidance()])
def test_half_precision_runs(hook: Any) -> None:
    manager = make_manager(placement=place("cpu", "bfloat16"))
    with running(manager), model(manager, SD).hooked(hook).use() as loaded:
        assert loaded.dtype == torch.bfloat16
        for variation in (None, *loaded.variations):
            assert torch.isfinite(predict(loaded, variation=variation)).all()


def test_hooks_that_find_nothing_to_do_say_so() -> None:
    manager = make_manager()
    cases = (
        (MergeTokens(ratio=0.5), "merge_tokens"),
        (HyperTile(tile=4, swap=1, max_depth=0, scale_depth=False), "hypertile"),
    )
    for hook, name in cases:
        with running(manager) as told, model(manager, SDXL).hooked(hook).use():
            assert [notice.split()[0] for notice in told.notices] == [name]
        with running(manager) as told, model(manager, SD).hooked(hook).use():
            assert not told.notices


# ------------------------------------------------------------------------------------------------ FreeU


@given(st.integers(1, 9), st.integers(1, 9), st.floats(0, 2))
def test_low_frequencies_are_scaled_as_in_diffusers(height: int, width: int, factor: float) -> None:
    from diffusers.utils.torch_utils import fourier_filter

    x = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(height * 10 + width))
    found = scale_low_frequencies(x, factor)
    torch.testing.assert_close(found, fourier_filter(x, threshold=1, scale=factor))
    torch.testing.assert_close(scale_low_frequencies(x, 1.0), x)


# ------------------------------------------------------------------------------------ attention guidance


def test_a_skipped_layer_hands_on_what_it_gets() -> None:
    hook = SkipLayers(layers=("mid_block",), scale=2.0, start=0.1, end=0.9)
    with recipe().hooked(hook).use() as loaded:
        (name,) = loaded.variations
        plain = predict(loaded)
        found = predict(loaded, variation=name)
        assert torch.equal(predict(loaded), plain)
        (modifier,) = loaded.guidance
        assert (modifier.scale, modifier.start, modifier.end) == (2.0, 0.1, 0.9)
    assert not close(found, plain)
    with running(shared()), recipe().use() as other:
        other.module.mid_block.attentions[0], kept = HandOn(), other.module.mid_block.attentions[0]
        try:
            assert_close(predict(other), found)
        finally:
            other.module.mid_block.attentions[0] = kept


class HandOn(torch.nn.Module):
    def forward(self, hidden_states: Tensor, **_: Any) -> tuple[Tensor]:
        return (hidden_states,)


@pytest.mark.parametrize("layers", [("mid_block.attentions.1",), ("up_blocks.9",), ("mid",)])
def test_a_layer_that_is_not_there_is_named_with_those_that_are(layers: tuple[str, ...]) -> None:
    hook = SkipLayers(layers=layers, scale=2.0, start=0.0, end=1.0)
    with pytest.raises(InvalidInputError, match="no transformer") as caught, recipe().hooked(hook).use():
        pass
    assert "mid_block.attentions.0" in (caught.value.advice or "")


def test_perturbed_attention_is_that_of_diffusers() -> None:
    from diffusers.models.attention_processor import PAGIdentitySelfAttnProcessor2_0

    with recipe().hooked(PerturbedAttention(scale=2.0)).use() as loaded:
        found = predict(loaded, variation="perturbed_attention")
        assert torch.equal(predict(loaded, variation="perturbed_attention"), found)
        (modifier,) = loaded.guidance
        assert modifier.scale == 2.0
        x, _, entries = inputs()
        unet = sd_parts()["unet"].eval()
        unet.load_state_dict(loaded.module.state_dict())
    for layer_name, module in unet.mid_block.named_modules():
        if layer_name.endswith("attn1"):
            module.processor = PAGIdentitySelfAttnProcessor2_0()
    # Diffusers' processor takes half of the batch as it is and perturbs the other half.
    with torch.no_grad():
        text = entries[0].embedding.expand(4, -1, -1)
        wanted = unet(torch.cat([x, x]), 400, encoder_hidden_states=text).sample[2:]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_the_attention_map_is_that_of_the_layer() -> None:
    seen = AttentionMap()
    with recipe().use() as loaded:
        loaded.variations["map"] = seen.watching
        watched = predict(loaded, variation="map")
        assert_close(watched, predict(loaded))
    assert seen.total is not None
    assert seen.total.shape[0] == 2 and seen.total.ndim == 3
    # The attention that all places give sums to one each.
    torch.testing.assert_close(seen.total.mean((1, 2)), torch.ones(2))


@given(st.integers(5, 12), st.integers(5, 12), st.floats(0.1, 5))
def test_blur_is_the_gaussian_of_torchvision_s_formula(height: int, width: int, sigma: float) -> None:
    x = torch.randn(1, 2, height, width, generator=torch.Generator().manual_seed(height * 20 + width))
    found = blurred(x, sigma)
    torch.testing.assert_close(blurred(torch.ones_like(x), sigma), torch.ones_like(x))
    impulse = torch.zeros(1, 1, 17, 17)
    impulse[..., 8, 8] = 1.0
    kernel = blurred(impulse, sigma)[0, 0]
    expected = torch.exp(-0.5 * (torch.arange(-4.0, 5.0) / sigma) ** 2)
    torch.testing.assert_close(kernel[8, 4:13] / kernel[8, 8], expected, atol=1e-5, rtol=1e-4)
    assert found.abs().max() <= x.abs().max() + 1e-5
    assert torch.equal(blurred(x, 0.0), x)


def test_self_attention_guidance_moves_away_from_the_blurred_prediction() -> None:
    asked: list[tuple[str, bool, str | None]] = []
    seen = AttentionMap()
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    uncond = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))

    def evaluate(
        side: str = "positive", *, x: Tensor | None = None, sigma: Any = None, variation: str | None = None
    ) -> Tensor:
        asked.append((side, x is not None, variation))
        if variation is not None:
            seen.total = torch.tensor([[[2.0, 0.5], [0.5, 0.5]]])
            return uncond
        received.append(x)
        return torch.zeros(1, 4, 8, 8)

    received: list[Tensor | None] = []
    predictions = Predictions(
        x=x,
        sigma=torch.tensor(2.0),
        cond=uncond + 1,
        uncond=uncond,
        scale=3.0,
        levels=ModelSampling.stable_diffusion(),
        evaluate=evaluate,
    )
    guidance = AwayFromBlurred(seen, variation="map", scale=0.5, blur_sigma=2.0)
    guided = torch.ones(1, 4, 8, 8)
    found = guidance.after(predictions, guided)
    degraded = uncond.clone()
    degraded[..., :4, :4] = blurred(uncond, 2.0)[..., :4, :4]
    assert asked == [("negative", False, "map"), ("negative", True, None)]
    assert received[0] is not None
    torch.testing.assert_close(received[0], degraded + x - uncond)
    torch.testing.assert_close(found, guided + 0.5 * degraded)
    assert guidance.needs_uncond
    small = torch.ones(1, 4, 4, 8)
    assert guidance.after(predictions, small) is small


def test_self_attention_guidance_is_put_on_the_model() -> None:
    with recipe().hooked(SelfAttentionGuidance(scale=0.7)).use() as loaded:
        (modifier,) = loaded.guidance
        assert modifier.scale == 0.7
        assert modifier.variation in loaded.variations


# ------------------------------------------------------------------------------------------ deep shrink


def test_deep_shrink_acts_in_its_share_of_sampling(plain: Tensor) -> None:
    with recipe().hooked(SHRINK).use() as loaded:
        half = loaded.model_sampling.percent_to_sigma(0.5)
        assert torch.equal(predict(loaded, half * 0.99), plain)
        assert not torch.allclose(predict(loaded, half * 1.01), plain, atol=1e-3)


@settings(max_examples=12, deadline=None)
@given(
    st.integers(3, 11), st.integers(3, 11), st.integers(1, 3), st.floats(0.5, 4.0), st.booleans(),
    st.sampled_from(["bicubic", "bilinear", "nearest", "area"]),
)  # fmt: skip
def test_every_size_block_and_factor_runs(
    height: int, width: int, block: int, factor: float, after_skip: bool, method: Any
) -> None:
    hook = DeepShrink(
        block=block,
        factor=factor,
        start=0.0,
        end=1.0,
        after_skip=after_skip,
        downscale_method=method,
        upscale_method=method,
    )
    with recipe().hooked(hook).use() as loaded:
        found = predict(loaded, size=(height, width))
    assert found.shape[-2:] == (height, width)
    assert torch.isfinite(found).all()


def test_inside_the_layers_are_smaller() -> None:
    with recipe().use() as loaded:
        seen: list[torch.Size] = []
        handle = loaded.module.mid_block.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
        predict(loaded)
        with deep_shrink(loaded.module, SHRINK, active=True):
            predict(loaded)
        handle.remove()
    assert (seen[0][-2], seen[0][-1]) == (2 * seen[1][-2], 2 * seen[1][-1])


def test_the_decoder_doubles_to_the_size_of_the_next_skip() -> None:
    with recipe().hooked(replace(SHRINK, after_skip=False)).use() as loaded:
        seen: list[torch.Size] = []
        upsampler = loaded.module.up_blocks[0].upsamplers[0]
        handle = upsampler.register_forward_hook(lambda module, args, grown: seen.append(grown.shape[-2:]))
        predict(loaded, size=(10, 14))  # 5 by 7 where it is shrunken, 3 by 4 below
        handle.remove()
    assert seen == [(5, 7)]


def test_a_block_that_is_not_there_is_refused() -> None:
    with recipe().hooked(replace(SHRINK, block=32)).use() as loaded, pytest.raises(InvalidInputError, match="1 to"):
        predict(loaded)


def test_deep_shrink_refuses_a_controlnet(tmp_path: Any) -> None:
    from diffusers import ControlNetModel

    ControlNetModel.from_unet(sd_parts()["unet"], conditioning_channels=3).save_pretrained(tmp_path / "controlnet/net")
    manager = make_manager(tmp_path)
    x, time, entries = inputs()
    with running(manager):
        net = ControlNet(files=(manager.find("net", "controlnet", part="controlnet"),))
        steered = replace(entries[0], controls=(Control(net=net, hint=torch.rand(1, 3, 64, 96)),))
        with (
            model(manager, SD).hooked(SHRINK).use() as loaded,
            pytest.raises(InvalidInputError, match="no ControlNet or T2I-Adapter fits"),
        ):
            loaded.predict(x, time, [steered], sigma=torch.tensor(14.0))


# -------------------------------------------------------------------------------------- tiles and tokens


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_tiles_join_to_what_was_split(rows: int, columns: int, tall: int, wide: int) -> None:
    height, width = rows * tall, columns * wide
    tokens = torch.arange(2 * height * width * 3.0).reshape(2, height * width, 3)
    tiles = split(tokens, height, width, rows, columns)
    assert tiles.shape == (2 * rows * columns, tall * wide, 3)
    assert torch.equal(join(tiles, height, width, rows, columns), tokens)
    first = tokens[0].reshape(height, width, 3)[:tall, :wide].reshape(-1, 3)
    assert torch.equal(tiles[0], first)


@given(st.integers(1, 200), st.integers(1, 64), st.integers(1, 5))
def test_tiles_divide_the_edge_and_are_not_too_small(length: int, smallest: int, most: int) -> None:
    counts = tile_counts(length, smallest, most)
    assert 1 <= len(counts) <= most
    assert all(length % count == 0 and length // count >= min(smallest, length) for count in counts)


@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 60), st.integers(0, 1000))
def test_merged_tokens_come_back_to_their_places(height: int, width: int, count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    kept = kept_places(height, width, generator)
    assert len(kept) == (height // 2) * (width // 2) == len(set(kept.tolist()))
    tokens = torch.randn(2, height * width, 5, generator=generator)
    shorter, back = merge(tokens, kept, count)
    merged = min(count, height * width - len(kept))
    assert shorter.shape == (2, height * width - merged, 5)
    full = back(shorter)
    same = (full == tokens).all(-1).sum(1)
    assert (same >= height * width - 2 * merged).all(), "only merged tokens and those they went into change"
    # Means weighted by how many went in keep the sum of each group, and so the sum of all.
    torch.testing.assert_close(full.sum(1), tokens.sum(1), atol=1e-3, rtol=1e-3)


def test_equal_tokens_are_merged_without_loss() -> None:
    tokens = torch.ones(1, 16, 3) * torch.tensor([1.0, 2.0, 3.0])
    shorter, back = merge(tokens, kept_places(4, 4, torch.Generator().manual_seed(0)), 12)
    assert shorter.shape == (1, 4, 3)
    torch.testing.assert_close(back(shorter), tokens)
