"""Qwen-Image-Layered: layers of a picture as frames, compared with Diffusers' transformer; what it draws has alpha."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLQwenImage, QwenImageTransformer2DModel
from safetensors.torch import save_file

from graphflow.converters.comfyui import to_native, to_prompt
from graphflow.session import Session
from tests.closeness import assert_close
from tests.families.lab import lab
from tests.families.recorded_flows import make_session
from tests.families.recorded_models import noise

LAYERS = 2


@pytest.fixture(scope="module")
def transformer() -> Any:
    torch.manual_seed(0)
    return QwenImageTransformer2DModel(
        num_layers=2,
        num_attention_heads=1,
        joint_attention_dim=32,
        use_additional_t_cond=True,
        use_layer3d_rope=True,
    ).eval()


@pytest.fixture(scope="module")
def session(transformer: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    models = tmp_path_factory.mktemp("models")
    torch.manual_seed(1)
    vae = AutoencoderKLQwenImage(base_dim=8, dim_mult=[1, 2, 2, 2], num_res_blocks=1, input_channels=4)
    for name, module in (("diffusion_models/layered", transformer), ("vae/layered", vae)):
        path = models / f"{name}.safetensors"
        path.parent.mkdir()
        save_file(module.state_dict(), path)
    with lab() as registry:
        yield make_session(registry, models, tmp_path_factory.mktemp("cache"))


def result(session: Session, prompt: dict[str, Any], name: str) -> Any:
    nodes = {key: {"class_type": kind, "inputs": inputs} for key, (kind, inputs) in prompt.items()}
    imported = to_native(to_prompt(nodes), registry=session.registry)
    assert not imported.report.unsupported
    address = imported.addresses[name, 0]
    return session.run(imported.document.model_copy(update={"outputs": {"it": address}})).outputs["it"]


def test_layers_and_the_picture_are_told_apart_as_diffusers_does(session: Session, transformer: Any) -> None:
    shapes = {"layers": (1, 16, LAYERS + 1, 8, 12), "picture": (1, 16, 1, 8, 12)}
    prompt: dict[str, Any] = {
        "model": ("UNETLoader", {"unet_name": "layered.safetensors", "weight_dtype": "default"}),
        "text": ("LabConditioning", {"name": "text", "tokens": 9, "width": 32}),
        **{name: ("LabLatent", {"name": name, "shape": list(shape), "scale": 1.0}) for name, shape in shapes.items()},
        "told": ("ReferenceLatent", {"conditioning": ["text", 0], "latent": ["picture", 0]}),
        "eval": ("LabEval", {"model": ["model", 0], "positive": ["told", 0], "latent": ["layers", 0], "sigma": 0.6}),
        "show": ("PreviewAny", {"source": ["eval", 0]}),
    }
    got = result(session, prompt, "eval").samples

    raw = {name: torch.from_numpy(noise("latent", name, shape)) for name, shape in shapes.items()}
    config = AutoencoderKLQwenImage().config
    mean, deviation = (torch.tensor(config[key]).view(1, -1, 1, 1, 1) for key in ("latents_mean", "latents_std"))
    tokens = [
        part.unflatten(-2, (4, 2)).unflatten(-1, (6, 2)).permute(0, 2, 3, 5, 1, 4, 6).flatten(1, 3).flatten(2)
        for part in (raw["layers"], (raw["picture"] - mean) / deviation)
    ]
    with torch.no_grad():
        velocity = transformer(
            hidden_states=torch.cat(tokens, dim=1),
            encoder_hidden_states=torch.from_numpy(noise("cond", "text", (1, 9, 32))),
            timestep=torch.tensor([0.6]),
            img_shapes=[[(1, 4, 6)] * (LAYERS + 2)],
            additional_t_cond=torch.tensor([0]),
            return_dict=False,
        )[0][:, : tokens[0].shape[1]]
    parts = velocity.unflatten(2, (16, 2, 2)).unflatten(1, (LAYERS + 1, 4, 6)).permute(0, 4, 1, 2, 5, 3, 6)
    assert_close(got, raw["layers"] - 0.6 * parts.flatten(5).flatten(3, 4))


def test_layers_become_pictures_with_alpha(session: Session) -> None:
    prompt: dict[str, Any] = {
        "vae": ("VAELoader", {"vae_name": "layered.safetensors"}),
        "empty": (
            "EmptyQwenImageLayeredLatentImage",
            {"width": 96, "height": 64, "layers": LAYERS, "batch_size": 1},
        ),
        "layers": ("LatentCut", {"samples": ["empty", 0], "dim": "t", "index": 1, "amount": 16384}),
        "batch": ("LatentCutToBatch", {"samples": ["layers", 0], "dim": "t", "slice_size": 1}),
        "decode": ("VAEDecode", {"samples": ["batch", 0], "vae": ["vae", 0]}),
        "show": ("PreviewImage", {"images": ["decode", 0]}),
    }
    assert result(session, prompt, "decode").pixels.shape == (LAYERS, 4, 64, 96)
