"""GGUF files."""
# mypy: ignore-errors

import math
import struct
from pathlib import Path

import torch

from .parts import read_table, renamed
from .quantised import kept_copy

GGUF_PLAIN = {0: torch.float32, 1: torch.float16, 28: torch.float64, 30: torch.bfloat16}
"""Types whose numbers mean what they are."""


def plain_gguf(path, decoders, names="", prefix="", dtype=None):
    """A copy of a GGUF file with plain weights.

    ``decoders`` have values and bytes of a block and what makes the ones of the others,
    by type; ``names`` is a table of what tensors are called elsewhere, ``prefix`` what
    all names get there.
    """
    with Path(path).open("rb") as file:
        described = read_gguf_header(file)
        size = file.seek(0, 2)
    data = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)
    table, plain = read_table(names), {}
    for key, (shape, kind, start) in described.items():
        count = math.prod(shape)
        if kind in GGUF_PLAIN:
            size = count * GGUF_PLAIN[kind].itemsize
            tensor = data[start : start + size].clone().view(GGUF_PLAIN[kind])
        elif kind in decoders:
            values, width, decode = decoders[kind]
            blocks = data[start : start + count // values * width].view(-1, width)
            tensor = decode(blocks)
        else:
            raise SystemExit(f"{path}: {key} is quantised in another way: {kind}")
        for name, change in renamed(key, table):
            plain[prefix + name] = gguf_undone(tensor.view(shape), change).to(dtype)
    return kept_copy(path, plain)


def gguf_undone(tensor, change):
    """A tensor without what llama.cpp's converter changes: "less:1.0" or "heads:32"."""
    what, _, number = change.partition(":")
    if what == "less":
        return tensor - float(number)
    if what == "heads":
        order = torch.arange(len(tensor)).view(int(number), -1, 2).transpose(1, 2)
        return tensor[order.flatten()]
    return tensor


def read_gguf_header(file):
    """Shape, type and first byte of each tensor of a GGUF file."""

    def number(code):
        return struct.unpack("<" + code, file.read(struct.calcsize("<" + code)))[0]

    def text():
        return file.read(number("Q")).decode()

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            kind, count = number("I"), number("Q")
            return [value(kind) for _ in range(count)]
        return number("BbHhIif?__Qqd"[kind])

    _, _, tensors, count = number("4s"), number("I"), number("Q"), number("Q")
    fields = {}
    for _ in range(count):
        name = text()
        fields[name] = value(number("I"))
    described = {}
    for _ in range(tensors):
        name = text()
        shape = [number("Q") for _ in range(number("I"))][::-1]
        shape = fields.get(f"comfy.gguf.orig_shape.{name}", shape)
        described[name] = (shape, number("I"), number("Q"))
    step = fields.get("general.alignment", 32)
    begin = -(-file.tell() // step) * step
    return {
        name: (shape, kind, begin + start)
        for name, (shape, kind, start) in described.items()
    }
