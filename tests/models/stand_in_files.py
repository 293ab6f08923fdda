"""Stand-ins for model files as files: what scripts, which read files themselves, can be tried with."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn

from graphflow.document.document import Document
from graphflow.families.flow.saving import original_tensors
from graphflow.library.hub import parse_hub_id
from graphflow.loading.modules import build
from graphflow.loading.random_weights import RandomTensors, draw
from graphflow.modelfiles.description import DENOISERS, Config, Description, Kind, Part
from graphflow.modelfiles.families import family_named
from graphflow.modelfiles.stand_in import SPECIAL
from graphflow.session import Session

FOLDERS: Mapping[Kind, str] = {
    "controlnet": "controlnet",
    "diffusion_model": "diffusion_models",
    "lora": "loras",
    "text_encoder": "text_encoders",
    "vae": "vae",
}
"""Where files of a kind lie; others are not written."""
TOKENIZERS = {
    "Alpha-VLLM/Lumina-Image-2.0:tokenizer": "gemma2",
    "Qwen/Qwen2.5-VL-7B-Instruct": "qwen2_5_vl",
    "Qwen/Qwen3-4B": "qwen2",
    "Qwen/Qwen3-VL-8B-Instruct": "qwen3_vl",
    "google/t5-v1_1-xxl": "t5",
}
"""What folders of tokenizers are called, by where these are published."""
_CLIP = {"vocab_size": 49408, "bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}
REAL: Mapping[str, Config] = {
    "CLIPTextModel": _CLIP,
    "CLIPTextModelWithProjection": _CLIP,
    "Gemma2Model": {"head_dim": 256},
    "MistralModel": {"head_dim": 128},
}
"""What files of a class are taken to have: no tensor tells the channels of a head, and CLIP's vocabulary is at hand."""
RANK, LAYERS = 4, 6
"""Of a LoRA."""


def write_stand_ins(session: Session, document: Document, folder: Path, inputs: Path | None = None) -> None:
    """Write, for the models of a document that are not there, files with one network each, as their authors lay them out.

    A LoRA changes a few layers of the first transformer or UNet of its family.

    Args:
        session: One that lets stand-ins stand in.
        document: What names them.
        folder: The model folder.
        inputs: The folder of pictures that the document reads.
    """
    session.plan(document, folder=inputs)  # the library knows what stands in then
    found = []
    for node in session.validate(document).nodes.values():
        for need in node.spec.files(node.params):
            if need.model and need.kind in (*FOLDERS, "checkpoint"):
                found.append(session.library.describe(need.name, need.kind))  # type: ignore[arg-type]
    networks = [part for one in found for name, part in one.parts.items() if name in DENOISERS]
    for one in found:
        if one.kind not in FOLDERS or one.name.endswith((".gguf", ".sft", ".ckpt")) or parse_hub_id(one.name):
            continue
        path = folder / FOLDERS[one.kind] / f"{one.name.removesuffix('.safetensors')}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        if one.kind == "lora" and one.stands_in and networks:
            _write_lora(path, next((network for network in networks if network.maker == one.family), networks[0]))
        elif one.stands_in and len(one.parts) == 1:
            _write_network(path, one, folder / "tokenizers")


def _write_network(path: Path, found: Description, tokenizers: Path) -> None:
    ((name, part),) = found.parts.items()
    part = replace(part, config={**part.config, **REAL.get(part.class_name, {})})
    module = build(part)
    weights = RandomTensors(part, module.state_dict())
    module.load_state_dict({key: weights.read(key) for key in module.state_dict()}, assign=True)
    names = family_named(part.maker).tensor_names(Part(name, part.class_name, part.config, files=(), keys="ldm"))
    authors = name != "vae" and hasattr(names, "in_file")  # Diffusers converts autoencoders of the published sizes only
    tensors = original_tensors(module, names, "") if authors else module.state_dict()
    tensors = {key: tensor.clone().contiguous() for key, tensor in tensors.items()}
    if part.class_name == "MistralModel":  # others of this kind have tensors of the same names
        tensors["tekken_model"] = torch.tensor([*_tekken()], dtype=torch.uint8)
    save_file(tensors, path)
    path.with_suffix(".json").write_text(json.dumps({name: part.config}), "utf-8")
    for spec in found.tokenizers:
        if spec.vocab is not None and spec.published and "tekken_model" not in tensors:
            _write_tokenizer(tokenizers / TOKENIZERS[spec.published[0]] / "tokenizer.json", spec.vocab)


def _write_lora(path: Path, network: Part) -> None:
    layers = {name: layer for name, layer in build(network).named_modules() if isinstance(layer, nn.Linear)}
    tensors = {}
    for name, layer in list(layers.items())[:: max(1, len(layers) // LAYERS)]:
        for role, shape in (("A", (RANK, layer.in_features)), ("B", (layer.out_features, RANK))):
            tensors[f"{network.name}.{name}.lora_{role}.weight"] = draw(f"{path.name}/{name}/{role}", torch.Size(shape))
    save_file(tensors, path)


def _tekken() -> bytes:
    pieces = [bytes([number]) for number in range(256)]
    vocabulary = [{"rank": rank, "token_bytes": base64.b64encode(piece).decode()} for rank, piece in enumerate(pieces)]
    first = len(SPECIAL)
    config = {"pattern": ".", "default_vocab_size": first + 256, "default_num_special_tokens": first}
    special = [{"rank": rank, "token_str": name, "is_control": True} for rank, name in enumerate(SPECIAL)]
    return json.dumps({"config": config, "vocab": vocabulary, "special_tokens": special}).encode()


def _write_tokenizer(path: Path, vocab: Mapping[str, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE(vocab=dict(vocab), merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.add_special_tokens([token for token in vocab if len(token) > 2 and token[0] + token[-1] in ("<>", "[]")])
    tokenizer.save(str(path))
