"""Describing a Diffusers folder: a pipeline with `model_index.json`, or one component with `config.json`.

Of several sets of weights in one component, safetensors come before pickle, and the `fp16` set before the full one:
it is half the size, and half precision is what GPUs compute in. The override `weights_variant` asks for another set
(`""` for the plain one).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from graphflow.basics.regular import is_there
from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import VISION, Config, Description, Guess, JsonValue, Kind, Part, TokenizerSpec
from graphflow.modelfiles.families import family_named, family_of_pipeline, family_of_variant, recognise_part
from graphflow.modelfiles.fingerprint import file_fingerprint, folder_fingerprint
from graphflow.modelfiles.given import Answers
from graphflow.modelfiles.header import bytes_by_dtype, read_json
from graphflow.modelfiles.quantised.quanto import MAP, config_of_map
from graphflow.modelfiles.shards import QUANTISATION, Weights, read_weights
from graphflow.modelfiles.sources import collect_given
from graphflow.modelfiles.tokenizer_config import special_tokens

_PREFERRED = "fp16"
_NOT_A_NAME = ("..", "/", "\\", "\0")
_STEMS = ("diffusion_pytorch_model", "model")
_WEIGHTLESS = ("feature_extractor", "image_processor", "processor")
_PART_OF_KIND: Mapping[Kind, str] = {"diffusion_model": "unet", "t2i_adapter": "adapter", "motion_module": "adapter"}


@dataclass(slots=True)
class _Reader:
    """Reads one folder and remembers which files it used.

    Attributes:
        path: The folder.
        boundary: Every file must lie inside, links resolved; None: anywhere.
        variant: The wanted set of weights; None: by preference.
        used: Files that make up the model.
    """

    path: Path
    boundary: Path | None
    variant: str | None
    used: list[Path] = field(default_factory=list)
    pickle: bool = False

    def checked(self, path: Path) -> Path:
        if self.boundary is not None and not path.resolve().is_relative_to(self.boundary):
            raise ModelFormatError(
                f"is a link that leads out of the model folder, to {str(path.resolve())!r}",
                where=str(path),
                advice="set follow_symlinks = true for this folder in the settings",
            )
        return path

    def json(self, path: Path) -> Config:
        config = read_json(self.checked(path))
        self.used.append(path)
        return config

    def weights(self, folder: Path, quantisation: JsonValue) -> Weights | None:
        """The headers of a component's weights; None where they are pickle files."""
        path = self._choose(folder)
        if path is None:
            pickles = sorted(folder.glob("*.bin"))
            if not pickles:
                raise ModelFormatError(
                    "has no weights", where=str(folder), advice="download the folder again, with its safetensors files"
                )
            self.used.extend(self.checked(item) for item in pickles)
            self.pickle = True
            return None
        weights = read_weights(self.checked(path), quantisation)
        self.used.extend(self.checked(file) for file in weights.files)
        return weights

    def _choose(self, folder: Path) -> Path | None:
        variants = [self.variant] if self.variant is not None else [_PREFERRED, ""]
        for variant in variants:
            for stem in _STEMS:
                mark = f".{variant}" if variant else ""
                for name in (
                    f"{stem}{mark}.safetensors",
                    f"{stem}{mark}.safetensors.index.json",
                    f"{stem}.safetensors.index{mark}.json",
                ):
                    if (folder / name).is_file():
                        return folder / name
        others = sorted(item for item in folder.glob("*.safetensors") if item.is_file())
        if self.variant is not None and others:
            raise ModelFormatError(
                f"has no {self.variant or 'plain'!r} set of weights",
                where=str(folder),
                advice=f"there are {', '.join(item.name for item in others[:4])}",
            )
        return others[0] if len(others) == 1 else None


