"""Nodes that load, carry and switch, in graphs that the engine runs on the shapes model and on tiny ones."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from graphflow.building.refs import Ref
from graphflow.errors import NodeError
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.decorator import node
from graphflow.spec.registry import Registry
from graphflow.values import Audio
from tests.closeness import assert_close, close
from tests.end_to_end.graph import Graph
from tests.models.tiny import make_tiny_sd, sd_parts


@node("make_tone")
def make_tone(hertz: float = 440.0) -> Audio:
    """A tenth of a second of sound."""
    return Audio(samples=torch.sin(torch.arange(800) * hertz * 2 * torch.pi / 8000)[None], sample_rate=8000)


@pytest.fixture(scope="module")
def tiny(known: Registry, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session on a tiny Stable Diffusion with a union ControlNet and one that is a difference to it."""
    from diffusers import ControlNetModel, ControlNetUnionModel

    root = tmp_path_factory.mktemp("models")
    whole_model = make_tiny_sd(root / "checkpoints" / "tiny-sd")
    for kind in ("diffusion_models", "text_encoders", "vae", "safety_checkers"):
        (root / kind).mkdir()
        (root / kind / "tiny-sd").symlink_to(whole_model)
    unet = sd_parts()["unet"]
    torch.manual_seed(4)
    whole = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16, 32))
    for parameter in whole.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    weights = unet.state_dict()
    state = {name: tensor - weights[name] if name in weights else tensor for name, tensor in whole.state_dict().items()}
    (root / "controlnet").mkdir()
    save_file({**state, "difference": torch.zeros(1)}, root / "controlnet" / "difference.safetensors")
    kept = ("block_out_channels", "layers_per_block", "down_block_types", "cross_attention_dim", "attention_head_dim")
    union = ControlNetUnionModel(
        **{name: whole.config[name] for name in kept},
        norm_num_groups=32,
        addition_time_embed_dim=8,
        num_control_type=6,
        num_trans_channel=32,
        num_trans_head=2,
        num_trans_layer=1,
        num_proj_channel=32,
        conditioning_embedding_out_channels=(16, 32),
    )
    for parameter in union.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    union.save_pretrained(root / "controlnet" / "union")
    values = {"models": (root,), "cache_dir": root / "cache", "device": "cpu", "offline": True}
    return Session(Settings.model_validate(values), known=known.with_nodes([make_tone], pack="tests"))


def sampled(g: Graph, model: Any, positive: Any, latent: Any = None) -> Ref[Any]:
    start = g.empty_latent(width=64, height=64) if latent is None else latent
    return g.sample(model=model, positive=positive, latent=start, steps=2, guidance_scale=1.0, seed=3)


def test_parts_named_one_by_one_are_the_checkpoint(tiny: Session) -> None:
    g = Graph(tiny)
    whole = g.load_checkpoint(model="tiny-sd")
    model = g.load_diffusion_model(model="tiny-sd")
    positive = g.encode_prompt(text_encoder=g.load_text_encoder(model="tiny-sd"), text="a cat")
    pictures = [
        g.vae_decode(vae=g.load_vae(model="tiny-sd"), latent=sampled(g, model, positive)),
        g.vae_decode(
            vae=whole.vae,
            latent=sampled(g, whole.model, g.encode_prompt(text_encoder=whole.text_encoder, text="a cat")),
        ),
    ]
    one, other = g.values(*pictures)
    assert_close(one.pixels, other.pixels)
    checker = g.load_safety_checker(model="tiny-sd")
    passed = g.safety_filter(images=pictures[0], safety_checker=checker)
    video = g.images_to_video(images=pictures[0], fps=2.0)
    moving = g.safety_filter_video(video=video, safety_checker=checker)
    assert g.values(passed.flags, moving.flags) == [[False], [False]]


def test_control_nets_of_special_kinds_steer(tiny: Session) -> None:
    g = Graph(tiny)
    parts = g.load_checkpoint(model="tiny-sd")
    text = g.encode_prompt(text_encoder=parts.text_encoder, text="a cat")
    difference = g.load_difference_control_net(control_net="difference", model=parts.model)
    union = g.load_control_net(control_net="union")
    nets = [difference, *(g.set_union_control_type(control_net=union, type=kind) for kind in ("depth", "openpose"))]
    steered = [g.apply_control_net(positive=text, control_net=net, image=g.picture(64)).positive for net in nets]
    free, *found = g.values(*(sampled(g, parts.model, each) for each in (text, *steered)))
    for number, value in enumerate(found):
        assert not any(torch.allclose(value.samples, other.samples) for other in (free, *found[number + 1 :]))
    said = g.encode_prompt(text_encoder=parts.text_encoder, text="a dog")
    own = g.set_control_prompt(conditioning=steered[0], prompt=said)
    same = g.set_control_prompt(conditioning=steered[0], prompt=text)
    other, again = g.values(*(sampled(g, parts.model, each) for each in (own, same)))
    assert close(again.samples, found[0].samples) and not torch.allclose(other.samples, found[0].samples)
    untold = g.apply_control_net(positive=text, control_net=union, image=g.picture(64)).positive
    with pytest.raises(NodeError, match="what kind of picture"):
        g.values(sampled(g, parts.model, untold))


