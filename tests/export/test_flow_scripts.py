"""A sample of the recorded workflows of flow models as exported scripts; ``tests.runners.families`` runs all of them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxControlNetModel,
    FluxPipeline,
    FluxTransformer2DModel,
    QwenImageControlNetModel,
    SD3ControlNetModel,
    ZImageControlNetModel,
)
from diffusers.loaders import single_file_utils
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from graphflow.converters.comfyui import to_native, to_prompt
from graphflow.converters.diffusers_script import export
from graphflow.converters.diffusers_script.nets import TOKENIZERS
from graphflow.document.document import Document, parse
from graphflow.errors import GraphflowError
from graphflow.families.flow.saving import original_tensors
from graphflow.families.flux.family import FAMILY as FLUX
from graphflow.families.flux.steering import flux_control_net
from graphflow.families.qwen_image.blockwise import BlockwiseNetwork
from graphflow.families.qwen_image.fun import FunNetwork
from graphflow.modelfiles.description import Part
from graphflow.session import Session
from tests.families.controls import seeded
from tests.families.flow_scripts import run_script, script_bound, scripts_of_the_lab
from tests.families.ip_adapters import as_xlabs_published, vision
from tests.families.lab import WIDTHS, lab
from tests.families.recorded_flows import cases, make_session, write_models, write_t5_tokenizer
from tests.families.styles import seer, style_projector
from tests.fresh import Fresh
from tests.models.tiny import TEXT
from tests.models.tiny import _write_tokenizer as write_clip_tokenizer

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:.*FluxPosEmbed:FutureWarning"),  # of Diffusers' own ControlNet
]

SAMPLE = (
    "cascade/c/eval/150tokens",
    "cascade/b/checkpoint/decode",
    "cascade/effnet/384x512",
    "chroma/eval/cfg4",
    "flux/eval/flux_dev/kontext_2refs_uxo",
    "flux/advanced/basic/euler",
    "flux/ksampler_fill/euler",
    "flux/ksampler/dpmpp_sde/cfg3.5",
    "flux/mask/denoise0.5",
    "flux/lora/kohya/eval",
    "flux/pipeline/txt2img",
    "flux_redux/eval/two_attn_bias",
    "flux2/eval/flux2_dev/5x3",
    "flux2/eval/flux2_dev/refs2",
    "flux2/mask/euler",
    "flux2/vae/decode",
    "lumina2/eval/odd9x7",
    "misc/svd/ksampler/euler_karras",
    "qwen_image/lora/lightning/eval",
    "qwen_image/text/editplus_2images",
    "sd3/eval/sd35_medium/slg_layer1",
    "sd3/text/gt5/weights",
    "sd3/pipeline/txt2img",
    "z_image/eval/patched_sd3_3",
    "z_image/text/escape",
)


@pytest.fixture(scope="module")
def fresh() -> Iterator[Fresh]:
    with Fresh() as programs:
        yield programs


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def session(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with lab() as registry:
        yield make_session(registry, models, tmp_path_factory.mktemp("cache"))
    torch.set_num_threads(threads)


@pytest.mark.parametrize("part", SAMPLE)
def test_the_script_of_a_recorded_workflow_draws_what_was_recorded(
    part: str, fresh: Fresh, session: Session, models: Path, tmp_path: Path
) -> None:
    family, _, case = part.partition("/")
    errors = run_script(fresh, session, family, case, models, tmp_path)
    assert errors, "nothing of it is recorded"
    assert max(errors.values()) <= script_bound(case), errors


def test_the_converter_of_diffusers_reads_the_layers_of_flux() -> None:
    with torch.device("meta"):
        module = FluxTransformer2DModel(num_layers=1, num_single_layers=1, guidance_embeds=True)
    config: dict[str, Any] = dict(module.config)
    family = FLUX
    assert family.scripts is not None and family.scripts.flow is not None
    convert = getattr(single_file_utils, family.scripts.flow.converter(config))
    assert not family.scripts.flow.converter({**config, "num_attention_heads": 2})
    numbered: dict[str, torch.Tensor] = {}  # of each row, whose columns are all alike
    for number, (name, tensor) in enumerate(module.state_dict().items()):
        rows = torch.arange(len(tensor), dtype=torch.float64) + number * 1e6
        numbered[name] = rows.reshape(-1, *(1,) * (tensor.ndim - 1))
    names = family.names(Part("transformer", family.transformer, config, files=(), keys="ldm"))
    published = original_tensors(SimpleNamespace(state_dict=lambda: numbered), names, "")  # type: ignore[arg-type]
    assert published.keys() != numbered.keys()
    found = convert(dict(published))
    assert found.keys() == numbered.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in numbered.items())


def test_guidance_that_is_taken_away_is_refused(session: Session, models: Path, tmp_path: Path) -> None:
    recorded = copy.deepcopy(cases("flux")["eval/flux_dev/guidance1.0"])
    prompt = recorded["prompt"]
    prompt["shown"] = {"class_type": "PreviewAny", "inputs": {"source": recorded["taps"]["eval"]}}
    write_models(prompt, models)
    for entry in prompt.values():
        if entry["class_type"] == "FluxGuidance":
            entry["class_type"] = "FluxDisableGuidance"
            del entry["inputs"]["guidance"]
    imported = to_native(to_prompt(prompt), registry=session.registry)
    with scripts_of_the_lab(tmp_path), pytest.raises(GraphflowError, match="keep a distilled model from hearing"):
        export(imported.document, session=session)


VAES = {"qwen_image": "wan_2.1_vae_tiny"}
ENCODERS = {
    "flux": {"model": "clip_l_tiny", "model_2": "t5xxl_tiny", "family": "flux"},
    "qwen_image": {"model": "qwen_2.5_vl_7b_tiny", "family": "qwen_image"},
    "sd3": {"model": "clip_l_tiny", "model_2": "clip_g_tiny", "model_3": "t5xxl_tiny", "family": "sd3"},
    "z_image": {"model": "qwen_3_4b_tiny", "family": "z-image"},
}
TRANSFORMERS = {"flux": "flux_dev_tiny"}


def loaders_of(family: str) -> dict[str, Any]:
    """Return the nodes that load a family's recorded files."""
    return {
        "model": {"type": "load_diffusion_model", "params": {"model": TRANSFORMERS.get(family, f"{family}_tiny")}},
        "encoders": {"type": "load_text_encoder", "params": ENCODERS[family]},
        "vae": {"type": "load_vae", "params": {"model": VAES.get(family, "ae_tiny")}},
    }


