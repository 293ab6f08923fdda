"""The formats that are read, by name and by what markers call them."""

from __future__ import annotations

from collections.abc import Mapping

from graphflow.modelfiles.quantised import (
    awq,
    bitsandbytes,
    convrot_w4a4,
    float8,
    int8,
    mxfp8,
    nvfp4,
    quanto,
    sdnq,
    svdquant,
    torchao,
    w4a8,
)
from graphflow.modelfiles.quantised.format import Format

_ALL = (
    float8.FORMAT,
    nvfp4.FORMAT,
    nvfp4.PLAIN,
    mxfp8.FORMAT,
    int8.FORMAT,
    convrot_w4a4.FORMAT,
    w4a8.FORMAT,
    awq.FORMAT,
    svdquant.FORMAT,
    sdnq.FORMAT,
    bitsandbytes.FOUR,
    bitsandbytes.EIGHT,
    torchao.INTEGERS,
    torchao.FLOATING,
    torchao.MX,
    torchao.NV,
    quanto.BYTES,
    quanto.BITS,
)

FORMATS: Mapping[str, Format] = {known.name: known for known in _ALL}
"""By name."""

MARKED: Mapping[str, Format] = {mark: known for known in _ALL for mark in known.marks}
"""By what markers call them."""
