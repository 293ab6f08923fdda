"""Changed pictures: opened as workflows, with texts of several programs in them, and loaded by nodes."""

from __future__ import annotations

import io
import json
import random
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from graphflow import workflows
from graphflow.basics.pictures import read_picture
from graphflow.errors import GraphflowError
from graphflow.nodes import load_image, load_mask, load_video
from graphflow.runtime import Runtime, using
from graphflow.session import Session
from graphflow.settings import Settings
from tests.comfyui.fuzz import cut, flip
from tests.conftest import NoModels
from tests.hostile.chunks import Chunk, chunks_of, png, text

PARAMETERS = (
    "a red circle, (green star:1.3) <lora:outline:0.8> [dark:bright:0.5]\nNegative prompt: blur, ((noise))\n"
    "Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 42, Size: 512x512, Model: shapes, Denoising strength: 0.5"
)
PROMPT = json.dumps(
    {
        "1": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "2": {"class_type": "SaveLatent", "inputs": {"samples": ["1", 0], "filename_prefix": "a"}},
    }
)
DECODED = 2**20
"""The most pixels of all frames that are decoded: what a larger picture takes is its own size."""


@cache
def bases() -> list[bytes]:
    """Whole pictures in all formats that are read, some with several frames, some with texts."""
    first = Image.linear_gradient("L").resize((24, 16)).convert("RGB")
    frames = [first, first.rotate(90), first.rotate(180)]
    clear = first.convert("RGBA")
    clear.putalpha(first.convert("L"))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x9286] = 6, "Prompt:" + PROMPT, PARAMETERS
    told: list[bytes] = []

    def add(picture: Image.Image, format: str, **options: Any) -> None:
        stream = io.BytesIO()
        picture.save(stream, format, **options)
        told.append(stream.getvalue())

    for picture in (first, clear, first.convert("P"), first.convert("I;16")):
        add(picture, "PNG")
    add(first, "PNG", save_all=True, append_images=frames[1:])
    add(first, "JPEG", exif=exif)
    add(first.convert("L"), "JPEG", comment=PARAMETERS.encode())
    add(clear, "WEBP", exif=exif)
    add(first, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    add(first, "GIF", save_all=True, append_images=frames[1:])
    add(first, "TIFF", save_all=True, append_images=frames[1:])
    add(first.convert("F"), "TIFF", compression="tiff_lzw")
    add(first, "BMP")
    whole = chunks_of(told[0])
    native = workflows.path("txt2img").read_bytes()
    for keyword, value in (("graphflow", native), ("prompt", PROMPT.encode()), ("parameters", PARAMETERS.encode())):
        for packed in (False, True):
            told.append(png([whole[0], text(keyword, value, packed=packed), *whole[1:]]))
    return told


def inputs(folder: Path) -> Callable[[random.Random], tuple[str, Callable[[], Any]]]:
    """Return what makes inputs: the name of a change, and what plans or loads the changed picture."""
    given = {"models": (), "cache_dir": folder / "cache", "device": "cpu", "offline": True}
    session = Session(Settings.model_validate(given))
    path = folder / "picture.png"

    def make(dice: random.Random) -> tuple[str, Callable[[], Any]]:
        data = dice.choice(bases())
        kind, change = dice.choice(list(CHANGES.items()) if data.startswith(b"\x89PNG") else list(BYTES.items()))
        path.write_bytes(change(data, dice))
        return kind, (lambda: repr(session.plan(path))) if dice.random() < 0.5 else lambda: _load(session, path)

    return make


def _load(session: Session, path: Path) -> None:
    for node, kind in ((load_image, "image"), (load_mask, "image"), (load_video, "video")):
        document = {"graphflow": 2, "nodes": {"a": {"type": node.__name__, "params": {"file": path.name}}}}
        session.plan({**document, "outputs": {"o": "a"}}, folder=path.parent)
        if _pixels(path, kind) <= DECODED:
            with using(Runtime(models=NoModels())):
                node(str(path))


def _pixels(path: Path, kind: str) -> int:
    """Return the pixels of all frames, 0 where the node is to say what is wrong."""

    def take(picture: Image.Image) -> int:
        return picture.width * picture.height * int(getattr(picture, "n_frames", 1))

    try:
        with path.open("rb") as file:
            return read_picture(kind, file, path.name, take, lambda message: None, decode=False)
    except GraphflowError:
        return 0


def _double(data: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(data))
    part = data[start : start + dice.choice((1, 16, 200))]
    return data[:start] + part * dice.choice((2, 50)) + data[start:]


def _numbers(data: bytes, dice: random.Random) -> bytes:
    """Put large numbers where sizes, counts and offsets stand."""
    spoiled = bytearray(data)
    for _ in range(dice.choice((1, 4))):
        at = dice.randrange(min(len(data) - 4, 200))
        form, value = dice.choice((("<H", 65_535), (">H", 65_535), ("<I", 2**31), (">I", 2**32 - 1), ("<I", 8)))
        spoiled[at : at + struct.calcsize(form)] = struct.pack(form, value)
    return bytes(spoiled)


def _long(data: bytes, dice: random.Random) -> bytes:
    return data + dice.randbytes(1) * dice.choice((1, 10_000, 2**20))


BYTES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flip bytes": flip,
    "cut": cut,
    "double": _double,
    "numbers": _numbers,
    "trailing bytes": _long,
}


