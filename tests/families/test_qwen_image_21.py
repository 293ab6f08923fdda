"""Qwen-Image 2.1: workflows as ComfyUI's templates have them, compared with Diffusers' pipeline on small weights."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderKLQwenImage21,
    FlowMatchEulerDiscreteScheduler,
    QwenImage21Pipeline,
    QwenImage21Transformer2DModel,
)
from PIL import Image as Pictures
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import BatchFeature, Qwen2VLImageProcessor, Qwen3VLConfig, Qwen3VLForConditionalGeneration

from graphflow.converters.comfyui import to_native, to_prompt
from graphflow.errors import NodeError
from graphflow.library.describe import describe_file
from graphflow.session import Session
from tests.families.lab import lab
from tests.families.recorded_flows import EVALUATION_BOUND, SAMPLING_BOUND, make_session, write_qwen_tokenizer

SIGMAS = [1.0, 0.7, 0.3]
TEXT, SEEN = "a red fox in the snow", (64, 96)
TINY: dict[str, Any] = {
    "z_dim": 64,
    "base_dim": 4,
    "decoder_base_dim": 6,
    "dim_mult": [1, 2, 2, 2, 2],
    "num_res_blocks": 1,
}
LANGUAGE = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 1, "num_key_value_heads": 1,
    "head_dim": 128, "vocab_size": 151936,
    "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20]},
}  # fmt: skip
VISION = {
    "depth": 3, "hidden_size": 64, "intermediate_size": 96, "num_heads": 16, "out_hidden_size": 64,
    "num_position_embeddings": 16, "deepstack_visual_indexes": [0, 1, 2],
}  # fmt: skip


class Processor:
    """Stands for Qwen3-VL's processor, with a small tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = self
        self.ids = tokenizer
        self.seeing = Qwen2VLImageProcessor(
            patch_size=16, image_mean=[0.5] * 3, image_std=[0.5] * 3, min_pixels=1, max_pixels=1 << 24
        )

    def encode(self, text: str) -> list[int]:
        return self.ids.encode(text, add_special_tokens=False).ids

    def apply_chat_template(self, messages: Sequence[Any], **options: Any) -> list[list[int]]:
        (message,) = messages
        return [self.encode(f"<|im_start|>system\n{message['content'][0]['text']}<|im_end|>\n")]

    def __call__(self, text: list[str], images: Sequence[Any] = (), **options: Any) -> BatchFeature:
        (told,) = text
        found = dict(self.seeing(images=list(images), return_tensors="pt")) if images else {}
        for grid in found.get("image_grid_thw", ()):
            told = told.replace("<|image_pad|>", "<|waiting|>" * int(grid.prod() // 4), 1)
        ids = torch.tensor([self.encode(told.replace("<|waiting|>", "<|image_pad|>"))])
        more = {"mm_token_type_ids": (ids == self.encode("<|image_pad|>")[0]).int()} if images else {}
        return BatchFeature({"input_ids": ids, "attention_mask": torch.ones_like(ids), **found, **more})


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("tokenizer") / "here" / "tokenizer.json"
    write_qwen_tokenizer(path)
    transformer = QwenImage21Transformer2DModel(num_layers=2, num_attention_heads=1, context_in_dim=64)
    encoder = Qwen3VLForConditionalGeneration(
        Qwen3VLConfig(text_config=LANGUAGE, vision_config=VISION, image_token_id=151655)
    )
    vae = AutoencoderKLQwenImage21(**TINY)
    for module in (transformer, encoder, vae):
        module.eval()
        for name, weight in module.named_parameters():
            if weight.dim() == 1 or "gamma" in name:
                torch.nn.init.normal_(weight, 0.0 if "text_norm" in name or "bias" in name else 1.0, 0.1)
            else:  # large enough for what it is told to show in what it draws
                torch.nn.init.normal_(weight, 0.0, 1.5 * weight[0].numel() ** -0.5)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0, use_dynamic_shifting=False)
    made = QwenImage21Pipeline(scheduler, vae, encoder, Processor(Tokenizer.from_file(str(path))), transformer)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def models(pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weight files as ComfyUI's users have them."""
    folder = tmp_path_factory.mktemp("models")
    tensors = {
        "diffusion_models/qwen_image_2.1.safetensors": joined(pipeline.transformer.state_dict()),
        "text_encoders/qwen3vl.safetensors": {
            key.replace("model.language_model.", "model.").replace("model.visual.", "visual."): tensor
            for key, tensor in pipeline.text_encoder.state_dict().items()
        },
        "vae/qwen_image_2.1_vae.safetensors": {
            authors(key): tensor for key, tensor in pipeline.vae.state_dict().items()
        },
    }
    for name, found in tensors.items():
        (folder / name).parent.mkdir(parents=True)
        save_file({key: tensor.contiguous() for key, tensor in found.items()}, folder / name)
    write_qwen_tokenizer(folder / "tokenizers" / "qwen3_vl" / "tokenizer.json")
    return folder


@pytest.fixture(scope="module")
def session(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with lab() as registry:
        yield make_session(registry, models, tmp_path_factory.mktemp("cache"))


def joined(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    found = dict(tensors)
    for key in tensors:
        if key.endswith("img_mlp.gate_layer.weight"):
            gate, up = found.pop(key), found.pop(key.replace("gate_layer", "proj"))
            found[key.replace("gate_layer", "gate_up")] = torch.cat([gate, up])
    return found


def authors(key: str) -> str:
    """Return what the authors of the autoencoder call a tensor."""
    for pattern, name in (
        (r"^quant_conv", "conv1"),
        (r"^post_quant_conv", "conv2"),
        (r"\.conv_in", ".conv1"),
        (r"\.norm_out", ".head.0"),
        (r"\.conv_out", ".head.2"),
        (r"mid_block\.resnets\.(\d)", lambda match: f"middle.{2 * int(match[1])}"),
        (r"mid_block\.attentions\.0", "middle.1"),
        (r"down_blocks\.(\d)\.resnets", r"downsamples.\1.downsamples"),
        (r"up_blocks\.(\d)\.resnets", r"upsamples.\1.upsamples"),
        (r"down_blocks\.(\d)\.downsampler", r"downsamples.\1.downsamples.1"),
        (r"up_blocks\.(\d)\.upsampler", r"upsamples.\1.upsamples.2"),
        (r"(?<=\d\.)norm1", "residual.0"),
        (r"(?<=\d\.)conv1(?!$)", "residual.2"),
        (r"(?<=\d\.)norm2", "residual.3"),
        (r"(?<=\d\.)conv2", "residual.6"),
        (r"conv_shortcut", "shortcut"),
    ):
        key = re.sub(pattern, name, key)
    return key


def error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    assert got.shape == wanted.shape
    return float((got - wanted).abs().max() / wanted.abs().max())


def prompt(pictures: Sequence[str] = (), **asked: Any) -> dict[str, Any]:
    """Return a workflow as the templates have it."""
    nodes: dict[str, Any] = {
        "model": ("UNETLoader", {"unet_name": "qwen_image_2.1.safetensors", "weight_dtype": "default"}),
        "clip": ("CLIPLoader", {"clip_name": "qwen3vl.safetensors", "type": "qwen_image"}),
        "vae": ("VAELoader", {"vae_name": "qwen_image_2.1_vae.safetensors"}),
        "cache": ("QwenImage21Cache", {"model": ["model", 0], "device": "auto", "dtype": "default"}),
        "text": (
            "TextEncodeQwenImage21",
            {"clip": ["clip", 0], "vae": ["vae", 0], "prompt": TEXT, "negative_prompt": "", "resolution": 0}
            | {f"images.image_{number}": [name, 0] for number, name in enumerate(pictures, 1)}
            | asked,
        ),
        "empty": ("EmptyLatentImage", {"width": 96, "height": 64, "batch_size": 1}),
        "noise": ("RandomNoise", {"noise_seed": 5}),
        "guider": (
            "CFGGuider",
            {"model": ["cache", 0], "positive": ["text", 0], "negative": ["text", 1], "cfg": 2.0},
        ),
        "sampler": ("KSamplerSelect", {"sampler_name": "euler"}),
        "sigmas": ("ManualSigmas", {"sigmas": ", ".join(map(str, [*SIGMAS, 0]))}),
        "sample": (
            "SamplerCustomAdvanced",
            {
                "noise": ["noise", 0],
                "guider": ["guider", 0],
                "sampler": ["sampler", 0],
                "sigmas": ["sigmas", 0],
                "latent_image": ["text", 2] if pictures else ["empty", 0],
            },
        ),
        "decode": ("VAEDecode", {"samples": ["sample", 0], "vae": ["vae", 0]}),
    }
    for name in pictures:
        nodes[f"{name}-small"] = ("LabImage", {"name": name, "frames": 1, "height": 32, "width": 48})
        size = {"width": SEEN[1], "height": SEEN[0], "crop": "disabled"}  # in steps of 8 bits, as Diffusers takes it
        nodes[name] = ("ImageScale", {"image": [f"{name}-small", 0], "upscale_method": "lanczos", **size})
    nodes["show"] = ("PreviewImage", {"images": ["decode", 0]})
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


def results(session: Session, prompt: dict[str, Any], *names: str) -> Any:
    """Return what stands at the first outputs of some nodes of a workflow."""
    imported = to_native(to_prompt(prompt), registry=session.registry)
    assert not imported.report.unsupported
    named = {name: imported.addresses[name, 0] for name in names}
    document = imported.document.model_copy(update={"outputs": named})
    outputs = session.run(document, targets=list(named.values())).outputs
    return [outputs[name] for name in names]


@pytest.mark.parametrize("pictures", [(), ("first",), ("first", "second")])
def test_templates_draw_what_diffusers_draws(pictures: tuple[str, ...], session: Session, pipeline: Any) -> None:
    got, told, *shown = results(session, prompt(pictures), "decode", "text", *pictures)
    assert got.pixels.shape == (1, 4, *SEEN)  # with alpha

    bytes_of = [(255 * image.pixels[0].permute(1, 2, 0)).round().byte().numpy() for image in shown]
    images = [Pictures.fromarray(pixels) for pixels in bytes_of]
    with torch.no_grad():
        wanted = pipeline.encode_prompt(TEXT, images or None)[0]
    assert error(told.entries[0].embedding, wanted) <= EVALUATION_BOUND
    noise = torch.randn((1, 64, 4, 6), generator=torch.Generator().manual_seed(5))
    wanted = pipeline(
        TEXT,
        image=images or None,
        negative_prompt="",
        true_cfg_scale=2.0,
        height=SEEN[0],
        width=SEEN[1],
        sigmas=SIGMAS,
        latents=noise.flatten(2).transpose(1, 2),
        output_resolution=int((SEEN[0] * SEEN[1]) ** 0.5),
        output_type="pt",
    ).images
    assert error(got.pixels, wanted) <= SAMPLING_BOUND


def test_a_folder_as_published_is_read_with_the_tokenizer_of_its_processor(
    session: Session, pipeline: Any, models: Path
) -> None:
    folder = models / "diffusers" / "published"
    index: dict[str, Any] = {"_class_name": "QwenImage21Pipeline", "processor": ["transformers", "Qwen3VLProcessor"]}
    for name in ("transformer", "text_encoder", "vae", "scheduler"):
        part = getattr(pipeline, name)
        part.save_pretrained(folder / name)
        index[name] = ["diffusers", type(part).__name__]
    (folder / "model_index.json").write_text(json.dumps(index), "utf-8")
    write_qwen_tokenizer(folder / "processor" / "tokenizer.json")
    nodes = {
        "model": {"type": "load_checkpoint", "params": {"model": "published"}},
        "told": {
            "type": "encode_prompt",
            "params": {"text": TEXT},
            "links": {"text_encoder": "model.text_encoder"},
        },
    }
    told = session.run({"graphflow": 2, "nodes": nodes, "outputs": {"told": "told"}}).outputs["told"]
    with torch.no_grad():
        wanted = pipeline.encode_prompt(TEXT)[0]
    assert error(told.entries[0].embedding, wanted) <= EVALUATION_BOUND


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"empty": {"width": 80}}, "multiples of 32 pixels, not 80 x 64"),
        ({"guider": {"positive": ["seen", 0]}}, "the text encoder saw 0 pictures, and the references are 1 other ones"),
    ],
)
def test_what_it_cannot_draw_is_refused(changed: dict[str, Any], said: str, session: Session) -> None:
    nodes = prompt()
    nodes["encoded"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["first", 0], "vae": ["vae", 0]}}
    nodes["first"] = {"class_type": "LabImage", "inputs": {"name": "first", "frames": 1, "height": 64, "width": 96}}
    nodes["seen"] = {
        "class_type": "ReferenceLatent",
        "inputs": {"conditioning": ["text", 0], "latent": ["encoded", 0]},
    }
    for name, inputs in changed.items():
        nodes[name]["inputs"] |= inputs
    with pytest.raises(NodeError, match=said):
        results(session, nodes, "decode")


