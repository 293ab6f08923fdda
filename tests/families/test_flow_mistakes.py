"""What cannot be right for a flow model is refused, or told, before it makes a picture that is only noise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from graphflow import Workflow, nodes
from graphflow.errors import GraphflowError
from graphflow.session import Session
from tests.families.lab import lab, lab_conditioning
from tests.families.recorded_flows import make_session
from tests.families.recorded_models import write_model

MODEL, WAN = "z_image_tiny.safetensors", "wan_2.1_vae_tiny.safetensors"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    models = tmp_path_factory.mktemp("models")
    for name in ("z_image", "ae_tiny", "wan_vae"):
        write_model(name, models)
    folder = models / "diffusion_models"
    weights = load_file(folder / MODEL)
    scale = {"layers.0.attention.out.scale_weight": torch.tensor(0.5)}
    save_file(weights | scale, folder / "scaled.safetensors")
    with lab() as registry:
        yield make_session(registry, models, tmp_path_factory.mktemp("cache"))


def draw(
    session: Session,
    folder: Path,
    *,
    vae: str = "ae_tiny.safetensors",
    hook: Any = None,
    previews: bool = False,
    **loader: Any,
) -> Any:
    g = Workflow()
    model = g.add(nodes.load_diffusion_model, **({"model": MODEL} | loader))
    if hook is not None:
        model = g.add(hook, model=model)
    latent = g.add(nodes.empty_latent, width=16, height=16, channels=16)
    told = g.add(lab_conditioning, name="pos", tokens=20, width=64)
    sampled = g.add(nodes.sample, model=model, positive=told, negative=told, latent=latent, steps=1)
    decoded = g.add(nodes.vae_decode, vae=g.add(nodes.load_vae, model=vae), latent=sampled)
    g.add(nodes.save_image, images=decoded)
    return session.run(g, out=folder, previews=previews)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ({"model": "scaled.safetensors"}, "quantised in a way that is not known (layers.0.attention.out.scale_weight)"),
        ({"prediction": "v_prediction"}, "leave prediction and zero_snr at auto"),
        ({"zero_snr": "on"}, "leave prediction and zero_snr at auto"),
        ({"vae": WAN}, "use the autoencoder of z-image"),
        ({"hook": nodes.skip_transformer_layers}, "cannot be skipped"),
    ],
)
def test_it_is_refused(session: Session, tmp_path: Path, mistake: dict[str, Any], said: str) -> None:
    with pytest.raises(GraphflowError) as caught:
        draw(session, tmp_path, **mistake)
    assert said in str(caught.value)


@pytest.mark.parametrize("hook", [nodes.set_prediction, nodes.set_continuous_sampling])
def test_another_kind_of_model_is_told(session: Session, tmp_path: Path, hook: Any) -> None:
    told = draw(session, tmp_path, hook=hook).notices
    assert any(hook.__name__ in str(notice) and "flow model" in str(notice) for notice in told)
    assert not draw(session, tmp_path).notices


def test_a_model_without_previews_is_told(session: Session, tmp_path: Path) -> None:
    told = draw(session, tmp_path, previews=True, hook=nodes.rescale_guidance).notices
    assert any("no previews" in str(notice) and "taef1" in str(notice) for notice in told)