def workflow(loaders: dict[str, Any], model: str, encoders: str, vae: str, **sampling: Any) -> Document:
    """Return a workflow from models to two pictures of 64 x 48 pixels."""
    text = {"text_encoder": encoders}
    nodes = {
        "positive": {"type": "encode_prompt", "params": {"text": "a photo of a red fox"}, "links": text},
        "negative": {"type": "encode_prompt", "params": {"text": "the snow"}, "links": text},
        "latent": {"type": "empty_latent", "params": {"width": 64, "height": 48, "batch_size": 2, "channels": 16}},
        "sample": {
            "type": "sample",
            "params": {"seed": 3, "steps": 3, "sampler": "euler", **sampling},
            "links": {"model": model, "positive": "positive", "negative": "negative", "latent": "latent"},
        },
        "decode": {"type": "vae_decode", "links": {"vae": vae, "latent": "sample"}},
        "save": {"type": "save_image", "links": {"images": "decode"}},
    }
    inputs = {name: {"to": [f"sample.{name}"]} for name in ("guidance_scale", "steps")}
    inputs["negative"] = {"to": ["negative.text"]}
    return parse({"graphflow": 2, "inputs": inputs, "nodes": loaders | nodes, "outputs": {"images": "decode"}})


def flux_folder(folder: Path) -> None:
    """Write a small FLUX.1 as Diffusers publishes it."""
    torch.manual_seed(0)
    pipe = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=AutoencoderKL(
            block_out_channels=(32,) * 4,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=16,
            scaling_factor=0.3611,
            shift_factor=0.1159,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        text_encoder=CLIPTextModel(CLIPTextConfig(**TEXT)),
        tokenizer=None,
        text_encoder_2=T5EncoderModel(
            T5Config(
                d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu", vocab_size=32128
            )
        ),
        tokenizer_2=None,
        transformer=FluxTransformer2DModel(
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            guidance_embeds=True,
            axes_dims_rope=(4, 6, 6),
        ),
    )
    pipe.save_pretrained(folder)
    write_clip_tokenizer(folder / "tokenizer", pad="<|endoftext|>")
    path = folder / "tokenizer_2" / "tokenizer.json"
    write_t5_tokenizer(path)
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(path))
    told = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "eos_token": "</s>"}
    (path.parent / "tokenizer_config.json").write_text(json.dumps(told), "utf-8")
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    index |= {
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "PreTrainedTokenizerFast"],
    }
    (folder / "model_index.json").write_text(json.dumps(index), "utf-8")


