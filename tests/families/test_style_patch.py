"""USO's patch for styles beside its published formulas, and beside text that says the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from graphflow import nodes
from graphflow.errors import GraphflowError
from graphflow.values import Conditioning, ConditioningEntry, Image
from graphflow.values.image_prompts import StyleTokens
from tests.closeness import assert_close
from tests.families.controls import random
from tests.families.ip_adapters import flux
from tests.families.styles import seer, style_projector
from tests.models.tiny_manager import error, make_manager, running

pytestmark = pytest.mark.filterwarnings("ignore:.*FluxPosEmbed:FutureWarning")  # of Diffusers' own class


def test_a_style_is_read_as_a_text_of_the_same_states(tmp_path: Path) -> None:
    network = flux()
    network.save_pretrained(tmp_path / "diffusion_models" / "flux")
    manager = make_manager(tmp_path)
    x, time, text, more = random(2, 16, 8, 12), torch.tensor([0.6, 0.6]), random(1, 5, 24), random(1, 3, 24, seed=5)
    pooled = random(1, 12, seed=8)
    with torch.no_grad():
        tokens = network.context_embedder(more)
    with running(manager):
        base = nodes.load_diffusion_model("flux")
        with base.use() as loaded:
            longer = ConditioningEntry(embedding=torch.cat([text, more], dim=1), pooled=pooled)
            wanted = loaded.predict(x, time, [longer], sigma=time[0])
            plain = loaded.predict(x, time, [ConditioningEntry(embedding=text, pooled=pooled)], sigma=time[0])
        styled = base.hooked(StyleTokens(tokens=tokens[:, :1]), StyleTokens(tokens=tokens[:, 1:]))
        with styled.use() as loaded:
            found = loaded.predict(x, time, [ConditioningEntry(embedding=text, pooled=pooled)], sigma=time[0])
        with pytest.raises(GraphflowError, match="width"), base.hooked(StyleTokens(tokens=text)).use():
            pass
    assert_close(found, wanted)
    assert float((plain - wanted).abs().max()) > 1e-3


def test_the_projector_mixes_three_layers_as_published(tmp_path: Path) -> None:
    published = style_projector(makes=32)
    (tmp_path / "model_patches").mkdir()
    save_file(published, tmp_path / "model_patches" / "projector.safetensors")
    seer().save_pretrained(tmp_path / "clip_vision" / "eye")
    flux().save_pretrained(tmp_path / "diffusion_models" / "flux")
    image = Image(pixels=torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(1)))
    with running(make_manager(tmp_path)):
        patch, eye = nodes.load_control_patch("projector"), nodes.load_image_encoder("eye")
        styled = nodes.apply_style_patch(nodes.load_diffusion_model("flux"), patch, eye, image)
        with pytest.raises(GraphflowError, match="style"):
            nodes.apply_control_patch(styled, patch, image)
        with pytest.raises(GraphflowError, match="style"):
            nodes.apply_control_net(Conditioning(entries=()), patch, image)
    (hook,) = styled.hooks
    with torch.no_grad():
        states = seer()((image.pixels * 255).round() / 255 * 2 - 1, output_hidden_states=True).hidden_states
    wanted = []
    for level, layer in (("high", -2), ("mid", -11), ("low", -20)):
        name = f"feature_embedder.{level}"
        mixing = published[f"{name}_embedding_linear.0.weight"], published[f"{name}_embedding_linear.0.bias"]
        mixed = functional.silu(torch.einsum("nt,btd->bnd", mixing[0], states[layer]) + mixing[1][:, None])
        norm = published[f"{name}_layer_norm.weight"], published[f"{name}_layer_norm.bias"]
        normed = functional.layer_norm(mixed, (mixed.shape[-1],), *norm)
        wanted.append(normed @ published[f"{name}_projection.weight"].T + published[f"{name}_projection.bias"])
    expected = torch.cat(wanted, dim=1).flatten(0, 1)[None]
    assert error(hook.tokens, expected) <= 1e-5
