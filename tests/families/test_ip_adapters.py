"""IP-Adapters on tiny models, against Diffusers' own pipelines and UNets."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from graphflow import nodes
from graphflow.errors import GraphflowError
from graphflow.loading.manager import ModelManager
from graphflow.values import Conditioning, ConditioningEntry, Image, Mask, Model
from tests.families.controls import random
from tests.families.ip_adapters import (
    WIDTH,
    Weights,
    applied,
    as_xlabs_published,
    flux,
    manager_with,
    pictures,
    vision,
    weights,
)
from tests.families.plain_diffusers import ddim, latents, scheduler, tokenizers
from tests.models.tiny import make_tiny_sdxl, sd_parts, sdxl_parts
from tests.models.tiny_manager import SD, SDXL, error, model, running, text_encoder

PROMPT = "a red fox in the snow"


def as_pil(image: Image) -> list[Any]:
    from torchvision.transforms.functional import to_pil_image

    return [to_pil_image((item * 255).round().byte()) for item in image.pixels]


def pipeline(*states: Weights) -> Any:
    """A plain pipeline with adapters."""
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPImageProcessor

    parts = sd_parts()
    parts.pop("safety_checker")
    parts["unet"] = type(parts["unet"]).from_config(parts["unet"].config).eval()
    parts["unet"].load_state_dict(sd_parts()["unet"].state_dict())
    pipe = StableDiffusionPipeline(
        **parts,
        tokenizer=tokenizers(("<|endoftext|>",))[0],
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        image_encoder=vision(),
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    pipe.unet._load_ip_adapter_weights([dict(state) for state in states])
    return pipe


def ours(base: Model, manager: ModelManager) -> Tensor:
    with text_encoder(manager, SD).use() as encoder:
        positive, negative = encoder.encode(PROMPT), encoder.encode("")
    with base.use() as loaded:
        sides = [
            loaded.complete(side, 64, 64, negative=number == 1) for number, side in enumerate((positive, negative))
        ]
        found: Tensor = ddim(loaded, *sides, steps=3, scale=5.0)
        return found * loaded.latent.scale


@pytest.mark.parametrize("kind", ["plain", "plus", "full"])
def test_a_picture_prompt_equals_the_pipelines(tmp_path: Path, kind: str) -> None:
    state = weights(sd_parts()["unet"], kind, WIDTH[kind])
    pipe = pipeline(state)
    pipe.set_ip_adapter_scale(0.6)
    image = pictures()
    wanted = pipe(
        PROMPT,
        negative_prompt="",
        ip_adapter_image=as_pil(image)[0],
        latents=latents(),
        num_inference_steps=3,
        guidance_scale=5.0,
        output_type="latent",
    ).images
    manager = manager_with(tmp_path, adapter=state)
    with running(manager):
        plain = ours(model(manager, SD), manager)
        found = ours(applied(model(manager, SD), "adapter", image, strength=0.6), manager)
        assert error(found, wanted) < 1e-5
        assert error(found, plain) > 1e-2
        assert torch.equal(ours(model(manager, SD), manager), plain)


def test_several_pictures_adapters_and_masks_equal_the_pipelines(tmp_path: Path) -> None:
    first, second = (weights(sd_parts()["unet"], kind, WIDTH[kind], seed) for kind, seed in (("plain", 1), ("plus", 2)))
    pipe = pipeline(first, second)
    pipe.set_ip_adapter_scale([0.7, 0.4])
    one, two = pictures(seed=1), pictures(2, seed=2)
    masks = torch.zeros(2, 64, 64)
    masks[0, :, :32] = masks[1, :, 32:] = 1
    wanted = pipe(
        PROMPT,
        negative_prompt="",
        ip_adapter_image=[as_pil(one), as_pil(two)],
        cross_attention_kwargs={"ip_adapter_masks": [torch.ones(1, 1, 64, 64), masks[None]]},
        latents=latents(),
        num_inference_steps=3,
        guidance_scale=5.0,
        output_type="latent",
    ).images
    manager = manager_with(tmp_path, first=first, second=second)
    with running(manager):
        base = applied(model(manager, SD), "first", one, strength=0.7)
        found = ours(applied(base, "second", two, mask=Mask(values=masks), strength=0.4), manager)
    assert error(found, wanted) < 1e-5


def test_sdxl_equals_diffusers(tmp_path: Path) -> None:
    unet = sdxl_parts()["unet"]
    state = weights(unet, "plus", 32)
    x, time, sigma = latents(), torch.tensor([321]), torch.tensor(1.0)
    entry = ConditioningEntry(embedding=torch.randn(1, 77, 64), pooled=torch.randn(1, 32))
    manager = manager_with(tmp_path, adapter=state)
    image = pictures(2)
    with running(manager):
        base = model(manager, SDXL)
        with applied(base, "adapter", image).use() as loaded:
            told = loaded.complete(Conditioning(entries=(entry,)), 64, 64, negative=False)
            found = loaded.predict(x, time, told.entries, sigma=sigma)
            added = loaded.added(told.entries, 1, 64, 64)
        with nodes.load_image_encoder("eye").use() as encoder:
            features = encoder.patches(encoder.prepared(image.pixels))
    unet._load_ip_adapter_weights([{key: dict(value) for key, value in state.items()}])
    with torch.no_grad():
        wanted = unet(x, 321, entry.embedding, added_cond_kwargs={**added, "image_embeds": [features[None]]}).sample
    assert error(found, wanted) < 1e-5


PARTS: dict[str, dict[str, Any]] = {
    "style": {"up": {"block_0": [0.0, 0.8, 0.0]}},
    "layout": {"down": {"block_1": [0.0, 0.8]}},
    "style_and_layout": {"up": {"block_0": [0.0, 0.8, 0.0]}, "down": {"block_1": [0.0, 0.8]}},
}
"""As Diffusers' documentation of InstantStyle writes them, for a network of two blocks where SDXL has three."""