def _chunks(change: Callable[[list[Chunk], random.Random], None]) -> Callable[[bytes, random.Random], bytes]:
    def changed(data: bytes, dice: random.Random) -> bytes:
        found = chunks_of(data)
        change(found, dice)
        return png(found)

    return changed


def _size(chunks: list[Chunk], dice: random.Random) -> None:
    edges = [dice.choice((0, 1, 24, 4_096, 40_000, 2**31 - 1)) for _ in range(2)]
    chunks[0] = (b"IHDR", struct.pack(">II", *edges) + chunks[0][1][8:])


def _depth(chunks: list[Chunk], dice: random.Random) -> None:
    chunks[0] = (b"IHDR", chunks[0][1][:8] + dice.randbytes(2) + chunks[0][1][10:])


def _move(chunks: list[Chunk], dice: random.Random) -> None:
    chunks.insert(dice.randrange(len(chunks) + 1), dice.choice(chunks))
    del chunks[dice.randrange(len(chunks))]


def _frames(chunks: list[Chunk], dice: random.Random) -> None:
    chunks.insert(1, (b"acTL", struct.pack(">II", dice.choice((0, 3, 20_000, 2**31)), 0)))
    for _ in range(dice.choice((0, 5, 2_000))):
        sizes = (dice.randrange(30), 24, 16, 0, 0, 1, 100, 0, 0)
        chunks.insert(2, (b"fcTL", struct.pack(">IIIIIHHBB", *sizes)))


def _told(chunks: list[Chunk], dice: random.Random) -> None:
    """Put in texts: damaged, large, deep, or with much in them."""
    value = dice.choice(STRANGE)(dice)
    keyword = dice.choice(
        ("graphflow", "graphflow.record", "prompt", "workflow", "parameters", "Comment", "", "a" * 90)
    )
    chunk = text(keyword, value, packed=dice.random() < 0.6 or len(value) > 10**6)
    chunks[1:1] = [chunk] * min(dice.choice((1, 1, 1, 300)), 1 + 2**24 // len(chunk[1]))


def _spoil_body(chunks: list[Chunk], dice: random.Random) -> None:
    place = dice.randrange(len(chunks))
    name, body = chunks[place]
    chunks[place] = (name, dice.choice((flip, cut))(body or b"\0", dice))


STRANGE: tuple[Callable[[random.Random], bytes], ...] = (
    lambda dice: b"[" * dice.choice((150, 100_000)),
    lambda dice: b"[" + b"[]," * dice.choice((1_000, 500_000)) + b"0]",
    lambda dice: b'{"nodes":[' + b'{"id":1,"type":"KSampler"},' * 9_000 + b'0],"links":[]}',
    lambda dice: bytes(dice.choice((10, 2**20, 2**25 if dice.random() < 0.2 else 1_000))),
    lambda dice: flip(PROMPT.encode(), dice),
    lambda dice: cut(PROMPT.encode(), dice),
    lambda dice: flip(PARAMETERS.encode(), dice),
    lambda dice: b"(" * dice.choice((10, 200_000)) + PARAMETERS.encode(),
    lambda dice: PARAMETERS.encode() + b", Steps: 1" * dice.choice((10, 200_000)),
    lambda dice: b"<lora:a:1>" * dice.choice((10, 50_000)) + PARAMETERS.encode(),
    lambda dice: b"a\nNegative prompt: b" * dice.choice((10, 50_000)) + b"\nSteps: 1",
    lambda dice: b"[a:b:" * 20_000 + PARAMETERS.encode(),
    lambda dice: PARAMETERS.replace("20", dice.choice(("9" * 5_000, "-1", "NaN", "1e999"))).encode(),
    lambda dice: b'"' * dice.choice((3, 400_000)),
    lambda dice: b"Steps: 1, a: {" + b'"b": [' * dice.choice((10, 3_000)),
    lambda dice: zlib.compress(bytes(2**20)),
)
CHANGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    **BYTES,
    "size": _chunks(_size),
    "depth and colours": _chunks(_depth),
    "order of chunks": _chunks(_move),
    "frames": _chunks(_frames),
    "texts": _chunks(_told),
    "texts again": _chunks(_told),
    "a chunk": _chunks(_spoil_body),
}
