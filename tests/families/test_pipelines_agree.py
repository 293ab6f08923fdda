"""Components against the plain Diffusers pipelines on the same tiny weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.closeness import assert_close
from tests.families.plain_diffusers import ddim, latents, scheduler, tokenizers
from tests.models.tiny import sd_parts, sdxl_parts
from tests.models.tiny_manager import (
    SD,
    SD_FILE,
    SDXL,
    SDXL_FILE,
    error,
    make_manager,
    model,
    running,
    text_encoder,
    vae,
)

BOUND = 1e-5
PROMPT = "a red fox in the snow"


@pytest.fixture(scope="module")
def plain_sd() -> Any:
    from diffusers import StableDiffusionPipeline

    parts = sd_parts()
    parts.pop("safety_checker")
    return StableDiffusionPipeline(
        **parts,
        tokenizer=tokenizers(("<|endoftext|>",))[0],
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


@pytest.fixture(scope="module")
def plain_sdxl() -> Any:
    from diffusers import StableDiffusionXLPipeline

    first, second = tokenizers(("<|endoftext|>", "!"))
    return StableDiffusionXLPipeline(
        **sdxl_parts(), tokenizer=first, tokenizer_2=second, scheduler=scheduler(), add_watermarker=False
    )


@pytest.mark.parametrize("name", [SD, SD_FILE])
def test_stable_diffusion(name: str, plain_sd: Any) -> None:
    manager = make_manager()
    with running(manager):
        with text_encoder(manager, name).use() as encoder:
            positive, negative = encoder.encode(PROMPT), encoder.encode("")
        theirs, empty = plain_sd.encode_prompt(PROMPT, "cpu", 1, True, "")
        assert error(positive.entries[0].embedding, theirs) < BOUND
        assert error(negative.entries[0].embedding, empty) < BOUND
        with model(manager, name).use() as loaded:
            eps = loaded.predict(latents(), torch.tensor([321]), positive.entries, sigma=torch.tensor(1.0))
            with torch.no_grad():
                expected = plain_sd.unet(latents(), torch.tensor(321), theirs).sample
            assert error(eps, expected) < BOUND
            result = ddim(loaded, positive, negative, steps=3, scale=5.0)
        with vae(manager, name).use() as autoencoder:
            pixels = autoencoder.decode(result)
    plain_sd.set_progress_bar_config(disable=True)
    whole = plain_sd(
        PROMPT, negative_prompt="", latents=latents(), num_inference_steps=3, guidance_scale=5.0, output_type="pt"
    )
    assert error(pixels, whole.images) < BOUND


@pytest.mark.parametrize("name", [SDXL, SDXL_FILE])
def test_sdxl(name: str, plain_sdxl: Any) -> None:
    manager = make_manager()
    with running(manager):
        with text_encoder(manager, name).use() as encoder:
            positive, negative = encoder.encode(PROMPT), encoder.encode("blurry")
        theirs, negatives, pooled, _ = plain_sdxl.encode_prompt(
            PROMPT, device="cpu", do_classifier_free_guidance=True, negative_prompt="blurry"
        )
        entry = positive.entries[0]
        assert entry.pooled is not None
        assert error(entry.embedding, theirs) < BOUND
        assert error(entry.pooled, pooled) < BOUND
        assert error(negative.entries[0].embedding, negatives) < BOUND
        with model(manager, name).use() as loaded:
            size = 8 * loaded.latent.downscale
            completed = loaded.complete(positive, size, size, negative=False)
            assert completed.entries[0].extras["target_width"] == size
            eps = loaded.predict(latents(), torch.tensor([321]), completed.entries, sigma=torch.tensor(1.0))
            ids = torch.tensor([[float(v) for v in (size, size, 0, 0, size, size)]])
            with torch.no_grad():
                expected = plain_sdxl.unet(
                    latents(), torch.tensor(321), theirs, added_cond_kwargs={"text_embeds": pooled, "time_ids": ids}
                ).sample
            assert error(eps, expected) < BOUND
            result = ddim(loaded, completed, loaded.complete(negative, size, size, negative=True), 3, 5.0)
        with vae(manager, name).use() as autoencoder:
            pixels = autoencoder.decode(result)
    plain_sdxl.set_progress_bar_config(disable=True)
    whole = plain_sdxl(
        PROMPT, negative_prompt="blurry", latents=latents(), num_inference_steps=3, guidance_scale=5.0, output_type="pt"
    )
    assert error(pixels, whole.images) < BOUND


def test_a_batch_of_entries_is_what_they_are_one_by_one() -> None:
    manager = make_manager()
    with running(manager), text_encoder(manager, SDXL).use() as encoder, model(manager, SDXL).use() as loaded:
        entries = [encoder.encode(text).entries[0] for text in ("a fox", "a cat")]
        x = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(1))
        time = torch.tensor([10, 10, 10, 10])
        together = loaded.predict(x, time, entries, sigma=torch.tensor(1.0))
        apart = [loaded.predict(x[2 * i : 2 * i + 2], time[:2], [entries[i]], sigma=torch.tensor(1.0)) for i in (0, 1)]
    assert error(together, torch.cat(apart)) < BOUND


def test_one_prompt_for_each_encoder() -> None:
    manager = make_manager()
    with running(manager), text_encoder(manager, SDXL).use() as encoder:
        both = encoder.encode("a fox", texts={"text_encoder_2": "a cat " * 60}).entries[0]
        fox, cat = encoder.encode("a fox").entries[0], encoder.encode("a cat " * 60).entries[0]
    assert both.embedding.shape == (1, 154, 64)
    assert both.pooled is not None and cat.pooled is not None
    assert_close(both.embedding[:, :77, :32], fox.embedding[..., :32])
    assert_close(both.embedding[..., 32:], cat.embedding[..., 32:])
    assert_close(both.pooled, cat.pooled)