@pytest.mark.parametrize("part", PARTS)
def test_style_and_layout_act_in_the_layers_that_diffusers_scales(tmp_path: Path, part: str) -> None:
    from diffusers.loaders import IPAdapterMixin

    torch.manual_seed(3)
    small = sdxl_parts()["unet"]
    unet = type(small).from_config({**small.config, "layers_per_block": 2}).eval()
    unet.save_pretrained(make_tiny_sdxl(tmp_path / "two-layers") / "unet")
    state = weights(unet, "plain", WIDTH["plain"])
    manager = manager_with(tmp_path, adapter=state)
    entry = ConditioningEntry(embedding=random(1, 77, 64), pooled=random(1, 32))
    x, time, sigma = latents(), torch.tensor([321]), torch.tensor(1.0)
    image, unwanted = pictures(), pictures(seed=5)
    with running(manager):
        base = model(manager, "two-layers")
        steered = applied(base, "adapter", image, part=part, strength=0.8, negative_image=unwanted)
        with steered.use() as loaded:
            told = [loaded.complete(Conditioning(entries=(entry,)), 64, 64, negative=side) for side in (False, True)]
            found = [loaded.predict(x, time, side.entries, sigma=sigma) for side in told]
            added = loaded.added(told[0].entries, 1, 64, 64)
        with nodes.load_image_encoder("eye").use() as encoder:
            seen = [encoder.pooled(encoder.prepared(item.pixels)) for item in (image, unwanted)]
    unet._load_ip_adapter_weights([{key: dict(value) for key, value in state.items()}])
    IPAdapterMixin.set_ip_adapter_scale(SimpleNamespace(unet=unet), PARTS[part])
    for one, features in zip(found, seen, strict=True):
        with torch.no_grad():
            more = {**added, "image_embeds": [features[None]]}
            wanted = unet(x, 321, entry.embedding, added_cond_kwargs=more).sample
        assert error(one, wanted) < 1e-5
    assert error(found[0], found[1]) > 1e-4


def test_style_wants_a_model_whose_layers_are_known(tmp_path: Path) -> None:
    manager = manager_with(tmp_path, adapter=weights(sd_parts()["unet"], "plain", 24))
    with running(manager):
        steered = applied(model(manager, SD), "adapter", pictures(), part="style")
        with pytest.raises(GraphflowError, match="known of SDXL alone"), steered.use():
            pass
        with pytest.raises(GraphflowError, match="3 negative pictures for 2"):
            applied(model(manager, SD), "adapter", pictures(2), negative_image=pictures(3))


def test_it_acts_within_its_share_of_the_sampling_only(tmp_path: Path) -> None:
    manager = manager_with(tmp_path, adapter=weights(sd_parts()["unet"], "plain", 24))
    x, time = latents(), torch.tensor([321])
    entry = Conditioning(entries=(ConditioningEntry(embedding=torch.randn(1, 77, 32)),))
    with running(manager):
        base = model(manager, SD)
        steered = applied(base, "adapter", pictures(), start=0.3, end=0.6)
        with base.use() as plain, steered.use() as loaded:
            told = loaded.complete(entry, 64, 64, negative=False).entries
            for share, acts in ((0.1, False), (0.45, True), (0.9, False)):
                sigma = torch.tensor(loaded.model_sampling.percent_to_sigma(share))
                found = loaded.predict(x, time, told, sigma=sigma)
                without = plain.predict(x, time, entry.entries, sigma=sigma)
                assert (error(found, without) > 1e-3) == acts
        assert applied(base, "adapter", pictures(), strength=0.0) == base


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    plain = weights(sd_parts()["unet"], "plain", 24)
    faces = {**plain, "image_proj": {**weights(sd_parts()["unet"], "full", 32)["image_proj"]}}
    faces["image_proj"]["norm.weight"] = faces["image_proj"].pop("proj.3.weight")
    faces["image_proj"]["norm.bias"] = faces["image_proj"].pop("proj.3.bias")
    holes = {**plain, "ip_adapter": {key: value for key, value in plain["ip_adapter"].items() if key[0] != "1"}}
    manager = manager_with(
        tmp_path,
        small=plain,
        large=weights(sdxl_parts()["unet"], "plain", 24),
        wide=weights(sd_parts()["unet"], "plain", 25),
        faces=faces,
        holes=holes,
    )
    with running(manager):
        base = model(manager, SD)
        with (
            pytest.raises(GraphflowError, match="'large' is for a network") as caught,
            applied(base, "large", pictures()).use(),
        ):
            pass
        assert "made for the checkpoint's family" in (caught.value.advice or "")
        with pytest.raises(GraphflowError, match="vectors of width 24, the IP-Adapter reads 25"):
            applied(base, "wide", pictures())
        with pytest.raises(GraphflowError, match="InsightFace"):
            nodes.load_ip_adapter("faces")
        with pytest.raises(GraphflowError, match="holes"):
            nodes.load_ip_adapter("holes")
        with pytest.raises(GraphflowError, match="3 masks for 2 pictures"):
            applied(base, "small", pictures(2), mask=Mask(values=torch.ones(3, 8, 8)))
        with pytest.raises(GraphflowError, match="is an ip adapter, not an image encoder"):
            nodes.load_image_encoder("ipadapter/small")
        assert applied(base, "small", pictures(), start=0.8, end=0.2) == base


