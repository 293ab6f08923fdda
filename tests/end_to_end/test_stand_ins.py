"""Workflows tried without their model files: tiny random weights of the right family stand in for them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

import graphflow
from graphflow import Session, Settings, Workflow, nodes
from graphflow.errors import WorkflowError
from graphflow.settings import RootSetting
from tests.fresh import Fresh

FAMILIES = {
    "flux": ("flux1-dev", ("clip_l", "t5xxl_fp16"), "ae"),
    "chroma": ("Chroma1-HD", ("t5xxl_fp16",), "ae"),
    "lumina2": ("lumina_2_model_bf16", ("gemma_2_2b_fp16",), "ae"),
    "sd3": ("sd3.5_large", ("clip_l", "clip_g", "t5xxl_fp16"), "my own"),
    "qwen_image_21": ("qwen_image_2.1_bf16", ("qwen3vl_8b",), "qwen_image_2.1_vae"),
}
"""Published names of a model, its text encoders and its autoencoder."""
CHECKPOINTS = {
    "v1-5-pruned-emaonly": "sd",
    "v2-1_768-ema-pruned": "sd",
    "sd_xl_base_1.0": "sdxl",
    "folder/flux1-schnell-fp8": "flux",
    "sd3.5_medium": "sd3",
}

RUN = "sd_xl_base_1.0"
SMALL = {"width": 64, "height": 64}
NAMES = ("flux", "flux2_klein", "qwen_image", "qwen_image_21", "sd35", "z_image")
READY_MADE = dict.fromkeys(NAMES, SMALL) | {"qwen_image_edit": {"megapixels": 2**-8}}


def make_session(folder: Path, **changes: Any) -> Session:
    given: dict[str, Any] = {"cache_dir": folder / "cache", "device": "cpu", "safety": "off", "stand_in": True}
    return Session(Settings(models=(RootSetting(path=folder / "models"),), offline=True, **{**given, **changes}))


def drawing(model: Any, encoder: Any, vae: Any, g: Workflow) -> Workflow:
    positive = g.add(nodes.encode_prompt, text_encoder=encoder, text="a (red:1.2) circle")
    negative = g.add(nodes.encode_prompt, text_encoder=encoder, text="")
    latent = g.add(nodes.empty_latent, width=64, height=64, channels=4)
    sampled = g.add(
        nodes.sample, model=model, positive=positive, negative=negative, latent=latent, seed=1, steps=1, id="sample"
    )
    g.add(nodes.save_image, images=g.add(nodes.vae_decode, vae=vae, latent=sampled, id="decode"), id="save")
    return g


def by_components(family: str) -> Workflow:
    g = Workflow()
    model, encoders, vae = FAMILIES[family]
    base = g.add(nodes.load_diffusion_model, model=model, id="model")
    names = dict(zip(("model", "model_2", "model_3"), encoders, strict=False))
    encoder = g.add(nodes.load_text_encoder, **names, family=family)
    adapted = g.add(nodes.apply_lora, model=base, lora="style", id="lora").model
    return drawing(adapted, encoder, g.add(nodes.load_vae, model=vae), g)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_by_components(tmp_path: Path, family: str) -> None:
    result = make_session(tmp_path).run(by_components(family), out=tmp_path, targets=["save", "model"])
    assert result.values["model.model"].family == family
    with PIL.Image.open(result.paths[0]) as picture:
        assert picture.size == (64, 64)
        assert len(picture.getcolors(64 * 64)) > 100
        for name in ("style", FAMILIES[family][0], *FAMILIES[family][1]):
            assert name in picture.info["Warning"]
        assert json.loads(picture.info["graphflow.record"])["warning"] == picture.info["Warning"]
    assert any("random weights stand in for" in notice for notice in result.notices)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint(tmp_path: Path, name: str) -> None:
    g = Workflow()
    checkpoint = g.add(nodes.load_checkpoint, model=name, id="checkpoint")
    drawing(checkpoint.model, checkpoint.text_encoder, checkpoint.vae, g)
    session = make_session(tmp_path)
    (file,) = session.plan(g).steps["checkpoint"].files
    assert (file.family, file.stands_in) == (CHECKPOINTS[name], True)
    if name == RUN:
        assert len(session.run(g, out=tmp_path).paths) == 1


@pytest.mark.parametrize(("name", "size"), READY_MADE.items())
def test_a_ready_made_workflow(tmp_path: Path, name: str, size: dict[str, float]) -> None:
    result = make_session(tmp_path).run(name, {"steps": 1, **size}, out=tmp_path)
    with PIL.Image.open(result.paths[0]) as picture:
        assert picture.size == (64, 64)
        assert len(picture.getcolors(64 * 64)) > 100


SECOND = """
import json, sys
from graphflow import Session, Settings
settings = Settings.model_validate(json.loads(sys.argv[1]))
result = Session(settings).run("z_image", {"steps": 1, "seed": 2, "width": 64, "height": 64}, out=sys.argv[2])
print(*sorted(result.ran))
"""


def test_another_process_that_knows_the_prompt_loads_no_text_encoder(tmp_path: Path, fresh: Fresh) -> None:
    session = make_session(tmp_path)
    first = session.run("z_image", {"steps": 1, **SMALL}, out=tmp_path)
    assert {"encoders", "positive"} <= {*first.ran}
    done = fresh.execute(SECOND, session.settings.model_dump_json(), tmp_path, blocked=())
    assert done.code == 0, done.err
    assert done.out.split() == ["decode", "latent", "model", "sample", "save", "shifted", "vae"]


def test_what_a_name_does_not_tell_its_links_and_its_publisher_do(tmp_path: Path) -> None:
    g = Workflow()
    model = g.add(nodes.load_diffusion_model, model="mine", id="model")
    encoder = g.add(nodes.load_text_encoder, model="reader")
    drawing(model, encoder, g.add(nodes.load_vae, model="painter", id="vae"), g)
    document = g.document.model_copy(
        update={"meta": {"models": [{"name": "mine", "url": "https://hub.example/z_image_turbo/mine.safetensors"}]}}
    )
    result = make_session(tmp_path).run(document, out=tmp_path, targets=["save", "model"])
    assert result.values["model.model"].family == "z-image"


ADAPTERS = {
    "v1-5-pruned": {
        "ip-adapter_sd15": "CLIP-ViT-H-14-laion2B-s32B-b79K",
        "SD1.5/ip-adapter-full-face_sd15": "CLIP-ViT-H-14-laion2B-s32B-b79K",
        "ip-adapter_sd15_vit-G": "CLIP-ViT-bigG-14-laion2B-39B-b160k",
        "ip_plus_composition_sd15": "CLIP-ViT-H-14-laion2B-s32B-b79K",
    },
    "sd_xl_base_1.0": {
        "ip-adapter_sdxl": "clip_vision_g",
        "ip-adapter_sdxl_vit-h": "clip_vision_h",
        "ip-adapter-plus-face_sdxl_vit-h": "sd1.5 ipadapter image encoder",
    },
    "flux1-dev": {"flux-ip-adapter": "clip-vit-large-patch14", "mine": "clip_vision_l"},
}
"""By a model: published IP-Adapters, and the image encoder that each reads."""


@pytest.mark.parametrize("model", ADAPTERS)
def test_ip_adapters_read_the_image_encoders_that_they_were_made_with(tmp_path: Path, model: str) -> None:
    g = Workflow()
    picture = g.add(nodes.solid_image, width=32, height=32)
    checkpoint = g.add(nodes.load_checkpoint, model=model)
    steered = checkpoint.model
    for adapter, seeing in ADAPTERS[model].items():
        encoder = g.add(nodes.load_image_encoder, image_encoder=seeing)
        loaded = g.add(nodes.load_ip_adapter, ip_adapter=adapter)
        steered = g.add(nodes.apply_ip_adapter, model=steered, ip_adapter=loaded, image_encoder=encoder, image=picture)
    drawing(steered, checkpoint.text_encoder, checkpoint.vae, g)
    assert "sample" in make_session(tmp_path).run(g, targets=["sample"]).ran


def test_sdxl_reads_what_its_image_encoder_sees(tmp_path: Path) -> None:
    g = Workflow()
    checkpoint = g.add(nodes.load_checkpoint, model="sd_xl_base_1.0")
    text = g.add(nodes.encode_prompt, text_encoder=checkpoint.text_encoder, text="a fox")
    seeing = g.add(nodes.load_image_encoder, image_encoder="clip_vision_g")
    picture = g.add(nodes.solid_image, width=32, height=32)
    seen = g.add(nodes.add_image_prompt, conditioning=text, image_encoder=seeing, image=picture)
    latent = g.add(nodes.empty_latent, width=64, height=64)
    sampled = g.add(
        nodes.sample, model=checkpoint.model, positive=seen, negative=text, latent=latent, seed=1, steps=1, id="sample"
    )
    g.add(nodes.save_latent, latent=sampled)
    assert "sample" in make_session(tmp_path).run(g, targets=["sample"]).ran


@pytest.mark.parametrize(
    "adapter", ["ip-adapter-faceid-plusv2_sdxl", "ip-adapter-faceid_sdxl", "instantid/ip-adapter.bin"]
)
def test_faces(tmp_path: Path, adapter: str) -> None:
    g = Workflow()
    picture = g.add(nodes.solid_image, width=64, height=64)
    faces = g.add(nodes.find_faces, image=picture, detector="buffalo_l/det_10g.onnx", recogniser="w600k_r50.onnx")
    checkpoint = g.add(nodes.load_checkpoint, model="sd_xl_base_1.0")
    steered = g.add(
        nodes.apply_face_adapter,
        model=checkpoint.model,
        ip_adapter=g.add(nodes.load_ip_adapter, ip_adapter=adapter),
        faces=faces,
        image_encoder=g.add(nodes.load_image_encoder, image_encoder="clip_vision_h"),
    )
    drawing(steered, checkpoint.text_encoder, checkpoint.vae, g)
    assert make_session(tmp_path).run(g).paths


def test_nothing_stands_in_inside_a_model_that_is_there(tmp_path: Path) -> None:
    g = Workflow()
    picture = g.add(nodes.solid_image, width=64, height=64)
    adapter = g.add(nodes.load_ip_adapter, ip_adapter="ip-adapter_sd15")
    encoder = g.add(nodes.load_image_encoder, image_encoder="clip_vision_h")
    checkpoint = g.add(nodes.load_checkpoint, model="shapes")
    steered = g.add(
        nodes.apply_ip_adapter, model=checkpoint.model, ip_adapter=adapter, image_encoder=encoder, image=picture
    )
    drawing(steered, checkpoint.text_encoder, checkpoint.vae, g)
    with pytest.raises(WorkflowError, match="would work inside a model that is there"):
        make_session(tmp_path).plan(g)


def test_an_upscaler(tmp_path: Path) -> None:
    g = Workflow()
    small = g.add(nodes.solid_image, width=20, height=12)
    upscaler = g.add(nodes.load_upscale_model, model="RealESRGAN_x2plus")
    large = g.add(nodes.upscale_image_with_model, image=small, upscale_model=upscaler, id="large")
    g.add(nodes.save_image, images=large)
    result = make_session(tmp_path).run(g, targets=["large"])
    assert result.values["large.image"].pixels.shape == (1, 3, 24, 40)


def test_what_no_family_has_is_refused_and_all_of_it_is_named(tmp_path: Path) -> None:
    g = Workflow()
    model = g.add(nodes.load_diffusion_model, model="unheard-of")
    drawing(model, g.add(nodes.load_text_encoder, model="nobody"), g.add(nodes.load_vae, model="nothing"), g)
    with pytest.raises(WorkflowError) as caught:
        make_session(tmp_path).plan(g)
    for name in ("unheard-of", "nobody", "nothing"):
        assert f"'{name}': there is no" in str(caught.value)
    assert str(caught.value).count("nothing can stand in for it") == 3


def test_real_files_come_first_and_results_are_never_mixed_up(tmp_path: Path) -> None:
    """Also where the model is real and only a LoRA is not."""
    g = Workflow()
    checkpoint = g.add(nodes.load_checkpoint, model="shapes")
    adapted = g.add(nodes.apply_lora, model=checkpoint.model, lora="style")
    drawing(adapted.model, checkpoint.text_encoder, checkpoint.vae, g)
    session = make_session(tmp_path)
    plan = session.plan(g, targets=["decode"])
    (notice,) = plan.notices
    assert notice.startswith("random weights stand in for style:")
    plain = make_session(tmp_path, stand_in=False)
    with pytest.raises(WorkflowError, match="'style': there is no lora"):
        plain.plan(g)
    (tmp_path / "models" / "loras").mkdir(parents=True)
    outline = Path(graphflow.__file__).parent / "assets" / "loras" / "shapes-outline.safetensors"
    shutil.copy(outline, tmp_path / "models" / "loras" / "style.safetensors")
    real = make_session(tmp_path).plan(g, targets=["decode"])
    assert not real.notices
    assert real.steps["sample"].key != plan.steps["sample"].key
