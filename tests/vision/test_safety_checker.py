"""The safety checker flags what Diffusers' own way flags."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from graphflow.vision.clip_pixels import clip_pixels
from tests.models.tiny_manager import SD, make_manager, running, safety_checker


@pytest.mark.parametrize("size", [(32, 32), (40, 75), (90, 33)])
def test_preparation_is_clips(size: tuple[int, int]) -> None:
    from transformers import CLIPImageProcessor

    coarse = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    pixels = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")
    picture = Image.fromarray((pixels[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32, do_rescale=True)
    found = clip_pixels(pixels, 32)[0]
    expected = torch.as_tensor(np.asarray(processor(images=picture, return_tensors="np")["pixel_values"][0]))
    assert found.shape == expected.shape
    # Two resampling codes round a value to either side: a level of 255, over the smallest deviation.
    assert float((found - expected).abs().max()) < 1.5 / 255 / 0.26


def test_flags_follow_the_thresholds() -> None:
    manager = make_manager()
    pixels = torch.rand(3, 4, 40, 40, generator=torch.Generator().manual_seed(0))
    with running(manager) as told, safety_checker(manager, SD).use() as checker:
        thresholds = checker.module.concept_embeds_weights
        assert checker.check(pixels) == (False, False, False)
        before = pixels.clone()
        thresholds.fill_(-2.0)
        assert checker.check(pixels) == (True, True, True)
        thresholds.fill_(2.0)
        assert checker.check(pixels[:0]) == ()
    assert torch.equal(pixels, before)
    assert not told.notices
