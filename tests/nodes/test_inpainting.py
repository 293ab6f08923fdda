"""Painting into pictures, beyond them, and editing them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphflow import nodes
from graphflow.errors import InvalidInputError
from graphflow.values import Conditioning, ConditioningEntry, Image, Latent, Mask, ModelFile, Vae
from tests.nodes.fakes import Told


def vae(family: str = "sd") -> Vae:
    return Vae(files=(ModelFile(name="full", kind="checkpoint", part="vae", family=family),))


def conditioning(value: float) -> Conditioning:
    return Conditioning(
        entries=(ConditioningEntry(embedding=torch.full((1, 77, 8), float(value)), extras={"width": 64}),)
    )


def image(items: int = 1, height: int = 32, width: int = 40) -> Image:
    return Image(pixels=torch.rand(items, 3, height, width))


@given(*[st.integers(0, 9)] * 5)
def test_padding_keeps_the_picture_and_masks_the_margins(
    left: int, top: int, right: int, bottom: int, feather: int
) -> None:
    whole = image()
    padded, mask = nodes.pad_for_outpaint(whole, left, top, right, bottom, feather)
    inside = (..., slice(top, top + 32), slice(left, left + 40))
    assert torch.equal(padded.pixels[inside], whole.pixels)
    assert mask.values[inside][0, 16, 20] == 0
    outside = mask.values.clone()
    outside[inside] = 1
    assert outside.all()
    assert padded.pixels.numel() - whole.pixels.numel() == 3 * ((32 + top + bottom) * (40 + left + right) - 32 * 40)


def test_the_feather_falls_with_the_square_and_only_from_padded_edges() -> None:
    mask = nodes.pad_for_outpaint(image(), left=8, feather=4).mask.values[0, 16]
    assert mask[8:13].tolist() == [1, 0.5625, 0.25, 0.0625, 0]
    assert mask[-4:].tolist() == [0, 0, 0, 0]


def test_masked_content_is_grey_before_encoding(told: Told) -> None:
    mask = nodes.rectangle_mask(40, 32, left=0, right=0.4, top=0, bottom=1)
    latent = nodes.encode_for_inpaint(vae(), image(2), mask, grow=0)
    assert latent.noise_mask is not None
    assert (latent.samples[..., :2] == 0.5).all()
    assert (latent.samples[..., 2:] != 0.5).all()
    assert torch.equal(latent.noise_mask, mask.values)
    grown = nodes.encode_for_inpaint(vae(), image(), mask, grow=8).noise_mask
    assert grown is not None
    assert grown[0, 0].sum() == 16 + 4


def test_edges_that_fill_no_sample_are_cut_evenly(told: Told) -> None:
    latent = nodes.encode_for_inpaint(vae(), image(1, 36, 46), nodes.solid_mask(46, 36), grow=0)
    assert latent.noise_mask is not None
    assert latent.samples.shape[-2:] == (4, 5)
    assert latent.noise_mask.shape[-2:] == (32, 40)


def test_an_inpainting_model_reads_mask_and_masked_latents(told: Told) -> None:
    mask = nodes.rectangle_mask(40, 32, left=0, right=0.4, top=0, bottom=1)
    got = nodes.inpaint_conditioning(conditioning(1), conditioning(2), vae(), image(2), mask)
    for side in (got.positive, got.negative):
        extras = side.entries[0].extras
        assert extras["width"] == 64
        assert extras["picture"].shape == (2, 4, 4, 5)
        assert extras["hole"][0, 0, 0, ::8].tolist() == [1, 1, 0, 0, 0]
        assert torch.allclose(extras["picture"][..., :2], torch.tensor(0.5))
    assert got.positive.entries[0].embedding.mean() == 1
    assert got.latent.noise_mask is not None
    free = nodes.inpaint_conditioning(conditioning(1), conditioning(2), vae(), image(), mask, noise_mask=False)
    assert free.latent.noise_mask is None


def test_an_editing_model_reads_the_picture(told: Told) -> None:
    picture = image()
    got = nodes.edit_conditioning(conditioning(1), conditioning(2), vae(), picture)
    assert torch.equal(got.positive.entries[0].extras["picture"], nodes.encode_image(vae(), picture).samples)
    assert not got.latent.samples.any()


def test_what_does_not_fit_is_refused(told: Told) -> None:
    with pytest.raises(InvalidInputError, match="smaller than 8"):
        nodes.encode_for_inpaint(vae(), image(1, 4, 40), nodes.solid_mask(8, 8))
    with pytest.raises(InvalidInputError, match="3 masks do not fit 2 pictures"):
        nodes.encode_for_inpaint(vae(), image(2), Mask(values=torch.ones(3, 8, 8)))


def test_what_is_masked_is_filled_from_its_surroundings() -> None:
    pixels = torch.full((2, 4, 24, 33), 0.25)
    pixels[1, :3] = 0.75
    pixels[:, :3, 8:16, 10:20] = 1.0
    mask = Mask(values=torch.zeros(1, 24, 33))
    mask.values[:, 8:16, 10:20] = 1
    filled = nodes.fill_masked_image(Image(pixels=pixels), mask).pixels
    assert torch.allclose(filled[0, :3], torch.tensor(0.25), atol=1e-6)
    assert torch.allclose(filled[1, :3], torch.tensor(0.75), atol=1e-6)
    assert torch.equal(filled[:, 3], pixels[:, 3])
    grey = nodes.fill_masked_image(Image(pixels=pixels), mask, "grey").pixels
    assert set(grey[:, :3, 8:16, 10:20].unique().tolist()) == {0.5}
    assert torch.equal(grey[..., :8, :], pixels[..., :8, :])


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
def test_filling_stays_within_the_colours_that_are_there(height: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(1, 3, height, width, generator=generator)
    hole = (torch.rand(1, height, width, generator=generator) < 0.7).float()
    filled = nodes.fill_masked_image(Image(pixels=pixels), Mask(values=hole)).pixels
    assert torch.equal(filled[:, :, hole[0] == 0], pixels[:, :, hole[0] == 0])
    if bool((hole == 0).any()):
        kept = pixels[:, :, hole[0] == 0]
        assert float(filled.min()) >= float(kept.min()) - 1e-5
        assert float(filled.max()) <= float(kept.max()) + 1e-5


def test_latents_under_the_mask_are_replaced() -> None:
    samples = torch.randn(1, 4, 6, 8, generator=torch.Generator().manual_seed(1)) * 5
    mask = torch.zeros(1, 48, 64)
    mask[..., 32:] = 1
    latent = Latent(samples=samples, noise_mask=mask)
    nothing = nodes.fill_masked_latent(latent, "nothing").samples
    noise = nodes.fill_masked_latent(latent, "noise", 3)
    for found in (nothing, noise.samples):
        assert torch.equal(found[..., :3], samples[..., :3])
    assert not nothing[..., 5:].any()
    assert 3 < float(noise.samples[..., 5:].std()) < 7
    assert torch.equal(noise.samples, nodes.fill_masked_latent(latent, "noise", 3).samples)
    assert not torch.equal(noise.samples, nodes.fill_masked_latent(latent, "noise", 4).samples)
    with pytest.raises(InvalidInputError, match="no noise mask"):
        nodes.fill_masked_latent(Latent(samples=samples))
