"""Changed weight files: headers of safetensors and GGUF, indexes and folders, described by the library."""

from __future__ import annotations

import json
import random
import shutil
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from graphflow.library.library import Library
from graphflow.settings import Settings
from tests.comfyui.fuzz import cut, flip, mutate

KINDS = ("checkpoint", "diffusion_model", "vae", "text_encoder", "lora", "controlnet", "embedding", "ip_adapter", None)
SAID: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("dtype", ("F16", "F32", "BF16", "F8_E4M3", "I64", "F4", "U8", "X9", "", 5)),
    ("shape", ([], [0], [2**31, 2**31], [1] * 40, [-1, 3], [8, 8, 1], "8")),
    ("data_offsets", ([0, 0], [5, 1], [0, 2**62], [1], [2**63, 2**64], None)),
    ("", ("é" * 90, "a" * 5_000, "..", "\ud800", "__metadata__")),
)
"""What tensors say of themselves, and their names."""


@cache
def headers() -> list[dict[str, Any]]:
    """Headers of whole files: those of the packaged models, and of kinds that their keys tell."""
    found = [_header(path.read_bytes()) for path in sorted(_assets().rglob("*.safetensors"))]
    for keys in (
        (
            "model.diffusion_model.input_blocks.0.0.weight",
            "cond_stage_model.transformer.x",
            "first_stage_model.a.weight",
        ),
        ("double_blocks.0.img_attn.qkv.weight", "single_blocks.0.linear1.weight", "img_in.weight"),
        ("lora_unet_a.lora_down.weight", "lora_unet_a.lora_up.weight", "lora_unet_a.alpha"),
        ("transformer_blocks.0.attn.to_q.weight", "x_embedder.weight", "scaled_fp8"),
        ("model.layers.0.self_attn.q_proj.weight", "model.embed_tokens.weight"),
    ):
        found.append(_laid({key: ("F16", [8, 8]) for key in keys}))
    return found


def _assets() -> Path:
    import graphflow

    return Path(graphflow.__file__).parent / "assets"


def _header(data: bytes) -> dict[str, Any]:
    return dict(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]))


def _laid(tensors: dict[str, tuple[str, list[int]]]) -> dict[str, Any]:
    made: dict[str, Any] = {"__metadata__": {"modelspec.title": "a", "ss_base_model_version": "sd_v1"}}
    at = 0
    for name, (kind, shape) in tensors.items():
        made[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + 128]}
        at += 128
    return made


def inputs(folder: Path) -> Callable[[random.Random], tuple[str, Callable[[], Any]]]:
    """Return what makes inputs: the name of a change, and what describes the changed file."""
    models = folder / "models"
    models.mkdir()
    given = {"models": (models,), "cache_dir": folder / "cache", "device": "cpu", "offline": True}

    def make(dice: random.Random) -> tuple[str, Callable[[], Any]]:
        shutil.rmtree(models)
        models.mkdir()
        kind, change = dice.choice(list(CHANGES.items()))
        name = change(models, dice)
        library = Library(Settings.model_validate(given))
        return kind, lambda: (library.entries(), library.describe(name, dice.choice(KINDS)))  # type: ignore[arg-type]

    return make


def _written(path: Path, header: bytes, dice: random.Random, size: int) -> None:
    length = len(header) if dice.random() < 0.9 else dice.choice((0, 7, len(header) * 2, 2**31, 2**63))
    with path.open("wb") as file:
        file.write(struct.pack("<Q", length) + header)
        file.truncate(8 + len(header) + size)


def _size(header: dict[str, Any]) -> int:
    """Return a length of the data that fits the header, as far as that can be told."""
    ends = [
        entry["data_offsets"][-1:]
        for entry in header.values()
        if isinstance(entry, dict) and isinstance(entry.get("data_offsets"), list)
    ]
    return min(max((end for part in ends for end in part), default=0), 2**30)


def _json(folder: Path, dice: random.Random) -> str:
    header = dice.choice(headers())
    _written(folder / "a.safetensors", mutate(header, dice)[1], dice, _size(header))
    return "a"


def _tensors(folder: Path, dice: random.Random) -> str:
    """Change what tensors say, such that the header is still one."""
    header = json.loads(json.dumps(dice.choice(headers())))
    names = [name for name in header if name != "__metadata__"]
    for _ in range(dice.choice((1, 3))):
        entry = header[dice.choice(names)]
        key, values = dice.choice(SAID)
        if key:
            entry[key] = dice.choice(values)
        else:
            header[dice.choice(values)] = entry
    if dice.random() < 0.2:
        header["__metadata__"] = dice.choice(({"a": 1}, [], {"a": "b" * 10**6}, {"modelspec.title": "\x1b"}))
    _written(folder / "a.safetensors", json.dumps(header).encode(), dice, _size(header))
    return "a"


