"""Describing one weight file: what kind of model it is, of which family, and the config of each of its parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from graphflow.errors import ModelFormatError
from graphflow.library.adapters import Adapter, find_adapter, find_lora
from graphflow.library.roots import PICKLE_EXTENSIONS
from graphflow.modelfiles.description import VISION, Config, Description, JsonValue, Kind, Part
from graphflow.modelfiles.draft import Draft
from graphflow.modelfiles.families import recognise
from graphflow.modelfiles.fingerprint import file_fingerprint, folder_fingerprint
from graphflow.modelfiles.given import Answers
from graphflow.modelfiles.header import bytes_by_dtype, read_floats
from graphflow.modelfiles.inferred import Inferred, Shapes
from graphflow.modelfiles.peft_folder import config_of
from graphflow.modelfiles.shards import Weights, read_weights
from graphflow.modelfiles.sources import collect_given

ONNX = "Onnx"
"""Class of the network of an ONNX file."""
TRANSPARENCY = "TransparencyDecoder"
"""Class of LayerDiffuse's decoder."""


def describe_file(
    name: str, path: Path, *, kind: Kind | None = None, overrides: Config | None = None, sidecar: Path | None = None
) -> Description:
    """Describe a weight file (or the index of a sharded one) from its header.

    Args:
        name: The name it was asked for by.
        path: The file.
        kind: What it is wanted as; decides only where the tensors fit several kinds.
        overrides: The node's own parameters, see :func:`graphflow.modelfiles.sources.collect_given`.
        sidecar: `NAME.json` beside it, if any.

    Raises:
        ModelFormatError: The file is damaged, is not what its name says, or a value contradicts it.
    """
    if path.suffix.lower() in PICKLE_EXTENSIONS:
        return describe_pickle(name, path, kind)
    if path.suffix.lower() == ".onnx":
        return describe_onnx(name, path, kind)
    weights = read_weights(path)
    shapes = {key: tensor.shape for key, tensor in weights.tensors.items()}
    given = collect_given(overrides, sidecar, weights.metadata, _markers(weights), str(path))
    draft = Draft(weights, shapes, Answers(given, str(path)), str(path))
    _fill(draft, kind)
    draft.answers.check_scheduler(draft.scheduler)
    if any(key.startswith("model_ema.") for key in shapes):
        draft.answers.warnings.append("the file carries a second (EMA) copy of the weights, which is not used")
    fingerprint = weights.fingerprint()
    if sidecar is not None:
        fingerprint = folder_fingerprint([("", fingerprint), ("sidecar", file_fingerprint(sidecar))])
    scale = config_of(path)
    if scale is not None:
        fingerprint = folder_fingerprint([("", fingerprint), (scale.name, file_fingerprint(scale))])
    return Description(
        name=name,
        path=path,
        kind=draft.kind,
        layout="gguf" if weights.is_gguf else draft.layout,
        family=draft.family,
        variant=draft.variant,
        task=draft.task,
        parts=draft.parts,
        scheduler=draft.scheduler,
        tokenizers=tuple(draft.tokenizers),
        details=draft.details,
        guesses=tuple(draft.answers.guesses),
        fingerprint=fingerprint,
        bytes_by_dtype=bytes_by_dtype(weights.tensors.values()),
        warnings=(*weights.warnings, *draft.answers.warnings),
    )


def describe_pickle(name: str, path: Path, kind: Kind | None) -> Description:
    """Describe a pickle file without looking into it.

    Raises:
        ModelFormatError: The file cannot be read.
    """
    return Description(
        name=name,
        path=path,
        kind=kind or "unknown",
        layout="pickle",
        fingerprint=file_fingerprint(path),
        bytes_by_dtype={"pickle": path.stat().st_size},
        needs_conversion=True,
        warnings=("a pickle file can run any code when it is opened, so nothing is known about its contents",),
    )


