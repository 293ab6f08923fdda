"""FLUX.2: its text encoders compared with transformers', LoRAs in every dialect, other layouts of its files."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import Flux2Transformer2DModel
from diffusers.loaders.lora_conversion_utils import _convert_non_diffusers_flux2_lora_to_diffusers
from diffusers.loaders.single_file_utils import convert_flux2_transformer_checkpoint_to_diffusers
from diffusers.models.transformers.transformer_flux2 import Flux2KVAttnProcessor, Flux2KVParallelSelfAttnProcessor
from safetensors.torch import load_file, save_file
from transformers import MistralConfig, MistralModel, Qwen3Config, Qwen3Model

from graphflow.converters.comfyui import to_native, to_prompt
from graphflow.errors import NodeError
from graphflow.library.describe import describe_file
from graphflow.session import Session
from tests.closeness import assert_close
from tests.families.lab import lab
from tests.families.recorded_flows import (
    EVALUATION_BOUND,
    SAMPLING_BOUND,
    cases,
    make_session,
    run_prompt,
    write_models,
    write_qwen_tokenizer,
)
from tests.families.recorded_models import noise

PROMPT = "a (red:1.2) fox in the snow"
SYSTEM = (
    "You are an AI that reasons about image descriptions. You give structured responses focusing on object"
    " relationships, object\nattribution and actions without speculation."
)
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "head_dim": 128,
    "vocab_size": 151936,
}
SPECIAL = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]")
MERGED = ("ed", "red", " f", "ox", " fox", " the", "sn", "ow")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for case in ("lora/bfl/eval", "vae/decode"):
        write_models(cases("flux2")[case]["prompt"], folder)
    return folder


@pytest.fixture(scope="module")
def session(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with lab() as registry:
        yield make_session(registry, models, tmp_path_factory.mktemp("cache"))


def tekken() -> bytes:
    pieces = [bytes([number]) for number in range(256)] + [piece.encode() for piece in MERGED]
    vocabulary = [{"rank": rank, "token_bytes": base64.b64encode(piece).decode()} for rank, piece in enumerate(pieces)]
    config = {
        "pattern": r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "default_vocab_size": 1000 + len(pieces),
        "default_num_special_tokens": 1000,
    }
    special = [{"rank": rank, "token_str": name, "is_control": True} for rank, name in enumerate(SPECIAL)]
    return json.dumps({"config": config, "vocab": vocabulary, "special_tokens": special}).encode()


def write_encoder(model: torch.nn.Module, path: Path, **more: torch.Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({f"model.{name}": tensor for name, tensor in model.state_dict().items()} | more, path)


def encoded(models: Path, name: str, family: str = "flux2") -> torch.Tensor:
    nodes = {
        "text": {"type": "load_text_encoder", "params": {"model": name, "family": family}},
        "told": {"type": "encode_prompt", "params": {"text": PROMPT}, "links": {"text_encoder": "text"}},
    }
    with lab() as registry:
        session = make_session(registry, models, models / "cache")
        told = session.run({"graphflow": 1, "nodes": nodes, "outputs": {"told": "told"}}).outputs["told"]
    (entry,) = told.entries
    return entry.embedding


def states(model: torch.nn.Module, layers: tuple[int, ...], **given: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found = model(**given, output_hidden_states=True).hidden_states
    return torch.cat([found[layer] for layer in layers], dim=-1)


def test_klein_reads_three_layers_of_qwen3_filled_up_to_512_tokens(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Qwen3Model(Qwen3Config(**SMALL, num_hidden_layers=28, rope_theta=1e6)).eval()
    write_encoder(model, tmp_path / "text_encoders" / "qwen.safetensors")
    write_qwen_tokenizer(tmp_path / "tokenizers" / "qwen2" / "tokenizer.json")
    got = encoded(tmp_path, "qwen.safetensors")

    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizers" / "qwen2" / "tokenizer.json"))
    asked = f"<|im_start|>user\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    ids = tokenizer.encode(asked, add_special_tokens=False).ids
    fill = 512 - len(ids)
    filler = tokenizer.token_to_id("<|endoftext|>")
    wanted = states(
        model,
        (9, 18, 27),
        input_ids=torch.tensor([ids + fill * [filler]]),
        attention_mask=torch.tensor([len(ids) * [1] + fill * [0]]),
    )
    assert_close(got, wanted)


def test_dev_reads_three_layers_of_mistral_by_the_vocabulary_in_its_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = MistralConfig(
        **SMALL | {"vocab_size": 1300}, num_hidden_layers=30, rope_theta=1e9, rms_norm_eps=1e-5, sliding_window=None
    )
    model = MistralModel(config).eval()
    vocabulary = torch.from_numpy(np.frombuffer(tekken(), np.uint8).copy())
    write_encoder(model, tmp_path / "text_encoders" / "mistral.safetensors", tekken_model=vocabulary)
    got = encoded(tmp_path, "mistral.safetensors")

    special = {name: rank for rank, name in enumerate(SPECIAL)}
    merged = {name: 1256 + rank for rank, name in enumerate(MERGED)}
    pieces = ["a", " ", "(", "red", ":", "1", ".", "2", ")", " fox", " ", "i", "n", " the", " ", "sn", "ow"]
    read = [special["<s>"], special["[SYSTEM_PROMPT]"], *_plainly(SYSTEM, merged), special["[/SYSTEM_PROMPT]"]]
    read += [special["[INST]"], *(merged.get(piece, 1000 + ord(piece[0])) for piece in pieces), special["[/INST]"]]
    # The last of thirty layers is read without the final norm, which transformers' own list of states has behind it.
    model.norm = torch.nn.Identity()
    assert_close(got, states(model, (10, 20, 30), input_ids=torch.tensor([read])))


def _plainly(text: str, merged: dict[str, int]) -> list[int]:
    """Return ids where the few pieces of the vocabulary join nothing but these."""
    found, index = [], 0
    while index < len(text):
        piece = next(
            (piece for piece in (" the", " f", "red", "ed", "ox", "sn", "ow") if text.startswith(piece, index)), ""
        )
        found.append(merged.get(piece, 1000 + ord(text[index])))
        index += len(piece) or 1
    return found


def test_an_encoder_with_too_few_layers_is_refused(tmp_path: Path) -> None:
    model = Qwen3Model(Qwen3Config(**SMALL, num_hidden_layers=2))
    write_encoder(model, tmp_path / "text_encoders" / "short.safetensors")
    write_qwen_tokenizer(tmp_path / "tokenizers" / "qwen2" / "tokenizer.json")
    with pytest.raises(NodeError, match="reads layer 27 of its text encoder, and this one has 2"):
        encoded(tmp_path, "short.safetensors")


DIALECTS = ("diffusers", "kohya", "lokr")


def in_dialect(tensors: dict[str, Any], dialect: str) -> dict[str, Any]:
    if dialect == "diffusers":
        found = _convert_non_diffusers_flux2_lora_to_diffusers(dict(tensors))
        last = "transformer.norm_out.linear.lora_B.weight"
        found[last] = torch.cat(found[last].chunk(2)[::-1])  # which the converter forgets
        return {key: tensor.contiguous() for key, tensor in found.items()}
    found = {}
    for key, tensor in tensors.items():
        module = key.removesuffix(".lora_A.weight").removesuffix(".lora_B.weight")
        if dialect == "kohya":
            name = "lora_unet_" + module.removeprefix("diffusion_model.").replace(".", "_")
            found[name + (".lora_down.weight" if "lora_A" in key else ".lora_up.weight")] = tensor
            found[f"{name}.alpha"] = torch.tensor(4.0)
        elif "lora_A" in key:  # the Kronecker product with one number is the matrix itself
            found[f"{module}.lokr_w1"] = torch.ones(1, 1)
            found[f"{module}.lokr_w2"] = tensors[f"{module}.lora_B.weight"] @ tensor
    return found


@pytest.mark.parity
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_lora_in_another_dialect_draws_the_same(dialect: str, session: Session, models: Path) -> None:
    case = cases("flux2")["lora/bfl/eval"]
    prompt = copy.deepcopy(case["prompt"])
    (loader,) = (entry for entry in prompt.values() if entry["class_type"] == "LoraLoaderModelOnly")
    tensors = load_file(models / "loras" / loader["inputs"]["lora_name"])
    path = models / "loras" / f"{dialect}.safetensors"
    save_file(in_dialect(tensors, dialect), path)
    assert describe_file(dialect, path).family == "flux2"
    loader["inputs"]["lora_name"] = path.name
    errors = run_prompt(session, "flux2", "lora/bfl/eval", prompt, case["taps"], models)
    assert max(errors.values()) <= EVALUATION_BOUND, errors


def test_references_apart_from_the_picture_draw_what_diffusers_draws(session: Session, models: Path) -> None:
    case = "eval/flux2_klein/cfg4"
    write_models(cases("flux2")[case]["prompt"], models)
    (loader,) = (e for e in cases("flux2")[case]["prompt"].values() if e["class_type"] == "UNETLoader")
    shapes = {"first": [1, 128, 4, 6], "second": [1, 128, 2, 4]}
    sigmas = [1.0, 0.7, 0.3, 0.0]
    nodes: dict[str, Any] = {
        "model": ("UNETLoader", loader["inputs"]),
        "cache": ("FluxKVCache", {"model": ["model", 0]}),
        "text": ("LabConditioning", {"name": "text", "tokens": 9, "width": 192}),
        **{name: ("LabLatent", {"name": name, "shape": shape, "scale": 1.0}) for name, shape in shapes.items()},
        "one": ("ReferenceLatent", {"conditioning": ["text", 0], "latent": ["first", 0]}),
        "two": ("ReferenceLatent", {"conditioning": ["one", 0], "latent": ["second", 0]}),
        "noise": ("RandomNoise", {"noise_seed": 5}),
        "guider": ("BasicGuider", {"model": ["cache", 0], "conditioning": ["two", 0]}),
        "sampler": ("KSamplerSelect", {"sampler_name": "euler"}),
        "sigmas": ("ManualSigmas", {"sigmas": ", ".join(map(str, sigmas))}),
        "empty": ("EmptyFlux2LatentImage", {"width": 96, "height": 64, "batch_size": 1}),
        "sample": (
            "SamplerCustomAdvanced",
            {
                "noise": ["noise", 0],
                "guider": ["guider", 0],
                "sampler": ["sampler", 0],
                "sigmas": ["sigmas", 0],
                "latent_image": ["empty", 0],
            },
        ),
        "show": ("PreviewAny", {"source": ["sample", 0]}),
    }
    prompt = {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}
    imported = to_native(to_prompt(prompt), registry=session.registry)
    document = imported.document.model_copy(update={"outputs": {"latent": imported.addresses["sample", 0]}})
    got = session.run(document).outputs["latent"].samples

    path = models / "diffusion_models" / loader["inputs"]["unet_name"]
    described = describe_file("klein", path).parts["transformer"].config
    transformer = Flux2Transformer2DModel.from_config(dict(described)).eval()
    for block in transformer.transformer_blocks:
        block.attn.set_processor(Flux2KVAttnProcessor())
    for block in transformer.single_transformer_blocks:
        block.attn.set_processor(Flux2KVParallelSelfAttnProcessor())
    transformer.load_state_dict(convert_flux2_transformer_checkpoint_to_diffusers(load_file(path)))

    def places(number: int, rows: int, columns: int) -> torch.Tensor:
        return torch.cartesian_prod(
            torch.tensor([number]), torch.arange(rows), torch.arange(columns), torch.tensor([0])
        )

    latent = torch.randn((1, 128, 4, 6), generator=torch.Generator().manual_seed(5)).flatten(2).transpose(1, 2)
    seen = [torch.from_numpy(noise("latent", n, tuple(s))).flatten(2).transpose(1, 2) for n, s in shapes.items()]
    text = torch.nn.functional.pad(torch.from_numpy(noise("cond", "text", (1, 9, 192))), (0, 0, 503, 0))
    line = torch.nn.functional.pad(torch.arange(512)[:, None], (3, 0))
    before = [places(10 * number, *shape[2:]) for number, shape in enumerate(shapes.values(), start=1)]
    told = {"encoder_hidden_states": text, "txt_ids": line, "return_dict": False}
    cache = None
    with torch.no_grad():
        for sigma, following in pairwise(sigmas):
            first = cache is None
            velocity, *made = transformer(
                hidden_states=torch.cat([*seen, latent], dim=1) if first else latent,
                img_ids=torch.cat([*before, places(0, 4, 6)]) if first else places(0, 4, 6),
                timestep=torch.tensor([sigma]),
                kv_cache=cache,
                kv_cache_mode="extract" if first else "cached",
                num_ref_tokens=32 if first else 0,
                **told,
            )
            cache = made[0] if made else cache
            latent = latent + velocity * (following - sigma)
    wanted = latent.transpose(1, 2).unflatten(2, (4, 6))
    assert float((got - wanted).abs().max() / wanted.abs().max()) <= SAMPLING_BOUND


@pytest.mark.parity
@pytest.mark.parametrize("layout", ["whole checkpoint", "renamed"])
def test_other_layouts_draw_the_same(layout: str, session: Session, models: Path) -> None:
    case = "eval/flux2_dev/guidance4.0"
    prompt = copy.deepcopy(cases("flux2")[case]["prompt"])
    (number,) = (number for number, entry in prompt.items() if entry["class_type"] == "UNETLoader")
    tensors = load_file(models / "diffusion_models" / prompt[number]["inputs"]["unet_name"])
    if layout == "renamed":
        renamed = convert_flux2_transformer_checkpoint_to_diffusers(tensors)
        path = models / "diffusion_models" / "renamed.safetensors"
        save_file({key: tensor.contiguous() for key, tensor in renamed.items()}, path)
        prompt[number]["inputs"]["unet_name"] = path.name
    else:
        whole = {f"model.diffusion_model.{key}": tensor for key, tensor in tensors.items()}
        vae = load_file(models / "vae" / "flux2_vae_tiny.safetensors")
        path = models / "checkpoints" / "whole.safetensors"
        path.parent.mkdir()
        save_file(whole | {f"vae.{key}": tensor for key, tensor in vae.items()}, path)
        assert describe_file("whole", path).parts["vae"].class_name == "AutoencoderKLFlux2"
        prompt[number] = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": path.name}}
    errors = run_prompt(session, "flux2", case, prompt, cases("flux2")[case]["taps"], models)
    assert max(errors.values()) <= EVALUATION_BOUND, errors


def test_an_autoencoder_with_a_narrower_decoder_is_read(models: Path, tmp_path: Path) -> None:
    from diffusers import AutoencoderKLFlux2

    config = dict(describe_file("vae", models / "vae" / "flux2_vae_tiny.safetensors").parts["vae"].config)
    narrow = AutoencoderKLFlux2.from_config(config | {"decoder_block_out_channels": [32, 32, 64, 64]})
    path = tmp_path / "narrow.safetensors"
    save_file(narrow.state_dict(), path)
    found = describe_file("narrow", path).parts["vae"].config
    assert (found["block_out_channels"], found["decoder_block_out_channels"]) == (
        config["block_out_channels"],
        [32, 32, 64, 64],
    )