def run(code: str, fresh: Fresh, folder: Path) -> Path:
    """Run a script, and return the folder of what it wrote."""
    for (name, published), pad in zip(TOKENIZERS.items(), ("<|endoftext|>", "!"), strict=True):
        write_clip_tokenizer(folder / name, pad=pad)
        code = code.replace(published, str(folder / name))
    script = folder / "script.py"
    script.write_text(code.replace("widths=(768, 1280, 4096)", f"widths={tuple(WIDTHS.values())}"), "utf-8")
    done = fresh.run(script, "--out", folder / "out")
    assert not done.code, done.err[-2000:]
    return folder / "out"


def differing(code: str, session: Session, document: Document, fresh: Fresh, folder: Path) -> float:
    """Return the largest difference of two numbers of the engine's pictures and of a script's, from 0 to 255."""
    written = run(code, fresh, folder)
    pixels = session.run(document, folder=folder, out=folder / "engine").outputs["images"].pixels
    found = [np.asarray(PIL.Image.open(path), float) for path in sorted(written.glob("*.png"))]
    assert len(found) == len(pixels) == 2
    return float(np.abs(np.stack(found) - pixels.permute(0, 2, 3, 1).numpy() * 255).max())


@pytest.mark.parametrize(
    ("family", "sampling"),
    [
        ("flux", {"schedule": "simple", "guidance_scale": 1.0}),
        ("flux", {"schedule": "beta", "guidance_scale": 1.0, "noise_layout": "batch"}),
        ("z_image", {"schedule": "simple", "guidance_scale": 3.0}),
    ],
)
def test_a_pipeline_of_parts_draws_what_the_engine_draws(
    family: str, sampling: dict[str, Any], fresh: Fresh, session: Session, models: Path, tmp_path: Path
) -> None:
    write_models(cases(family)["pipeline/txt2img"]["prompt"], models)
    document = workflow(loaders_of(family), "model", "encoders", "vae", **sampling)
    code = export(document, session=session).code
    assert "def euler" not in code, "a loop"
    assert differing(code, session, document, fresh, tmp_path) <= 1


def test_a_folder_of_flux_is_a_short_script_with_its_pipeline(
    fresh: Fresh, session: Session, models: Path, tmp_path: Path
) -> None:
    flux_folder(models / "checkpoints" / "flux_folder")
    loaders = {"load": {"type": "load_checkpoint", "params": {"model": "flux_folder"}}}
    places = ("load.model", "load.text_encoder", "load.vae")
    document = workflow(loaders, *places, schedule="simple", guidance_scale=1.0)
    code = export(document, session=session).code
    assert "--negative" not in code
    assert len(code.splitlines()) <= 80
    assert differing(code, session, document, fresh, tmp_path) <= 1