def describe_onnx(name: str, path: Path, kind: Kind | None) -> Description:
    """Describe an ONNX file, which onnxruntime reads when it is used.

    Raises:
        ModelFormatError: It is wanted as what no ONNX file is read as.
    """
    if kind is not None and kind not in VISION:
        raise ModelFormatError(
            "is an ONNX file", where=str(path), advice="only detectors and the like are read from ONNX"
        )
    size = {"onnx": path.stat().st_size}
    part = Part(kind or "unknown", ONNX, {}, files=(path,), bytes_by_dtype=size)
    return Description(
        name=name,
        path=path,
        kind=kind or "unknown",
        layout="onnx",
        parts={part.name: part},
        fingerprint=file_fingerprint(path),
        bytes_by_dtype=size,
    )


def _fill(draft: Draft, kind: Kind | None) -> None:
    """Find out the kind and fill in what belongs to it; the first that fits."""
    lora = find_lora(draft.shapes, draft.weights.metadata)
    found = recognise(draft.shapes, draft.weights.metadata, stated=draft.answers.variant())
    if "latent_conv_in.weight" in draft.shapes:
        found = None  # it is made of a UNet's blocks, and is none that denoises
    if found is not None and (lora is None or found[1].kind == "controlnet"):
        family, match = found
        draft.maker = family.name
        family.describe(draft, match, kind)
    elif lora is not None:
        draft.kind, draft.family, draft.variant, draft.details = lora.kind, lora.family, lora.variant, lora.details
        draft.answers.warnings.extend(lora.warnings)
        draft.layout = "original" if lora.details.get("format") == "kohya" else "diffusers"
    else:
        adapter = find_adapter(draft.shapes)
        if adapter is None and kind == "upscale_model":
            # There are dozens of architectures; which one it is shows when it is loaded.
            adapter = Adapter("upscale_model")
        if adapter is None:
            raise ModelFormatError(
                f"nothing known fits its {len(draft.shapes)} tensors (such as {_some(draft.shapes)})",
                where=draft.where,
                advice="graphflow reads checkpoints, UNets, text encoders, VAEs, ControlNets, LoRAs, embeddings and"
                " upscalers as they are published; check that this is a model file",
            )
        draft.kind, draft.family, draft.details = adapter.kind, adapter.family, adapter.details
        draft.variant = adapter.variant
        if draft.kind == "upscale_model":
            draft.add("upscaler", Inferred("Upscaler"), "")
        if draft.kind == "transparency_decoder":
            draft.add(draft.kind, Inferred(TRANSPARENCY), "")


def _markers(weights: Weights) -> dict[str, Config]:
    """What tensors that are only signs stand for."""
    found: dict[str, Config] = {}
    scheduler: dict[str, JsonValue] = {}
    if "v_pred" in weights.tensors or "edm_vpred.sigma_max" in weights.tensors:
        scheduler["prediction_type"] = "v_prediction"
    levels = {"sigma_min": "edm_vpred.sigma_min", "sigma_max": "edm_vpred.sigma_max"}
    header = weights.headers[0]
    if set(levels.values()) <= set(header.tensors):  # CosXL
        scheduler["_class_name"] = "EDMEulerScheduler"
        for name, tensor in levels.items():
            scheduler[name] = read_floats(header, tensor)[0]
    if "ztsnr" in weights.tensors:
        scheduler["rescale_betas_zero_snr"] = True
    if {"edm_mean", "edm_std"} <= set(header.tensors):  # Playground v2.5
        mean, std = list(read_floats(header, "edm_mean")), list(read_floats(header, "edm_std"))
        found["vae"] = {"latents_mean": [*mean], "latents_std": [*std], "scaling_factor": 0.5}
        scheduler["_class_name"] = "EDMDPMSolverMultistepScheduler"
    if scheduler:
        found["scheduler"] = scheduler
    return found


def _some(shapes: Shapes) -> str:
    return ", ".join(repr(name[:80]) for name in _first(shapes, 3)) or "none"


def _first(shapes: Shapes, count: int) -> Iterator[str]:
    for index, name in enumerate(shapes):
        if index == count:
            return
        yield name