def describe_folder(
    name: str,
    path: Path,
    *,
    kind: Kind | None = None,
    overrides: Config | None = None,
    sidecar: Path | None = None,
    boundary: Path | None = None,
    fingerprint: str | None = None,
) -> Description:
    """Describe a Diffusers folder from its json files and the headers of its weights.

    Args:
        name: The name it was asked for by.
        path: The folder.
        kind: What it is wanted as, where its class does not tell.
        overrides: As in :func:`graphflow.modelfiles.sources.collect_given`, and `weights_variant` for the set of weights.
        sidecar: `NAME.json` beside the folder, if any.
        boundary: Folder that links must not leave; None: they may lead anywhere.
        fingerprint: Identity where it is known otherwise (a Hub commit).

    Raises:
        ModelFormatError: A file is missing, damaged, or not what its name says.
    """
    given = dict(overrides or {})
    variant = given.pop("weights_variant", None)
    if variant is not None and (not isinstance(variant, str) or any(mark in variant for mark in _NOT_A_NAME)):
        raise ModelFormatError(f"weights_variant must be a text such as 'fp16', got {variant!r}", where=name)
    reader = _Reader(path, boundary.resolve() if boundary else None, variant)
    answers = Answers(collect_given(given, sidecar, {}, {}, str(path)), str(path))
    is_pipeline = (path / "model_index.json").is_file()
    made = _pipeline(reader, answers) if is_pipeline else _component(reader, answers, kind)
    answers.check_scheduler(made.scheduler)
    if fingerprint is None:
        files = [(item.relative_to(path).as_posix(), file_fingerprint(item)) for item in dict.fromkeys(reader.used)]
        if sidecar is not None:
            files.append(("../sidecar", file_fingerprint(sidecar)))
        fingerprint = folder_fingerprint(files)
    totals: dict[str, int] = {}
    for part in made.parts.values():
        for dtype, count in part.bytes_by_dtype.items():
            totals[dtype] = totals.get(dtype, 0) + count
    return Description(
        name=name,
        path=path,
        kind=made.kind,
        layout="diffusers",
        family=made.family,
        variant=made.variant,
        task=made.task,
        parts=made.parts,
        scheduler=made.scheduler,
        tokenizers=tuple(made.tokenizers),
        details=made.details,
        guesses=tuple(answers.guesses),
        fingerprint=fingerprint,
        bytes_by_dtype=dict(sorted(totals.items(), key=lambda item: (-item[1], item[0]))),
        needs_conversion=reader.pickle,
        warnings=tuple(answers.warnings),
    )


@dataclass(slots=True)
class _Made:
    kind: Kind
    family: str | None = None
    variant: str = ""
    task: str = "generate"
    parts: dict[str, Part] = field(default_factory=dict)
    scheduler: Config = field(default_factory=dict)
    tokenizers: list[TokenizerSpec] = field(default_factory=list)
    details: Config = field(default_factory=dict)


def _pipeline(reader: _Reader, answers: Answers) -> _Made:
    index = reader.json(reader.path / "model_index.json")
    class_name = str(index.get("_class_name", ""))
    made = _Made("checkpoint", family_of_pipeline(class_name), details={"pipeline": class_name})
    for name, value in index.items():
        if name.startswith("_") or not isinstance(value, list) or len(value) != 2 or value[1] is None:
            continue
        if any(mark in name for mark in _NOT_A_NAME):
            raise ModelFormatError(f"has a component named {name[:80]!r}", where=str(reader.path / "model_index.json"))
        folder = reader.path / name
        if name == "scheduler":
            made.scheduler = _scheduler(reader, answers, folder)
        elif name.startswith("tokenizer") or (name == "processor" and "tokenizer" not in index):
            made.tokenizers.append(_tokenizer(reader, name))
        elif name.startswith(_WEIGHTLESS):
            reader.used.extend(sorted(reader.checked(item) for item in folder.glob("*.json")))
        else:
            made.parts[name] = _part(reader, answers, name, folder, str(value[1]))
    made.variant, made.task = _variant(answers, made.parts.get("unet"), made.family)
    return made