def test_what_is_transparent_is_seen_on_white_and_encoded_with_its_alpha(session: Session, pipeline: Any) -> None:
    nodes = prompt(("first",))
    nodes["hole"] = {
        "class_type": "LabMask",
        "inputs": {"height": 64, "width": 96, "top": 8, "left": 8, "bottom": 40, "right": 64},
    }
    nodes["clear"] = {"class_type": "JoinImageWithAlpha", "inputs": {"image": ["first", 0], "alpha": ["hole", 0]}}
    nodes["text"]["inputs"]["images.image_1"] = ["clear", 0]
    told, clear = results(session, nodes, "text", "clear")
    picture = Pictures.fromarray((255 * clear.pixels[0].permute(1, 2, 0)).round().byte().numpy(), "RGBA")
    pixels = clear.pixels[:, :, None] * 2 - 1
    with torch.no_grad():
        wanted = pipeline.encode_prompt(TEXT, [picture])[0]
        reference = pipeline.vae.encode(pixels).latent_dist.mode()[:, :, 0]
    (entry,) = told.entries
    assert error(entry.embedding, wanted) <= EVALUATION_BOUND
    assert error(entry.extras["reference_latents"][0].samples, reference) <= EVALUATION_BOUND


@pytest.mark.parametrize("dialect", ["diffusers", "kohya", "comfyui"])
def test_a_lora_in_any_dialect_draws_as_weights_that_have_it_inside(
    dialect: str, session: Session, pipeline: Any, models: Path
) -> None:
    torch.manual_seed(2)
    block, width = "transformer_blocks.1.", 128
    down, query, gate, up = torch.randn(2, width), torch.randn(width, 2), *torch.randn(2, 3 * width, 2)
    layers = {"attn.to_q": query} | (
        {"img_mlp.gate_up": torch.cat([gate, up])}
        if dialect == "comfyui"
        else {"img_mlp.gate_layer": gate, "img_mlp.proj": up}
    )
    found: dict[str, torch.Tensor] = {}
    for layer, matrix in layers.items():
        name = (block + layer).replace(".", "_") if dialect == "kohya" else block + layer
        stem = {"diffusers": "transformer.", "kohya": "lora_unet_", "comfyui": "diffusion_model."}[dialect] + name
        ends = ("lora_down", "lora_up") if dialect == "kohya" else ("lora_A", "lora_B")
        found |= {f"{stem}.{ends[0]}.weight": down.clone(), f"{stem}.{ends[1]}.weight": matrix}
    path = models / "loras" / f"{dialect}.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_file(found, path)
    assert describe_file(dialect, path).family == "qwen_image_21"

    merged = dict(pipeline.transformer.state_dict())
    for layer, matrix in {"attn.to_q": query, "img_mlp.gate_layer": gate, "img_mlp.proj": up}.items():
        merged[f"{block}{layer}.weight"] = merged[f"{block}{layer}.weight"] + 0.05 * matrix @ down
    save_file(
        {key: tensor.contiguous() for key, tensor in merged.items()}, models / "diffusion_models" / "merged.safetensors"
    )
    inside, beside = prompt(), prompt()
    inside["model"]["inputs"]["unet_name"] = "merged.safetensors"
    lora = {"model": ["model", 0], "lora_name": path.name, "strength_model": 0.05}
    beside["lora"] = {"class_type": "LoraLoaderModelOnly", "inputs": lora}
    beside["cache"]["inputs"]["model"] = ["lora", 0]
    plain, wanted, got = (results(session, nodes, "sample")[0].samples for nodes in (prompt(), inside, beside))
    assert error(got, wanted) <= SAMPLING_BOUND < error(plain, wanted)


def test_half_precision_hears_the_time_exactly(session: Session, models: Path, tmp_path: Path) -> None:
    """A time rounded to bfloat16 is off by up to two thousandths, and what is drawn by far more than this."""
    half = make_session(session.registry, models, tmp_path, dtype="bfloat16")
    whole, rounded = (results(each, prompt(), "sample")[0].samples for each in (session, half))
    assert error(rounded, whole) <= 0.05
