"""Nodes that change what the model is told."""

from __future__ import annotations

import pytest
import torch

from graphflow.errors import InvalidInputError
from graphflow.nodes import (
    average_conditioning,
    combine_conditioning,
    concat_conditioning,
    encode_prompt,
    encode_prompt_refiner,
    encode_prompt_sdxl,
    load_checkpoint,
    set_conditioning_area,
    set_conditioning_mask,
    set_conditioning_range,
    set_conditioning_strength,
    vary_conditioning,
    zero_out_conditioning,
)
from graphflow.values import Area, Conditioning, ConditioningEntry, Mask
from tests.nodes.fakes import Told


def prompt(value: float, tokens: int = 3, pooled: float | None = None, width: int = 2) -> Conditioning:
    entry = ConditioningEntry(
        embedding=torch.full((1, tokens, width), value),
        pooled=None if pooled is None else torch.full((1, width), pooled),
    )
    return Conditioning(entries=(entry,))


def test_combining_keeps_every_entry() -> None:
    both = combine_conditioning([combine_conditioning([prompt(1.0), prompt(2.0)]), prompt(3.0)])
    assert [float(entry.embedding.mean()) for entry in both.entries] == [1.0, 2.0, 3.0]
    with pytest.raises(InvalidInputError, match="no conditioning to combine"):
        combine_conditioning([])


def test_concatenating_puts_tokens_behind_and_keeps_the_first_pooled_output() -> None:
    (entry,) = concat_conditioning(prompt(1.0, 3, pooled=5.0), prompt(2.0, 2, pooled=6.0)).entries
    assert entry.embedding[0, :, 0].tolist() == [1.0, 1.0, 1.0, 2.0, 2.0]
    assert entry.pooled is not None and float(entry.pooled.mean()) == 5.0
    assert entry.attention_mask is None


def test_concatenating_a_masked_prompt_masks_its_tokens_only() -> None:
    masked = Conditioning(entries=(ConditioningEntry(embedding=torch.ones(1, 2, 2), attention_mask=torch.zeros(1, 2)),))
    (entry,) = concat_conditioning(prompt(1.0), masked).entries
    assert entry.attention_mask is not None
    assert entry.attention_mask.tolist() == [[1.0, 1.0, 1.0, 0.0, 0.0]]


def test_averaging_mixes_tokens_and_pooled_outputs() -> None:
    (entry,) = average_conditioning(prompt(1.0, 3, pooled=1.0), prompt(5.0, 3, pooled=3.0), strength=0.25).entries
    assert torch.allclose(entry.embedding, torch.tensor(4.0))
    assert entry.pooled is not None and float(entry.pooled.mean()) == 2.5


def test_averaging_keeps_the_first_length_and_fills_with_zeros() -> None:
    (entry,) = average_conditioning(prompt(1.0, 3), prompt(5.0, 1, pooled=2.0), strength=0.5).entries
    assert entry.embedding[0, :, 0].tolist() == [3.0, 0.5, 0.5]
    assert entry.pooled is not None and float(entry.pooled.mean()) == 2.0
    assert average_conditioning(prompt(1.0, 2), prompt(5.0, 4), strength=0.5).entries[0].embedding.shape == (1, 2, 2)


def test_one_prompt_goes_with_a_batch_of_them() -> None:
    one = prompt(1.0, 3, pooled=1.0)
    (first,) = prompt(5.0, 2, pooled=3.0).entries
    assert first.pooled is not None
    several = Conditioning(
        entries=(ConditioningEntry(embedding=first.embedding.repeat(3, 1, 1), pooled=first.pooled.repeat(3, 1)),)
    )
    for a, b in ((one, several), (several, one)):
        assert concat_conditioning(a, b).entries[0].embedding.shape == (3, 5, 2)
        (mixed,) = average_conditioning(a, b, strength=0.5).entries
        assert mixed.embedding[:, 0].tolist() == [[3.0, 3.0]] * 3
        assert mixed.pooled is not None and mixed.pooled.tolist() == [[2.0, 2.0]] * 3


def test_without_a_mask_there_is_no_place() -> None:
    with pytest.raises(InvalidInputError, match="no mask"):
        set_conditioning_mask(prompt(1.0), Mask(values=torch.zeros(0, 8, 8)))