def _many(folder: Path, dice: random.Random) -> str:
    """Write as much of one thing as lets itself be written in a short time."""
    count = dice.choice((50, 2_000 if dice.random() < 0.97 else 60_000))
    part = dice.choice(
        (b'"%d":{"dtype":"F16","shape":[1],"data_offsets":[%d,%d]},', b'"%d":[[%d,%d]],', b'"%d":"%d,%d",')
    )
    body = b"".join(part % (n, 2 * n, 2 * n + 2) for n in range(count))
    head = dice.choice((b"{", b'{"__metadata__":{'))
    _written(folder / "a.safetensors", head + body.rstrip(b",") + b"}" * len(head.split(b"{")[1:]), dice, 2 * count)
    return "a"


def _bytes(folder: Path, dice: random.Random) -> str:
    data = dice.choice([path for path in _assets().rglob("*.safetensors") if path.stat().st_size < 2**20]).read_bytes()
    (folder / "a.safetensors").write_bytes(dice.choice((flip, cut))(data[: 2**17], dice))
    return "a"


def _gguf(folder: Path, dice: random.Random) -> str:
    def word(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    fields = [word("general.architecture") + struct.pack("<I", 8) + word(dice.choice(("flux", "sd1", "llama", "")))]
    for number in range(dice.choice((0, 3, 200 if dice.random() < 0.97 else 20_000))):
        kind = dice.choice((0, 4, 6, 7, 9, 12, 13))
        fields.append(word(f"a.{number}") + struct.pack("<I", kind) + dice.randbytes(8))
    tensors = [
        word(f"double_blocks.{n}.img_attn.qkv.weight")
        + struct.pack("<IQQIQ", 2, 32, 1, dice.choice((0, 1, 2, 99)), 128 * n)
        for n in range(dice.choice((1, 4, 200 if dice.random() < 0.97 else 20_000)))
    ]
    counts = [len(tensors), len(fields)] if dice.random() < 0.8 else [dice.choice((0, 2**40)), dice.choice((1, 65_000))]
    data = b"GGUF" + struct.pack("<IQQ", dice.choice((1, 2, 3, 3, 3)), *counts) + b"".join(fields + tensors)
    data += bytes(dice.choice((0, 128 * len(tensors) + 64)))
    (folder / "a.gguf").write_bytes(dice.choice((flip, cut))(data, dice) if dice.random() < 0.5 else data)
    return "a"


def _sharded(folder: Path, dice: random.Random) -> str:
    (folder / "m").mkdir()
    names = [f"model-{number:05}-of-00002.safetensors" for number in (1, 2)]
    shards = dice.choice([names, ["../a.safetensors"], ["/etc/passwd"], [names[0]] * 2])
    index = {
        "metadata": {"total_size": 1},
        "weight_map": {
            f"t{n}": dice.choice(shards) for n in range(dice.choice((2, 500 if dice.random() < 0.97 else 90_000)))
        },
    }
    (folder / "m" / "config.json").write_text(json.dumps({"_class_name": "UNet2DConditionModel"}))
    (folder / "m" / "model.safetensors.index.json").write_bytes(
        mutate(index, dice)[1] if dice.random() < 0.6 and len(index["weight_map"]) < 9 else json.dumps(index).encode()
    )
    for name in names[: dice.choice((0, 1, 2))]:
        header = dice.choice(headers())
        _written(folder / "m" / name, json.dumps(header).encode(), dice, _size(header))
    return "m"


def _pipeline(folder: Path, dice: random.Random) -> str:
    shutil.copytree(_assets() / "shapes", folder / "m", copy_function=shutil.copyfile)
    spoiled = dice.choice(sorted((folder / "m").rglob("*.json")))
    text = json.loads(spoiled.read_text("utf-8"))
    spoiled.write_bytes(mutate(text, dice)[1])
    return "m"


def _other(folder: Path, dice: random.Random) -> str:
    starts = (b"PK\x03\x04", b"\x80\x04\x95", b"version https://git-lfs", b"\x1f\x8b", b"", b"\0" * 8, b"<html>")
    (folder / f"a.{dice.choice(('safetensors', 'gguf', 'ckpt', 'pt'))}").write_bytes(
        dice.choice(starts) + dice.randbytes(dice.choice((0, 1, 500)))
    )
    return dice.choice(("a", "a.ckpt", "a.pt", "a" * 2_000, "../a", "\ud800", "A", "a.safetensors"))


CHANGES: dict[str, Callable[[Path, random.Random], str]] = {
    "json": _json,
    "tensors": _tensors,
    "many": _many,
    "bytes": _bytes,
    "gguf": _gguf,
    "index": _sharded,
    "folder": _pipeline,
    "other files": _other,
}
