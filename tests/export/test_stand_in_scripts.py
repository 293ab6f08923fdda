"""Scripts of families of which nothing is recorded as a whole draw what the engine draws, on small files in their layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import load_file, save_file

from graphflow import Workflow, nodes
from graphflow.cli.quantising import write_quantised
from graphflow.converters.diffusers_script import export
from graphflow.document.document import Document
from graphflow.session import Session
from graphflow.settings import RootSetting, Settings
from tests.comfyui.trying import make_picture
from tests.fresh import Fresh
from tests.models.stand_in_files import write_stand_ins

Nodes = dict[str, tuple[str, dict[str, Any], dict[str, Any]]]
EDGES = {"width": 96, "height": 64}
LOADED: dict[str, tuple[str, str, str, str]] = {
    "klein": ("flux2", "flux-2-klein-4b", "qwen_3_4b", "flux2-vae"),
    "qwen21": ("qwen_image_21", "qwen_image_2.1_bf16", "qwen3vl_8b", "qwen_image_2.1_vae"),
    "lumina2": ("lumina2", "lumina_2_model_bf16", "gemma_2_2b_fp16", "ae"),
    "chroma": ("chroma", "Chroma1-HD-bf16", "t5xxl_fp16", "ae"),
    "layered": ("qwen_image", "qwen_image_layered_bf16", "qwen_2.5_vl_7b", "qwen_image_layered_vae"),
}
"""Family, and published names of a model, its text encoder and its autoencoder."""
QUANTISED = {"model": "gguf:Q8_0", "encoder": "gguf:Q4_0"}
"""What the files of one workflow are written as, by node."""
SHOWN: Nodes = {
    "picture": ("load_image", {"file": "picture.png"}, {}),
    "small": ("resize", {**EDGES, "method": "area"}, {"images": "picture"}),
    "seen": ("encode_image", {}, {"images": "small", "vae": "vae"}),
}
PLAIN: Nodes = {
    "latent": ("empty_latent", EDGES, {}),
    "positive": ("combine_conditioning", {}, {"conditioning": "told"}),
}
WORKFLOWS: dict[str, Nodes] = {
    "klein": {
        **SHOWN,
        "mask": ("mask_from_image", {"channel": "red"}, {"images": "small"}),
        "latent": ("set_noise_mask", {}, {"latent": "seen", "mask": "mask"}),
        "changed": ("apply_lora", {"lora": "style", "strength": 0.7}, {"model": "model"}),
        "kept": ("cache_references", {}, {"model": "changed.model"}),
        "looking": ("add_reference_latent", {}, {"conditioning": "told", "latent": "seen"}),
        "area": (
            "set_conditioning_area",
            {"unit": "pixels", "x": 32, "width": 64, "height": 64},
            {"conditioning": "not"},
        ),
        "positive": ("combine_conditioning", {}, {"conditioning": ["looking", "area"]}),
    },
    "qwen21": {
        **{name: SHOWN[name] for name in ("picture", "small")},
        "both": (
            "encode_prompts_with_images",
            {"text": "a red fox", "negative_text": "blurred", "resolution": 64},
            {"text_encoder": "encoder", "images": ["small"], "vae": "vae"},
        ),
        "kept": ("cache_references", {}, {"model": "model"}),
    },
    "layered": {
        **SHOWN,
        "latent": ("empty_video_latent", {**EDGES, "length": 3, "time_downscale": 1}, {}),
        "positive": ("add_reference_latent", {}, {"conditioning": "told", "latent": "seen"}),
        "cut": ("cut_latent_to_batch", {"axis": "t", "length": 1}, {"latent": "sample"}),
    },
}


def drawing(name: str, own: Nodes | None = None) -> Document:
    """A workflow of its own or given nodes, between the loaders of its family and what saves its pictures."""
    family, model, encoder, vae = LOADED[name]
    own = own or WORKFLOWS.get(name, PLAIN)
    text = {"text_encoder": "encoder"}
    nodes: Nodes = {
        "model": ("load_diffusion_model", {"model": model}, {}),
        "encoder": ("load_text_encoder", {"model": encoder, "family": family}, {}),
        "vae": ("load_vae", {"model": vae}, {}),
        "told": ("encode_prompt", {"text": "a (red:1.2) fox"}, text),
        "not": ("encode_prompt", {"text": "blurred"}, text),
        **own,
    }
    links = {"model": "kept", "positive": "positive", "negative": "not", "latent": "latent"}
    if "both" in own:
        links |= {side: f"both.{side}" for side in ("positive", "negative", "latent")}
    links |= {} if "kept" in own else {"model": "model"}
    params = {"seed": 3, "steps": 2, "guidance_scale": 2.5, "sampler": "euler", "schedule": "simple", "strength": 0.8}
    nodes["sample"] = ("sample", params, links)
    nodes["decode"] = ("vae_decode", {}, {"vae": "vae", "latent": "cut" if "cut" in own else "sample"})
    nodes["save"] = ("save_image", {}, {"images": "decode"})
    found = {id: {"type": kind, "params": params, "links": links} for id, (kind, params, links) in nodes.items()}
    return Document.model_validate({"graphflow": 2, "nodes": found})


def session_on(folder: Path, *, stand_in: bool) -> Session:
    settings = Settings(
        models=(RootSetting(path=folder / "models"),),
        cache_dir=folder / "cache",
        device="cpu",
        dtype="float32",
        offline=True,
        safety="off",
        stand_in=stand_in,
    )
    return Session(settings)


def quantised(document: Document, folder: Path, targets: dict[str, str]) -> Document:
    """A workflow with quantised files in place of those that some of its nodes load."""
    data = document.model_dump()
    with session_on(folder, stand_in=False) as session:
        for node, target in targets.items():
            params = data["nodes"][node]["params"]
            params["model"] = write_quantised(session, params["model"], target, None, evaluate=False)[0].name
    return Document.model_validate(data)


@pytest.mark.parametrize(("name", "targets"), [*((name, {}) for name in WORKFLOWS), ("chroma", QUANTISED)])
def test_a_script_draws_what_the_engine_draws(name: str, targets: dict[str, str], fresh: Fresh, tmp_path: Path) -> None:
    document = drawing(name)
    make_picture(tmp_path / "picture.png")
    with session_on(tmp_path, stand_in=True) as session:
        write_stand_ins(session, document, tmp_path / "models", tmp_path)
    document = quantised(document, tmp_path, targets)
    with session_on(tmp_path, stand_in=False) as session:
        script = tmp_path / "script.py"
        script.write_text(export(document, session=session, folder=tmp_path).code, "utf-8")
        done = fresh.run(script, "--out", tmp_path / "theirs")
        assert not done.code, done.err[-2000:]
        ours = session.run(document, folder=tmp_path, out=tmp_path / "ours").paths
    theirs = sorted((tmp_path / "theirs").iterdir())
    assert len(ours) == len(theirs)
    for paths in zip(sorted(ours), theirs, strict=True):
        mine, other = (np.asarray(PIL.Image.open(path), dtype=np.int16) for path in paths)
        assert mine.shape == other.shape
        assert np.ptp(mine) > 1, "nothing is drawn"
        assert np.abs(mine - other).max() <= 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"latent": ("empty_latent", {"width": 80, "height": 64}, {})}, "no multiples of 32 pixels"),
        (
            {"positive": ("add_reference_latent", {}, {"conditioning": "told", "latent": "seen"})},
            "saw other pictures than the references",
        ),
    ],
)
def test_what_a_network_cannot_draw_ends_its_script_with_the_reason(
    changed: Nodes, said: str, fresh: Fresh, tmp_path: Path
) -> None:
    own = {**SHOWN, **PLAIN, **changed}
    document = drawing("qwen21", own)
    make_picture(tmp_path / "picture.png")
    with session_on(tmp_path, stand_in=True) as session:
        write_stand_ins(session, document, tmp_path / "models", tmp_path)
    with session_on(tmp_path, stand_in=False) as session:
        (tmp_path / "script.py").write_text(export(document, session=session, folder=tmp_path).code, "utf-8")
    done = fresh.run(tmp_path / "script.py", "--out", tmp_path / "out")
    assert done.code
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_text_encoder_that_brings_its_tokenizer_along_is_no_quantised_one(tmp_path: Path) -> None:
    document = drawing("lumina2")
    with session_on(tmp_path, stand_in=True) as session:
        write_stand_ins(session, document, tmp_path / "models")
    (path,) = (tmp_path / "models" / "text_encoders").glob("*.safetensors")
    save_file(load_file(path) | {"spiece_model": torch.zeros(8, dtype=torch.uint8)}, path)
    with session_on(tmp_path, stand_in=False) as session:
        code = export(document, session=session).code
    assert "load_pieces_inside(TOKENIZER)" in code
    assert f'TOKENIZER = "{path}"' in code


def test_a_lora_on_a_checkpoint_that_is_not_there_is_written(tmp_path: Path) -> None:
    g = Workflow()
    loaded = g.add(nodes.load_checkpoint, model="flux1-dev.safetensors")
    changed = g.add(nodes.apply_lora, model=loaded.model, lora="style", strength=0.7)
    told = g.add(nodes.encode_prompt, text_encoder=loaded.text_encoder, text="a fox")
    latent = g.add(nodes.empty_latent, width=64, height=64, channels=16)
    sampled = g.add(nodes.sample, model=changed.model, positive=told, latent=latent, steps=2)
    g.add(nodes.save_image, images=g.add(nodes.vae_decode, vae=loaded.vae, latent=sampled))
    document = g.to_document()
    with session_on(tmp_path, stand_in=True) as session:
        write_stand_ins(session, document, tmp_path / "models")
    with session_on(tmp_path, stand_in=True) as session:
        code = export(document, session=session).code
    assert "add_lora(pipe.transformer, LORA, LORA_TRANSFORMER_LAYERS, " in code
    assert "transformer_blocks" in code
