"""The packaged model as one file in the original layout: the same weights draw the same picture."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from safetensors import safe_open

from graphflow import Workflow, nodes, workflows
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.registry import Registry


def pixels(path: Path) -> npt.NDArray[np.int16]:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.int16)


def test_a_checkpoint_in_one_file_draws_the_same_picture(
    session: Session, settings: Settings, known: Registry, tmp_path: Path
) -> None:
    g = Workflow("one file")
    loaded = g.add(nodes.load_checkpoint, model="shapes")
    g.add(nodes.save_checkpoint, model=loaded.model, text_encoder=loaded.text_encoder, vae=loaded.vae)
    (saved,) = session.run(g, out=tmp_path / "out").paths
    with safe_open(saved, "pt") as file:
        names, metadata = set(file.keys()), file.metadata()
    assert {"model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.post_quant_conv.weight"} <= names
    assert set(json.loads(metadata["graphflow.config"]))
    folder = tmp_path / "models" / "checkpoints"
    folder.mkdir(parents=True)
    shutil.copy(saved, folder / "one-file.safetensors")

    own = Settings.model_validate({**settings.model_dump(), "models": (str(tmp_path / "models"),)})
    workflow = Workflow.load(workflows.path("txt2img"))
    (whole,) = session.run(workflow, {"steps": 4}, out=tmp_path / "folder").paths
    (single,) = Session(own, known=known).run(workflow, {"steps": 4, "model": "one-file"}, out=tmp_path / "one").paths
    # The weights lie elsewhere in memory, which may round otherwise: by the last bit of a pixel.
    assert np.abs(pixels(whole) - pixels(single)).max() <= 1
