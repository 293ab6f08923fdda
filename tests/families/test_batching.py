"""The limit on a batch by memory."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers import FluxTransformer2DModel
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from graphflow import Session, Settings, Workflow, nodes
from graphflow.families.flux.denoiser import FluxDenoiser
from graphflow.families.flux.family import FAMILY
from graphflow.loading.devices import free_memory
from graphflow.modelfiles.families import installed
from graphflow.modelfiles.footprint import OF_UNETS
from graphflow.planning.memory import evaluation_bytes
from graphflow.sampling.batching import fitting_items
from graphflow.sampling.prediction import ModelSampling
from graphflow.settings import RootSetting
from graphflow.values import ConditioningEntry, Control, ControlNet, Latent

GIB = 2**30


def unet_bytes(samples: int, itemsize: int) -> int:
    return int(OF_UNETS.held({"block_out_channels": [320]}, samples) * itemsize)


def test_a_pair_of_large_pictures_is_split_where_memory_is_short() -> None:
    samples = 128 * 128
    roomy = fitting_items(unet_bytes(samples, 2), 8 * GIB)
    assert roomy is not None and roomy >= 2
    assert fitting_items(unet_bytes(samples, 4), GIB) == 1
    assert fitting_items(unet_bytes(samples, 4), None) is None


@given(st.integers(1, 2**20), st.integers(0, 2**40))
def test_less_memory_never_means_more_items(samples: int, free: int) -> None:
    more, less = (fitting_items(unet_bytes(samples, 2), bytes_) for bytes_ in (free, free // 2))
    assert more is not None and less is not None
    assert 1 <= less <= more


def test_references_and_controlnets_count() -> None:
    with torch.device("meta"):
        module = FluxTransformer2DModel(num_layers=2, num_single_layers=3, num_attention_heads=2)
    denoiser = FluxDenoiser(
        module=module,
        model_sampling=ModelSampling.flow(shift=1.0),
        latent=FAMILY.latent,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    text, shape = torch.zeros(1, 1, 8), (16, 32, 32)
    plain = ConditioningEntry(embedding=text)
    seen = tuple(Latent(samples=torch.zeros(1, 16, height, 32)) for height in (16, 32))
    shown = ConditioningEntry(embedding=text, extras={"reference_latents": seen})
    assert denoiser.memory_told(shape, [plain]) == denoiser.memory(shape)
    assert denoiser.memory_told(shape, [plain, shown]) == denoiser.memory((16, 32 + 48, 32))
    control = Control(net=ControlNet(files=()), hint=torch.zeros(1, 3, 8, 8), strength=1.0)
    steered = ConditioningEntry(embedding=text, controls=(control,))
    behind_blocks = (2 + 3) * (32 * 32 // 4) * 2 * 128 * 4
    assert denoiser.memory_told(shape, [steered]) == denoiser.memory(shape) + behind_blocks


def test_the_machine_says_how_much_is_free() -> None:
    free = free_memory(torch.device("cpu"))
    assert free is None or free > 0
    assert free_memory(torch.device("meta")) is None


HEADS = {"num_attention_heads": 4, "attention_head_dim": 64, "num_layers": 2, "joint_attention_dim": 64}
SINGLE = {**HEADS, "num_single_layers": 2}
EDGE, AXES = 64, (16, 24, 24)
TOKENS = EDGE * EDGE // 4
ONE = torch.ones(1)


def joint(text: int, channels: int = 64, axes: int = 0, **more: Any) -> dict[str, Any]:
    """What a transformer gets of a picture of 64 x 64 samples, and of a text."""
    places = {"img_ids": torch.zeros(TOKENS, axes), "txt_ids": torch.zeros(text, axes)} if axes else {}
    states = {"hidden_states": torch.zeros(1, TOKENS, channels), "encoder_hidden_states": torch.zeros(1, text, 64)}
    return {**states, "timestep": ONE, **places, **more}


POOLED = {"pooled_projections": torch.zeros(1, 32)}
PICTURE = torch.zeros(1, 16, EDGE, EDGE)
NEXT = {"hidden_size": 256, "num_attention_heads": 4, "num_kv_heads": 4, "num_layers": 2, "num_refiner_layers": 1}
Z = {"dim": 256, "n_heads": 4, "n_kv_heads": 4, "n_layers": 2, "n_refiner_layers": 1, "axes_dims": [16, 24, 24]}
NETWORKS: dict[str, tuple[str, dict[str, Any], dict[str, Any], int]] = {
    "flux": (
        "FluxTransformer2DModel",
        {**SINGLE, "pooled_projection_dim": 32, "guidance_embeds": True, "axes_dims_rope": AXES},
        joint(512, axes=3, guidance=ONE, **POOLED),
        EDGE**2,
    ),
    "flux2": (
        "Flux2Transformer2DModel",
        {**SINGLE, "axes_dims_rope": (16,) * 4},
        joint(512, 128, axes=4, guidance=ONE),
        TOKENS,
    ),
    "chroma": (
        "ChromaTransformer2DModel",
        {**SINGLE, "axes_dims_rope": AXES, "approximator_hidden_dim": 64, "approximator_layers": 1},
        joint(256, axes=3),
        EDGE**2,
    ),
    "qwen_image": (
        "QwenImageTransformer2DModel",
        {**HEADS, "axes_dims_rope": AXES},
        joint(512, img_shapes=[[(1, EDGE // 2, EDGE // 2)]]),
        EDGE**2,
    ),
    "sd3": (
        "SD3Transformer2DModel",
        {**HEADS, "pooled_projection_dim": 32, "caption_projection_dim": 256, "sample_size": EDGE},
        {**joint(256), "hidden_states": PICTURE, **POOLED},
        EDGE**2,
    ),
    "z-image": (
        "ZImageTransformer2DModel",
        {**Z, "cap_feat_dim": 64},
        {"x": [PICTURE[0, :, None]], "t": ONE, "cap_feats": [torch.zeros(512, 64)]},
        EDGE**2,
    ),
    "lumina2": (
        "Lumina2Transformer2DModel",
        {**NEXT, "cap_feat_dim": 64, "axes_dim_rope": AXES, "multiple_of": 16},
        {
            "hidden_states": PICTURE,
            "timestep": ONE,
            "encoder_hidden_states": torch.zeros(1, 256, 64),
            "encoder_attention_mask": torch.ones(1, 256, dtype=torch.bool),
        },
        EDGE**2,
    ),
    "sd": (
        "UNet2DConditionModel",
        {"block_out_channels": (64, 128, 256, 256), "cross_attention_dim": 64},
        {"sample": PICTURE[:, :4], "timestep": ONE, "encoder_hidden_states": torch.zeros(1, 77, 64)},
        EDGE**2,
    ),
}


class Held(TorchDispatchMode):  # type: ignore[misc]
    """Counts the bytes of tensors that live at once, beside a module's own."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        own = [*module.parameters(), *module.buffers()]
        self.known = {tensor.untyped_storage()._cdata: 0 for tensor in own}
        self.now = self.peak = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in tree_iter(made):
            if isinstance(tensor, torch.Tensor) and (key := tensor.untyped_storage()._cdata) not in self.known:
                self.known[key] = tensor.untyped_storage().nbytes()
                self.now += self.known[key]
                self.peak = max(self.peak, self.now)
                weakref.finalize(tensor.untyped_storage(), self.forget, key)
        return made

    def forget(self, key: int) -> None:
        self.now -= self.known.pop(key, 0)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of Diffusers' own classes