def test_prompts_act_where_a_mask_is_and_what_other_families_read_is_left_alone(tiny: Session) -> None:
    g = Graph(tiny)
    parts = g.load_checkpoint(model="tiny-sd")
    first, second = (
        g.encode_prompt(text_encoder=parts.text_encoder, text=text)
        for text in (g.text_value(text="a cat"), g.text_replace(text="a cat", find="cat", replacement="dog"))
    )
    left = g.set_conditioning_mask(conditioning=first, mask=g.rectangle_mask(width=64, height=64, left=0.0, right=0.5))
    both = g.combine_conditioning(conditioning=[left, second])
    outside = g.rectangle_mask(width=64, height=64, left=0.0, right=0.5, invert=True)
    halves = [left, g.set_conditioning_mask(conditioning=second, mask=outside)]
    rest = g.add_default_conditioning(conditioning=left, default=second)
    filled, wanted = g.values(
        *(sampled(g, parts.model, each) for each in (rest, g.combine_conditioning(conditioning=halves)))
    )
    assert close(filled.samples, wanted.samples)
    earlier = g.encode_prompt(text_encoder=g.set_text_layer(text_encoder=parts.text_encoder, layer=-2), text="a cat")
    carried = g.set_frame_rate(conditioning=g.set_guidance(conditioning=first, guidance=3.0), fps=24.0)
    carried = g.set_audio_length(conditioning=carried, total=30.0)
    carried = g.add_reference_latent(conditioning=carried, latent=g.empty_latent(width=64, height=64))
    carried = g.set_reference_method(conditioning=carried, method="index")
    plain, masked, skipped, same = g.values(
        *(sampled(g, parts.model, told) for told in (first, both, earlier, carried))
    )
    assert_close(same.samples, plain.samples)
    assert not torch.allclose(plain.samples, masked.samples)
    assert not torch.allclose(plain.samples, skipped.samples)


def test_masked_content_is_what_sampling_starts_from(tiny: Session) -> None:
    g = Graph(tiny)
    parts = g.load_checkpoint(model="tiny-sd")
    text = g.encode_prompt(text_encoder=parts.text_encoder, text="a cat")
    picture, hole = g.picture(32), g.rectangle_mask(width=32, height=32)
    starts = []
    for image in (picture, g.fill_masked_image(images=picture, mask=hole)):
        latent = g.set_noise_mask(latent=g.encode_image(vae=parts.vae, images=image), mask=hole)
        starts += [latent, g.fill_masked_latent(latent=latent, content="noise", seed=1)]
    found = g.values(
        *(
            g.sample(model=parts.model, positive=text, latent=start, steps=2, guidance_scale=1.0, strength=0.5)
            for start in starts
        )
    )
    for number, value in enumerate(found):
        assert not any(torch.allclose(value.samples, other.samples) for other in found[number + 1 :])
    # What the mask keeps is the encoded picture's, whatever stood under the mask.
    for plain, filled in (found[:2], found[2:]):
        torch.testing.assert_close(plain.samples[..., 0, :], filled.samples[..., 0, :], atol=1e-4, rtol=1e-4)


def test_values_choose_and_count(session: Session) -> None:
    g = Graph(session)
    joined = g.text_join(first="red", second=g.json_value(text='{"colour": "blue", "n": [1]}', key="colour"))
    width = g.int_math(a=g.int_value(value=16), b=2, operation="multiply")
    height = g.to_int(value=g.float_math(a=g.float_value(value=12.0), b=4.0, operation="add"))
    small, large = g.solid_image(width=width, height=height), g.solid_image(width=64, height=64)
    chosen = g.switch_index(index=1, inputs=[large, small])
    other = g.switch(select=g.bool_value(value=True), on_true=large, on_false=small)
    assert g.values(joined)[0] == "red, blue"
    assert [tuple(value.pixels.shape[2:]) for value in g.values(chosen, other)] == [(16, 32), (64, 64)]


def test_sound_is_written(tiny: Session, tmp_path: Path) -> None:
    g = Graph(tiny)
    g.save_audio(audio=g.workflow.add(make_tone, hertz=220.0), filename_prefix="tone")
    (path,), _ = g.write(tmp_path)
    assert path.suffix == ".wav"
    with wave.open(str(path)) as sound:  # its record stands behind the samples
        assert (sound.getsampwidth(), sound.getnframes()) == (2, 800)