def test_both_stages_of_stable_cascade_draw_what_the_engine_draws(
    fresh: Fresh, session: Session, models: Path, tmp_path: Path
) -> None:
    files = ("b/eval/odd_size", "c/eval/shift1", "a/decode")
    for case in files:
        write_models(cases("cascade")[case]["prompt"], models)
    torch.manual_seed(7)
    config = {**TEXT, "hidden_size": 1280, "projection_dim": 1280, "num_hidden_layers": 2, "num_attention_heads": 20}
    (models / "text_encoders").mkdir(exist_ok=True)
    encoder = CLIPTextModelWithProjection(CLIPTextConfig(**config))
    save_file(encoder.state_dict(), models / "text_encoders" / "clip_g_wide.safetensors")
    loaders: dict[str, Any] = {
        "encoders": {"type": "load_text_encoder", "params": {"model": "clip_g_wide", "family": "stable_cascade"}},
        "vae": {"type": "load_vae", "params": {"model": "stage_a"}},
        "stage_b": {"type": "load_diffusion_model", "params": {"model": "stage_b_tiny"}},
        "stage_c": {"type": "load_diffusion_model", "params": {"model": "stage_c_tiny"}},
        "shifted": {"type": "set_cascade_shift", "params": {"shift": 3.0}, "links": {"model": "stage_c"}},
        "begun": {
            "type": "empty_latent",
            "params": {"width": 128, "height": 96, "batch_size": 2, "channels": 16, "downscale": 32},
        },
        "drawn": {
            "type": "sample",
            "params": {"seed": 3, "steps": 2, "sampler": "euler", "guidance_scale": 4.0},
            "links": {"model": "shifted", "positive": "positive", "negative": "negative", "latent": "begun"},
        },
        "told": {"type": "add_stage_c", "links": {"conditioning": "positive", "latent": "drawn"}},
    }
    raw = workflow(loaders, "stage_b", "encoders", "vae", guidance_scale=1.0).model_dump(mode="json", exclude_none=True)
    raw["nodes"]["sample"]["links"]["positive"] = "told"
    raw["nodes"]["latent"]["params"] |= {"channels": 4, "downscale": 4, "width": 128, "height": 128}
    raw["nodes"]["positive"]["params"]["text"] = "a (photo:1.3) of a red fox"
    raw["nodes"]["keep"] = {"type": "save_latent", "links": {"latent": "sample"}}
    document = parse(raw | {"outputs": {"latent": "sample"}})
    written = run(export(document, session=session).code, fresh, tmp_path)
    assert len(list(written.glob("*.png"))) == 2
    (file,) = written.glob("*.latent")
    wanted = session.run(document, folder=tmp_path, out=tmp_path / "engine").outputs["latent"].samples
    drawn = load_file(file)["latent_tensor"]
    assert float((drawn - wanted).abs().max() / wanted.abs().max()) <= 1e-4