@pytest.mark.parametrize("family", NETWORKS)
def test_the_estimate_of_memory_is_up_to_three_times_what_lives_at_once(family: str) -> None:
    name, config, told, samples = NETWORKS[family]
    module = getattr(diffusers, name)(**config).eval()
    with torch.no_grad(), Held(module) as held:
        module(**told)
    footprint = installed()[family].footprint
    assert footprint is not None
    assert 0.9 * held.peak <= footprint.held(module.config, samples) * 4 <= 3 * held.peak


def test_a_plan_tells_what_the_denoiser_estimates(tmp_path: Path) -> None:
    settings = Settings(
        cache_dir=tmp_path,
        models=(RootSetting(path=tmp_path),),
        device="cpu",
        dtype="float32",
        offline=True,
        stand_in=True,
    )
    g = Workflow()
    model = g.add(nodes.load_diffusion_model, model="flux1-dev")
    encoder = g.add(nodes.load_text_encoder, model="t5xxl_fp16", model_2="clip_l", family="flux")
    told = g.add(nodes.encode_prompt, text_encoder=encoder, text="a fox")
    latent = g.add(nodes.empty_latent, width=96, height=64, channels=16)
    again = g.add(nodes.sample, model=model, positive=told, latent=latent, id="first")
    known = g.add(nodes.sample, model=model, positive=told, latent=again, id="second")
    bigger = g.add(nodes.upscale_latent, latent=known, scale=1.5)
    last = g.add(nodes.sample, model=model, positive=told, latent=bigger, id="unknown")
    g.add(nodes.save_latent, latent=last)
    with Session(settings) as session:
        estimated = evaluation_bytes(session.plan(g.document))
        config = session.library.describe("flux1-dev", "diffusion_model").parts["transformer"].config
    wanted = FAMILY.footprint.held(config, 8 * 12) * 4
    assert estimated == dict.fromkeys(("first", "second"), int(wanted))