def test_prompts_of_two_families_do_not_mix() -> None:
    for mix in (concat_conditioning, average_conditioning):
        with pytest.raises(InvalidInputError, match="width 3 does not go with one of width 2"):
            mix(prompt(1.0), prompt(1.0, width=3))
    wide = prompt(1.0, pooled=1.0).entries[0]
    other = ConditioningEntry(embedding=wide.embedding, pooled=torch.ones(1, 5))
    with pytest.raises(InvalidInputError, match="width 5 does not go with one of width 2"):
        average_conditioning(Conditioning(entries=(wide,)), Conditioning(entries=(other,)))


def test_where_when_and_how_strongly() -> None:
    area = set_conditioning_area(prompt(1.0), 0.5, 0.25, 0.5, 0.75, strength=0.8).entries[0]
    assert area.area == Area(height=0.25, width=0.5, y=0.75, x=0.5, relative=True)
    assert area.strength == 0.8
    pixels = set_conditioning_area(prompt(1.0), 64, 32, 16, 8, unit="pixels").entries[0]
    assert pixels.area == Area(height=32, width=64, y=8, x=16, relative=False)
    with pytest.raises(InvalidInputError, match="at most 1"):
        set_conditioning_area(prompt(1.0), 64, 32)
    assert set_conditioning_strength(prompt(1.0), 0.3).entries[0].strength == 0.3
    ranged = set_conditioning_range(prompt(1.0), 0.2, 0.7).entries[0]
    assert (ranged.start, ranged.end) == (0.2, 0.7)
    mask = torch.rand(1, 8, 8)
    masked = set_conditioning_mask(prompt(1.0), Mask(values=mask), 0.9, bounds=True).entries[0]
    assert masked.mask is not None and torch.equal(masked.mask, mask)
    assert (masked.mask_strength, masked.mask_bounds) == (0.9, True)


def test_zeroing_leaves_shapes_and_the_given_values_alone() -> None:
    given = prompt(1.0, pooled=2.0)
    (entry,) = zero_out_conditioning(given).entries
    assert entry.pooled is not None
    assert not entry.embedding.any() and not entry.pooled.any()
    assert entry.embedding.shape == (1, 3, 2)
    assert given.entries[0].embedding.all()


def test_sdxl_prompts_carry_their_sizes(told: Told) -> None:
    encoder = load_checkpoint("full").text_encoder
    (entry,) = encode_prompt_sdxl(encoder, "ab", "abcd", 832, 1216, 8, 16, 1024, 768).entries
    assert entry.extras == {
        "width": 832,
        "height": 1216,
        "crop_w": 8,
        "crop_h": 16,
        "target_width": 1024,
        "target_height": 768,
    }
    # the stand-in's embedding is the length of the texts
    assert float(entry.embedding.mean()) == 4.0
    same = encode_prompt_sdxl(encoder, "ab")
    assert torch.equal(same.entries[0].embedding, encode_prompt(encoder, "ab").entries[0].embedding)


def test_refiner_prompts_carry_a_score(told: Told) -> None:
    (entry,) = encode_prompt_refiner(load_checkpoint("full").text_encoder, "ab", 7.5, 832, 1216).entries
    assert entry.extras == {"aesthetic_score": 7.5, "width": 832, "height": 1216}


def test_noise_in_a_prompt_is_even_in_its_share_and_leaves_what_only_fills_up() -> None:
    embedding = torch.ones(1, 40, 64)
    embedding[:, 30:] = 0  # filled up
    told = Conditioning(entries=(ConditioningEntry(embedding=embedding),))
    varied = vary_conditioning(told, seed=3, strength=2.0, share=0.25, first=0.5).entries[0].embedding
    changed = varied != embedding
    assert not changed[:, :20].any() and not changed[:, 30:].any()
    assert 0.2 < changed[:, 20:30].float().mean().item() < 0.3
    noise = (varied - embedding)[changed]
    assert -2 <= noise.min() < -1.5 and 1.5 < noise.max() <= 2
    again = vary_conditioning(told, seed=3, strength=2.0, share=0.25, first=0.5).entries[0].embedding
    assert torch.equal(again, varied)