def controls_of(family: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return ControlNets of random weights for a transformer, by name; "hole" in it is one that fills in what is masked."""
    few = {"num_layers": 1}
    if family == "flux":
        kept = (
            "attention_head_dim",
            "num_attention_heads",
            "joint_attention_dim",
            "pooled_projection_dim",
            "guidance_embeds",
        )
        told = {name: config[name] for name in (*kept, "axes_dims_rope")} | few | {"num_single_layers": 1}
        pixels = {"conditioning_embedding_channels": 16, "patch_size": 2}
        return {
            "union": FluxControlNetModel(**told, num_mode=7),
            "xlabs": FluxControlNetModel(**{**told, "num_single_layers": 0, **pixels}),
            "hole": flux_control_net(**told, extra_condition_channels=4),
        }
    if family == "sd3":
        told = {name: config[name] for name in config if name not in ("qk_norm", "out_channels", "num_layers")}
        told |= {**few, "force_zeros_for_pooled_projection": True}
        return {"sd3": SD3ControlNetModel(**told), "hole": SD3ControlNetModel(**told, extra_conditioning_channels=1)}
    if family.startswith("qwen"):
        heads, dim = config["num_attention_heads"], config["attention_head_dim"]
        if family == "qwen_blockwise":
            return {"hole": BlockwiseNetwork(68, heads * dim, config["num_layers"])}
        if family == "qwen_fun":
            return {"fun": FunNetwork(132, heads, dim, places=[0])}
        kept = ("attention_head_dim", "num_attention_heads", "joint_attention_dim", "axes_dims_rope")
        told = {name: config[name] for name in kept} | few
        return {
            "qwen": QwenImageControlNetModel(**told),
            "hole": QwenImageControlNetModel(**told, extra_condition_channels=4),
        }
    kept = ("dim", "n_heads", "n_kv_heads", "n_refiner_layers")
    told = {name: config[name] for name in kept if name in config}
    refined = {"add_control_noise_refiner": "control_noise_refiner", "control_refiner_layers_places": [0, 1]}
    return {"fun": ZImageControlNetModel(**told, **refined, control_layers_places=[0], control_in_dim=33)}


PATCHES = ("qwen_blockwise", "qwen_fun", "z_image")
"""Families of ControlNets that steer a model whatever it is told."""
REFERENCES = {"flux": "index", "qwen_image": "index"}
"""Families whose models look at pictures meanwhile, and how they tell them apart."""


@pytest.mark.parametrize("nets", ["flux", "sd3", "qwen_image", "qwen_blockwise", "qwen_fun", "z_image"])
def test_controlnets_steer_in_scripts_as_in_the_engine(
    nets: str, fresh: Fresh, session: Session, models: Path, tmp_path: Path
) -> None:
    family = "qwen_image" if nets.startswith("qwen") else nets
    write_models(cases(family)["pipeline/txt2img"]["prompt"], models)
    loaders = loaders_of(family)
    described = session.library.describe(TRANSFORMERS.get(family, f"{family}_tiny"), "diffusion_model").parts[
        "transformer"
    ]
    picture = PIL.Image.radial_gradient("L").resize((48, 64)).convert("RGB")
    picture.putalpha(picture.getchannel(0).point(lambda value: 255 * (value < 150)))
    picture.save(tmp_path / "hint.png")
    document = workflow(loaders, "model", "encoders", "vae", schedule="simple", guidance_scale=1.5)
    nodes = document.to_json()["nodes"]
    nodes["hint"] = {"type": "load_image", "params": {"file": "hint.png"}}
    before: dict[str, str] = {"model": "model"} if nets in PATCHES else {"positive": "positive", "negative": "negative"}
    if nets in REFERENCES:
        nodes["seen"] = {"type": "encode_image", "links": {"vae": "vae", "images": "hint"}}
        links = {"conditioning": "positive", "latent": "seen"}
        nodes["look"] = {"type": "add_reference_latent", "links": links}
        method = {"method": REFERENCES[nets]}
        nodes["way"] = {"type": "set_reference_method", "params": method, "links": {"conditioning": "look"}}
        before["positive"] = "way"
    for name, net in controls_of(nets, dict(described.config)).items():
        folder = models / ("model_patches" if nets in PATCHES else "controlnet")
        folder.mkdir(exist_ok=True)
        weights = {key: value.contiguous() for key, value in seeded(net, 9).state_dict().items()}
        save_file(weights, folder / f"{nets}_{name}.safetensors")
        if nets == "qwen_fun":
            (folder / f"{nets}_{name}.json").write_text(json.dumps({"controlnet": {"places": [0]}}), "utf-8")
        loads = "load_control_patch" if nets in PATCHES else "load_control_net"
        nodes[name] = {"type": loads, "params": {"control_net": f"{nets}_{name}"}}
        given = {"control_net": "kind" if name == "union" else name, "image": "hint", "vae": "vae"}
        if name == "union":
            links = {"control_net": "union"}
            nodes["kind"] = {"type": "set_union_control_type", "params": {"type": "depth"}, "links": links}
        if name in ("hole", "fun"):
            given["mask"] = "hint.mask"
        if name == "fun":
            given["inpaint_image"] = "hint"
        links, told = {**before, **given}, {"strength": 0.8}
        kind = "apply_control_patch" if nets in PATCHES else "apply_control_net"
        nodes[f"apply_{name}"] = {
            "type": kind,
            "params": told if nets in PATCHES else {**told, "end": 0.7},
            "links": links,
        }
        before = {side: f"apply_{name}" if nets in PATCHES else f"apply_{name}.{side}" for side in before}
    nodes["sample"]["links"] |= before
    steered = parse({**document.to_json(), "nodes": nodes})
    code = export(steered, session=session, folder=tmp_path).code
    assert differing(code, session, steered, fresh, tmp_path) <= 1
    plain = session.run(document).outputs["images"].pixels
    assert (session.run(steered, folder=tmp_path).outputs["images"].pixels - plain).abs().max() > 0.02


def test_pictures_prompt_flux_in_scripts_as_in_the_engine(
    fresh: Fresh, session: Session, models: Path, tmp_path: Path
) -> None:
    write_models(cases("flux")["pipeline/txt2img"]["prompt"], models)
    config = session.library.describe("flux_dev_tiny", "diffusion_model").parts["transformer"].config
    inner = config["num_attention_heads"] * config["attention_head_dim"]
    vision().save_pretrained(models / "clip_vision" / "eye")
    (models / "ipadapter").mkdir()
    for name, seed in (("one", 3), ("other", 50)):
        weights = as_xlabs_published(config["joint_attention_dim"], inner, config["num_layers"], seed=seed)
        save_file(weights, models / "ipadapter" / f"{name}.safetensors")
    PIL.Image.radial_gradient("L").resize((48, 64)).convert("RGB").save(tmp_path / "seen.png")
    document = workflow(loaders_of("flux"), "model", "encoders", "vae", schedule="simple", guidance_scale=1.5)
    nodes = document.to_json()["nodes"]
    nodes["seen"] = {"type": "load_image", "params": {"file": "seen.png"}}
    nodes["eye"] = {"type": "load_image_encoder", "params": {"image_encoder": "eye"}}
    model = "model"
    for name, told in (("one", {"strength": 0.7}), ("other", {"strength": 0.4, "end": 0.6})):
        nodes[name] = {"type": "load_ip_adapter", "params": {"ip_adapter": name}}
        links = {"model": model, "ip_adapter": name, "image_encoder": "eye", "image": "seen"}
        model = f"seeing_{name}"
        nodes[model] = {"type": "apply_ip_adapter", "params": told, "links": links}
    nodes["sample"]["links"]["model"] = model
    seeing = parse({**document.to_json(), "nodes": nodes})
    code = export(seeing, session=session, folder=tmp_path).code
    assert differing(code, session, seeing, fresh, tmp_path) <= 1
    plain = session.run(document).outputs["images"].pixels
    assert (session.run(seeing, folder=tmp_path).outputs["images"].pixels - plain).abs().max() > 0.02


def test_a_style_is_taken_in_scripts_as_in_the_engine(
    fresh: Fresh, session: Session, models: Path, tmp_path: Path
) -> None:
    write_models(cases("flux")["pipeline/txt2img"]["prompt"], models)
    config = session.library.describe("flux_dev_tiny", "diffusion_model").parts["transformer"].config
    seer().save_pretrained(models / "clip_vision" / "seer")
    (models / "model_patches").mkdir(exist_ok=True)
    makes = config["num_attention_heads"] * config["attention_head_dim"]
    save_file(style_projector(makes), models / "model_patches" / "projector.safetensors")
    PIL.Image.radial_gradient("L").resize((48, 64)).convert("RGB").save(tmp_path / "seen.png")
    document = workflow(loaders_of("flux"), "model", "encoders", "vae", schedule="simple", guidance_scale=1.5)
    nodes = document.to_json()["nodes"]
    nodes["seen"] = {"type": "load_image", "params": {"file": "seen.png"}}
    nodes["eye"] = {"type": "load_image_encoder", "params": {"image_encoder": "seer"}}
    nodes["patch"] = {"type": "load_control_patch", "params": {"control_net": "projector"}}
    taken = {"control_net": "patch", "image_encoder": "eye", "image": "seen"}
    nodes["styled"] = {"type": "apply_style_patch", "links": {"model": "model", **taken}}
    nodes["twice"] = {"type": "apply_style_patch", "params": {"crop": "none"}, "links": {"model": "styled", **taken}}
    nodes["sample"]["links"]["model"] = "twice"
    styled = parse({**document.to_json(), "nodes": nodes})
    code = export(styled, session=session, folder=tmp_path).code
    assert differing(code, session, styled, fresh, tmp_path) <= 1
    plain = session.run(document).outputs["images"].pixels
    assert (session.run(styled, folder=tmp_path).outputs["images"].pixels - plain).abs().max() > 0.02