def _component(reader: _Reader, answers: Answers, kind: Kind | None) -> _Made:
    config = read_json(reader.checked(reader.path / "config.json"))
    architectures = config.get("architectures")
    first = architectures[0] if isinstance(architectures, list) and architectures else ""
    class_name = str(config.get("_class_name") or first)
    found = recognise_part(class_name, config)
    is_transformer = class_name.endswith(("Transformer2DModel", "Transformer3DModel"))
    recognised: Kind | None = found[1].kind if found is not None else "diffusion_model" if is_transformer else None
    made = _Made(kind if kind == "language_model" else recognised or kind or "unknown")
    name = "transformer" if is_transformer else _PART_OF_KIND.get(made.kind, made.kind)
    part = _part(reader, answers, name, reader.path, class_name)
    made.parts[name] = part
    if made.kind in VISION:  # how pictures and words come in stands beside the weights
        beside = (item for item in reader.path.iterdir() if item.suffix in (".json", ".txt"))
        reader.used.extend(sorted(reader.checked(item) for item in beside))
    if name == "transformer":
        made.family = family_of_pipeline(class_name)
    elif name in ("unet", "controlnet"):
        made.variant, made.task = _variant(answers, part, None)
        made.family = family_of_variant(made.variant)
    elif found is not None and found[1].variant:
        made.variant, made.family = found[1].variant, family_of_variant(found[1].variant)
    return made


def _part(reader: _Reader, answers: Answers, name: str, folder: Path, class_name: str) -> Part:
    config: Config = {}
    if not is_there(folder):
        raise ModelFormatError(f"lacks its component {name!r}", where=str(reader.path), advice="download it again")
    if (folder / "config.json").is_file():
        raw = reader.json(folder / "config.json")
        config = _answered(answers, name, {key: value for key, value in raw.items() if not key.startswith("_")})
    if QUANTISATION not in config and (folder / MAP).is_file():
        config = {**config, QUANTISATION: config_of_map(reader.json(folder / MAP))}
    weights = reader.weights(folder, config.get(QUANTISATION))
    return Part(
        name=name,
        class_name=class_name,
        config=config,
        files=weights.files if weights else tuple(sorted(folder.glob("*.bin"))),
        bytes_by_dtype=(
            bytes_by_dtype(weights.tensors.values())
            if weights
            else {"pickle": sum(item.stat().st_size for item in folder.glob("*.bin"))}
        ),
        tensors=len(weights.tensors) if weights else 0,
        folder=folder.relative_to(reader.path).as_posix() if folder != reader.path else "",
        maker=found[0].name if (found := recognise_part(class_name, config)) is not None else "",
    )


def _scheduler(reader: _Reader, answers: Answers, folder: Path) -> Config:
    raw = reader.json(folder / "scheduler_config.json")
    kept = {key: value for key, value in raw.items() if not key.startswith("_") or key == "_class_name"}
    return _answered(answers, "scheduler", {"prediction_type": "epsilon", "rescale_betas_zero_snr": False, **kept})


def _tokenizer(reader: _Reader, name: str) -> TokenizerSpec:
    folder = reader.path / name
    config: Config = {}
    if not is_there(folder):
        raise ModelFormatError(f"lacks its component {name!r}", where=str(reader.path), advice="download it again")
    if (folder / "tokenizer_config.json").is_file():
        config = special_tokens(read_json(reader.checked(folder / "tokenizer_config.json")))
    reader.used.extend(sorted(reader.checked(item) for item in folder.iterdir() if item.suffix in (".json", ".txt")))
    # What sees and reads has both in one.
    part = name.replace("tokenizer", "text_encoder").replace("processor", "text_encoder")
    return TokenizerSpec(part, "folder", config, path=folder)


def _answered(answers: Answers, section: str, config: Config) -> Config:
    given = {key for source in answers.given for key in source.values.get(section, {})}
    return {
        key: answers.value(section, key, config.get(key), certain=True, source="config")
        for key in [*config, *sorted(given - set(config))]
    }


def _variant(answers: Answers, denoiser: Part | None, family: str | None) -> tuple[str, str]:
    """Variant and task of a model, from its denoiser's config.

    Args:
        answers: Collects what is told.
        denoiser: The part; None where the folder has none that is known.
        family: The family of the whole, where it is known.
    """
    match = None
    if denoiser is not None:
        if family is None:
            found = recognise_part(denoiser.class_name, denoiser.config)
            match = None if found is None else found[1]
        else:
            match = family_named(family).recognise_part(denoiser.class_name, denoiser.config)
    task = "generate" if match is None else match.task
    if named := answers.variant():
        answers.guesses.append(named)
        return str(named.value), task
    if match is None or not match.variant:
        return family or "", task
    answers.guesses.append(Guess("variant", match.variant, "config", match.certain))
    return match.variant, task
