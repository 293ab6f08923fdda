"""Writes 119 quantised files as other programs do, reads and evaluates them, and writes docs/quantised_parity.md.

Parts: `MODEL/FORMAT`. Each file has to be the recorded one, byte for byte; its weights have to be those that its writer
reads, and one evaluation the recorded one of ComfyUI 0.8.0 (flux, t5) or that of a file with plain weights (qwen, unet).
Needs comfy-kitchen (`pip install -e '.[parity]'`); five minutes on one core.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from graphflow.converters.comfyui import to_native, to_prompt
from graphflow.loading.mapped import MappedFiles
from graphflow.session import Session
from graphflow.values import Latent
from tests.families.lab import lab
from tests.families.recorded_flows import make_session, write_models, write_t5_tokenizer
from tests.loading import references
from tests.runners.parts import ROOT, Given, Results, Runner, main

DOCS = ROOT / "docs" / "quantised_parity.md"
BOUND = 1e-5
"""Of an evaluation: the largest difference over the largest value."""
_ROUNDED = 1e-6
"""What another processor may round otherwise where weights are sums."""
_OFF = 0.01
"""Of how far weights are from unquantised ones, which the recordings count over slightly other tensors."""
_HEAD = """# Quantised files of other programs

Made by `python -m tests.runners.quantised`, which `make parity` runs: files that comfy-kitchen 0.2.40, gguf 0.19 and
published recipes write of four tiny models, each the recorded one byte for byte where that is known. *Weights* is the
largest difference of any weight to the one that its writer reads, over the largest weight. The other columns are one
evaluation in float32, the largest difference over the largest value: to ComfyUI 0.8.0's with the same weights (FLUX.1,
T5), or to the same network here with plain weights (Qwen-Image, Stable Diffusion's UNet). Bounds: 0 and 1e-5.

| format | weights | FLUX.1 | T5 | Qwen-Image | UNet |
|---|---|---|---|---|---|
"""


def _prompt(base: str, name: str) -> dict[str, Any]:
    """A prompt that evaluates a file once, at node 4."""
    tokens, width, pooled, shape, sigma = {
        "flux": (24, 192, 64, [1, 16, 8, 8], 0.6),
        "qwen": (24, 64, 0, [1, 16, 1, 8, 8], 0.6),
        "unet": (77, 768, 0, [1, 4, 8, 8], 5.0),
        "t5": (0, 0, 0, [], 0.0),
    }[base]
    if base == "t5":
        encoders = {"clip_name1": "clip_l_tiny.safetensors", "clip_name2": name, "type": "flux"}
        return {
            "1": {"class_type": "DualCLIPLoader", "inputs": encoders},
            "4": {
                "class_type": "CLIPTextEncode",
                "inputs": {"clip": ["1", 0], "text": "a photo of a red fox in the snow"},
            },
        }
    conditioning = {"name": "pos", "tokens": tokens, "width": width, "pooled": pooled}
    given = {"model": ["1", 0], "positive": ["2", 0], "latent": ["3", 0], "sigma": sigma}
    return {
        "1": {"class_type": "UNETLoader", "inputs": {"unet_name": name, "weight_dtype": "default"}},
        "2": {"class_type": "LabConditioning", "inputs": conditioning},
        "3": {"class_type": "LabLatent", "inputs": {"name": "l8", "shape": shape}},
        "4": {"class_type": "LabEval", "inputs": given},
    }


def _evaluated(session: Session, base: str, name: str, models: Path) -> Tensor:
    prompt = _prompt(base, name)
    write_models(prompt, models)
    shown = {"5": {"class_type": "PreviewAny", "inputs": {"source": ["4", 0]}}}
    imported = to_native(to_prompt(prompt | shown), registry=session.registry)
    document = imported.document.model_copy(update={"outputs": {"it": imported.addresses["4", 0]}})
    found = session.run(document, targets=list(document.outputs.values())).outputs["it"]
    return found.samples if isinstance(found, Latent) else found.entries[0].embedding[:, :32]


def _apart(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        return float("inf")
    return float((found - expected).abs().max()) / (float(expected.abs().max()) or 1.0)


def _measured(session: Session, part: str, models: Path) -> dict[str, Any]:
    base, _, kind = part.partition("/")
    recorded, prefix = references.recorded()[part], references.BASES[base].prefix
    path, read = references.write(base, kind, models)
    files = MappedFiles([path], path.name)
    found = {key: files.dense(key if key in files.names else key.removeprefix(prefix)).float() for key in read}
    same = [hashlib.sha256(path.read_bytes()).hexdigest() == recorded["file"]] if "file" in recorded else []
    if "content" in recorded:
        same.append(references.digest(load_file(path)) == recorded["content"])
    rows = {
        name.split("/")[2]: expected
        for name, expected in references.arrays().items()
        if name.startswith(f"{part}/") and not name.endswith("/eval")
    }
    result = {
        "same file": all(same),
        "weights": max(_apart(found[key], read[key]) for key in read),
        "rows": max((_apart(found[f"{key}.weight"][:2], some) for key, some in rows.items()), default=0.0),
        "off": _off(found, references.weights(base), every=bool(prefix) and path.suffix == ".gguf"),
    }
    expected = references.arrays().get(f"{part}/eval")
    if expected is None:
        plain = path.with_name(f"plain_{path.stem}.safetensors")
        save_file(read, plain)
        expected = _evaluated(session, base, plain.name, models)
        plain.unlink()
    evaluation = _apart(_evaluated(session, base, path.name, models), expected)
    path.unlink()
    return {**result, "evaluation": evaluation}


def _off(found: Mapping[str, Tensor], exact: Mapping[str, Tensor], *, every: bool) -> float:
    """How far weights are from unquantised ones, as the recordings count: in GGUF files with a prefix all, else changed matrices."""
    pairs = [
        (found[key].double(), exact[key].double())
        for key in found
        if every or (exact[key].ndim > 1 and not torch.equal(found[key], exact[key]))
    ]
    whole = sum(float(weight.square().sum()) for _, weight in pairs)
    return (sum(float((a - b).square().sum()) for a, b in pairs) / whole) ** 0.5 if pairs else 0.0


def run(parts: Sequence[str], given: Given) -> Iterator[tuple[str, Any]]:
    """Measure files with one session."""
    torch.set_num_threads(1)
    with lab() as registry, TemporaryDirectory() as scratch:
        models = Path(scratch) / "models"
        write_t5_tokenizer(models / "tokenizers" / "t5" / "tokenizer.json")
        session = make_session(registry, models, Path(scratch) / "cache")
        for part in parts:
            try:
                yield part, {**_measured(session, part, models), "part": part}
            except Exception as error:  # it is the result of this part
                yield part, {"part": part, "problem": f"{type(error).__name__}: {error}"}


def _ok(result: Any) -> bool:
    off = references.recorded()[result["part"]]["off"]
    return (
        "problem" not in result
        and result["same file"]
        and max(result["weights"], result["rows"]) <= _ROUNDED
        and abs(result["off"] - off) <= _OFF * off
        and result["evaluation"] <= BOUND
    )


def _line(result: Any) -> str:
    if "problem" in result:
        return str(result["problem"])
    file = "" if result["same file"] else "another file than recorded, "
    return f"{file}weights {result['weights']:.1g}, off {result['off']:.5f}, evaluation {result['evaluation']:.1e}"


def _write(results: Results, given: Given) -> None:
    lines = []
    for kind in references.FORMATS:
        cells = {base: results.get(f"{base}/{kind}") for base in ("flux", "t5", "qwen", "unet")}
        weights = max(cell["weights"] for cell in cells.values() if cell)
        shown = (f"{cell['evaluation']:.1e}" if cell else "" for cell in cells.values())
        lines.append(f"| {kind.replace('gguf_', 'GGUF ')} | {weights:.1g} | {' | '.join(shown)} |")
    DOCS.write_text(_HEAD + "\n".join(lines) + "\n", "utf-8")
    print(f"wrote {DOCS.relative_to(ROOT)}")


RUNNER = Runner(
    name="quantised",
    about=__doc__,
    parts=tuple(references.recorded()),
    run=run,
    ok=_ok,
    line=_line,
    report=_write,
)

if __name__ == "__main__":
    sys.exit(main(RUNNER))
