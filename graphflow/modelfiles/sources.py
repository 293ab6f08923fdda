"""Who may say what a weight file does not, and in which order.

The order is: explicit parameters of the node, a sidecar `NAME.json` beside the file, the file's `__metadata__`
(`graphflow.config`, then the `modelspec.*` fields), marker tensors, and last the family's default.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from graphflow.basics.wording import did_you_mean
from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import Config, JsonValue, Source
from graphflow.modelfiles.families import architectures, variant_names
from graphflow.modelfiles.given import Given
from graphflow.modelfiles.header import parse_json_object, read_json

SECTIONS = (
    "unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3", "image_encoder", "controlnet",
    "hypernetwork", "scheduler",
    "tokenizer", "tokenizer_2", "tokenizer_3",
)  # fmt: skip
"""Parts whose config may be given, as `{"unet": {"attention_head_dim": 8}}`."""

SHORT_NAMES: Mapping[str, tuple[str, ...]] = {
    "prediction_type": ("scheduler.prediction_type",),
    "zero_snr": ("scheduler.rescale_betas_zero_snr",),
    "scaling_factor": ("vae.scaling_factor",),
    "shift_factor": ("vae.shift_factor",),
    "attention_heads": ("unet.attention_head_dim", "controlnet.attention_head_dim"),
    "norm_groups": ("unet.norm_num_groups", "controlnet.norm_num_groups", "vae.norm_num_groups"),
}
"""Short names that node parameters and sidecars may use, too."""

PREDICTIONS: Mapping[str, str] = {
    "epsilon": "epsilon", "eps": "epsilon", "v": "v_prediction", "v_prediction": "v_prediction", "v-prediction":
    "v_prediction", "sample": "sample", "x0": "sample", "flow": "flow_prediction", "flow_prediction": "flow_prediction",
}  # fmt: skip

CONFIG_KEY = "graphflow.config"
"""Metadata field with a JSON object of configs by part; files written by graphflow carry it."""


def collect_given(
    overrides: Mapping[str, JsonValue] | None,
    sidecar: Path | None,
    metadata: Mapping[str, str],
    markers: Mapping[str, Config],
    where: str,
) -> tuple[Given, ...]:
    """Bring the sources of values in order.

    Args:
        overrides: The node's own parameters: sections (see `SECTIONS`), short names (see `SHORT_NAMES`), `variant`.
        sidecar: `NAME.json` beside the file, or None. Keys of other tools in it are passed over.
        metadata: The file's `__metadata__`.
        markers: Values that marker tensors stand for, by section.
        where: The file, for errors.

    Raises:
        ModelFormatError: A source gives a value that cannot be, or a parameter has an unknown name.
    """
    found: list[Given] = []
    if overrides:
        found.append(_given("parameter", "parameter", overrides, where, strict=True))
    if sidecar is not None:
        found.append(_given("sidecar", sidecar.name, read_json(sidecar), str(sidecar), strict=False))
    if text := metadata.get(CONFIG_KEY):
        place = f"{where} ({CONFIG_KEY})"
        found.append(_given("metadata", CONFIG_KEY, parse_json_object(text, place), place, strict=False))
    if spec := _modelspec(metadata):
        found.append(spec)
    if markers:
        found.append(Given("marker", "marker tensor", dict(markers)))
    return tuple(found)


def find_sidecar(path: Path) -> Path | None:
    """The `NAME.json` beside a model file or folder, if there is one."""
    stem = path.name if path.is_dir() else path.name.removesuffix(".index.json")
    stem = stem if path.is_dir() else stem[: -len(Path(stem).suffix)] if Path(stem).suffix else stem
    sidecar = path.with_name(stem + ".json")
    return sidecar if sidecar.is_file() else None


def _given(source: Source, reason: str, raw: Mapping[str, JsonValue], where: str, *, strict: bool) -> Given:
    values: dict[str, Config] = {}
    variant = ""
    for key, value in raw.items():
        if key in SECTIONS:
            if not isinstance(value, dict):
                raise ModelFormatError(f"{key!r} must be an object of config values, got {value!r}"[:300], where=where)
            values.setdefault(key, {}).update(value)
        elif key in SHORT_NAMES:
            for place in SHORT_NAMES[key]:
                section, _, name = place.partition(".")
                values.setdefault(section, {})[name] = value
        elif key == "variant" and (strict or value in variant_names()):
            if value not in variant_names():
                raise ModelFormatError(
                    f"variant must be one of {', '.join(variant_names())}, got {value!r}", where=where
                )
            variant = str(value)
        elif strict:
            known = (*SECTIONS, *SHORT_NAMES, "variant")
            advice = did_you_mean(key, known) or f"known are {', '.join(known)}"
            raise ModelFormatError(f"there is no model parameter {key!r}", where=where, advice=advice)
    for section, config in values.items():
        for key, value in config.items():
            config[key] = _checked(section, key, value, where)
    return Given(source, reason, values, variant)


def _checked(section: str, key: str, value: JsonValue, where: str) -> JsonValue:
    place = f"{section}.{key}"
    if key == "prediction_type":
        if not isinstance(value, str) or value.lower() not in PREDICTIONS:
            known = ", ".join(sorted(set(PREDICTIONS.values())))
            raise ModelFormatError(f"{place} must be one of {known}, got {value!r}", where=where)
        return PREDICTIONS[value.lower()]
    if key == "rescale_betas_zero_snr" and not isinstance(value, bool):
        raise ModelFormatError(f"{place} must be true or false, got {value!r}", where=where)
    if key == "scaling_factor" and not (_is_number(value) and value):
        raise ModelFormatError(f"{place} must be a number other than 0, got {value!r}", where=where)
    if section in ("unet", "controlnet") and key == "num_attention_heads" and value is None:
        return value  # Diffusers' own default, as complete configs have it: attention_head_dim counts.
    if key == "num_attention_heads" and isinstance(value, list) and value:
        # By level; -1 where a level has no attention.
        counts = [item for item in value if item != -1]
    else:
        counts = [value]
    if key in ("norm_num_groups", "num_attention_heads") and not all(map(_is_count, counts)):
        raise ModelFormatError(f"{place} must be a whole number from 1, got {value!r}", where=where)
    if key == "attention_head_dim" and not _is_count(value):
        items = value if isinstance(value, list) else [0]
        if not items or not all(_is_count(item) for item in items):
            raise ModelFormatError(f"{place} must be a number from 1 or a list of such, got {value!r}", where=where)
    return value


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _modelspec(metadata: Mapping[str, str]) -> Given | None:
    values: dict[str, Config] = {}
    architecture = metadata.get("modelspec.architecture", "").lower()
    variant, prediction = "", ""
    for start, named, implied in architectures():
        if architecture.startswith(start):
            variant, prediction = named, implied
            break
    prediction = PREDICTIONS.get(metadata.get("modelspec.prediction_type", "").lower(), prediction)
    if prediction:
        values["scheduler"] = {"prediction_type": prediction}
    if match := re.fullmatch(r"(\d{2,5})x(\d{2,5})", metadata.get("modelspec.resolution", "")):
        values["unet"] = {"sample_size": max(1, int(match[1]) // 8)}
    return Given("modelspec", "modelspec", values, variant) if values or variant else None