def as_diffusers_reads(weights: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """As `load_ip_adapter` of Diffusers' pipeline names them."""
    found: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in weights.items():
        start, _, rest = name.partition(".")
        for old, new in (
            ("ip_adapter_double_stream_k_proj", "to_k_ip"),
            ("ip_adapter_double_stream_v_proj", "to_v_ip"),
        ):
            rest = rest.replace(old, new)
        found["image_proj" if start.endswith("model") else "ip_adapter"][rest.replace("processor.", "")] = tensor
    return found


@pytest.mark.filterwarnings("ignore:.*FluxPosEmbed:FutureWarning")  # of Diffusers' own class
def test_flux_attends_to_pictures_as_in_diffusers(tmp_path: Path) -> None:
    from diffusers import FluxPipeline

    published = {name: as_xlabs_published(seed=seed) for name, seed in (("one", 3), ("other", 50))}
    manager = manager_with(tmp_path)
    (tmp_path / "ipadapter").mkdir()
    for name, weights_of in published.items():
        save_file(weights_of, tmp_path / "ipadapter" / f"{name}.safetensors")
    flux().save_pretrained(tmp_path / "diffusion_models" / "flux")
    x, time = random(2, 16, 8, 12), torch.tensor([0.6, 0.6])
    told = ConditioningEntry(embedding=random(1, 5, 24), pooled=random(1, 12, seed=8))
    image = pictures(2)
    with running(manager):
        base = nodes.load_diffusion_model("flux")
        prompted = applied(applied(base, "one", image, strength=0.7), "other", pictures(seed=5), strength=0.4)
        with prompted.use() as loaded:
            sides = [
                loaded.complete(Conditioning(entries=(told,)), 64, 96, negative=side).entries for side in (False, True)
            ]
            found = [loaded.predict(x, time, entries, sigma=time[0]) for entries in sides]
        with (
            pytest.raises(GraphflowError, match="mask"),
            applied(base, "one", image, mask=Mask(values=image.pixels[:1, 0])).use() as loaded,
        ):
            masked = loaded.complete(Conditioning(entries=(told,)), 64, 96, negative=False)
            loaded.predict(x, time, masked.entries, sigma=time[0])
        with nodes.load_image_encoder("eye").use() as encoder:
            seen = [encoder.pooled(encoder.prepared(item.pixels)) for item in (image, pictures(seed=5))]
            nothing = encoder.pooled(encoder.prepared(torch.zeros(1, 3, 32, 32)))
    transformer = flux()
    transformer._load_ip_adapter_weights(
        [as_diffusers_reads(item) for item in published.values()], low_cpu_mem_usage=False
    )
    for processor in transformer.attn_processors.values():
        processor.scale = [0.7, 0.4]
    for features, result in zip((seen, [nothing.expand_as(item) for item in seen]), found, strict=True):
        with torch.no_grad():
            output = transformer(
                hidden_states=FluxPipeline._pack_latents(x, 2, 16, 8, 12),
                encoder_hidden_states=told.embedding.expand(2, -1, -1),
                pooled_projections=random(1, 12, seed=8).expand(2, -1),
                timestep=time,
                guidance=torch.tensor([3.5, 3.5]),
                img_ids=FluxPipeline._prepare_latent_image_ids(2, 4, 6, torch.device("cpu"), torch.float32),
                txt_ids=torch.zeros(5, 3),
                joint_attention_kwargs={"ip_adapter_image_embeds": [item[None].expand(2, -1, -1) for item in features]},
                return_dict=False,
            )[0]
        assert error(result, FluxPipeline._unpack_latents(output, 64, 96, 8)) <= 1e-5
    assert error(*found) > 1e-3
