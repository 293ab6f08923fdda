"""Parts in single files that no method of Diffusers reads: their classes, configs and a table of the tensors' names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping

from graphflow.modelfiles.description import Description, Part, TokenizerSpec
from graphflow.modelfiles.families import family_named
from graphflow.modelfiles.family import Change, EncoderRole, Rows
from graphflow.modelfiles.formats import read_header
from graphflow.modelfiles.quantised.format import Options
from graphflow.modelfiles.shards import Weights, read_weights

from .script import UnsupportedError

AUTOENCODERS: Mapping[str, str] = {
    "AutoencoderKL": "load_autoencoder",
    "AutoencoderKLFlux2": "load_autoencoder",
    "AutoencoderKLQwenImage": "load_frame_autoencoder",
    "AutoencoderKLWan": "load_frame_autoencoder",
    "AutoencoderKLQwenImage21": "load_part",
    "AutoencoderKLTemporalDecoder": "load_part",
    "PaellaVQModel": "load_part",
    "CascadeAutoencoder": "load_part",
}
"""What loads an autoencoder from a file with its authors' names, by its class."""

SHARED = "shared.weight"
"""T5's embedding, which scripts give to its encoder."""
_NUMBER = re.compile(r"(?<=[._])\d+(?=[._])")
Targets = tuple[tuple[str, str], ...]
"""Names in the class, and which rows are meant."""


def loader_of(part: Part) -> str:
    """The script's function that loads a part.

    Raises:
        UnsupportedError: There is none.
    """
    if len(part.files) != 1 or part.files[0].suffix not in (".safetensors", ".gguf"):
        raise UnsupportedError(f"scripts read the {part.name} from one safetensors file or from a folder")
    return AUTOENCODERS[part.class_name] if part.keys == "ldm" and part.class_name in AUTOENCODERS else "load_part"


def names_table(part: Part) -> str:
    """Rows of what a file's tensors are called in the part's class, each `old new rows`; without those that keep their names."""
    targets = {key: found for key, found in _targets(part).items() if key != SHARED}
    return _table(dict(_by_module(targets)), kept=False)


def tensor_names(part: Part) -> frozenset[str]:
    """The names of a part's tensors in its class."""
    return frozenset(new for targets in _targets(part).values() for new, _ in targets)


def stored_names(weights: Weights) -> str:
    """Rows of what a GGUF file calls tensors otherwise than other files, and of what its converter changed in them."""
    rows = {layer.tensors["weight"]: ((name, _converted(layer.options)),) for name, layer in weights.packed.items()}
    return _table(dict(_by_module(rows)), kept=False)


def _converted(options: Options) -> str:
    return (
        f"less:{options['added']}" if "added" in options else f"heads:{options['heads']}" if "heads" in options else ""
    )


def layers_table(layers: Mapping[str, Iterable[tuple[str, Change]]]) -> str:
    """Rows of what the layers of a LoRA file are for: the layer, a module, and which of its rows."""
    return _table(
        {name: tuple((new, _shown(change)) for new, change in found) for name, found in layers.items()}, kept=True
    )


def _targets(part: Part) -> dict[str, Targets]:
    """What becomes of each tensor of a part's files."""
    names = family_named(part.maker).tensor_names(part)
    stored = (key for file in part.files for key in read_weights(file).tensors if key.startswith(part.prefix))
    keys = [key.removeprefix(part.prefix) for key in stored]
    return {key: tuple((new, _shown(change)) for new, change in names.targets(key)) for key in keys}


def _table(rows: Mapping[str, Targets], *, kept: bool) -> str:
    """Rows with `{}` for the number of a block, but for the blocks that are otherwise than most.

    Args:
        rows: What becomes of each name.
        kept: Whether names that stay as they are have a row.
    """
    patterns: dict[str, Counter[Targets]] = {}
    for key, targets in rows.items():
        pattern, general = _general(key, targets)
        patterns.setdefault(pattern, Counter())[general] += 1
    usual = {pattern: found.most_common(1)[0][0] for pattern, found in patterns.items()}
    table: dict[str, Targets] = {}
    for key, targets in rows.items():
        pattern, general = _general(key, targets)
        if usual[pattern] != general:
            table[key] = targets
        elif kept or general != ((pattern, ""),):
            table[pattern] = general
    return "\n".join(
        " ".join(filter(None, (old, new, rows))) for old, targets in table.items() for new, rows in targets
    )


def _by_module(known: Mapping[str, Targets]) -> Iterator[tuple[str, Targets]]:
    """What becomes of each module, where that is the same for all of its tensors; else of each tensor."""
    modules: dict[str, dict[str, Targets]] = {}
    for key, targets in known.items():
        module, _, leaf = key.rpartition(".")
        kept = bool(module) and all(new.endswith(f".{leaf}") for new, _ in targets)
        plain = tuple((new.removesuffix(f".{leaf}"), rows) for new, rows in targets) if kept else ()
        modules.setdefault(module, {})[leaf] = plain if kept else ()
    for module, leaves in modules.items():
        if len(set(leaves.values())) == 1 and all(leaves.values()):
            yield module, next(iter(leaves.values()))
            continue
        for leaf in leaves:
            key = f"{module}.{leaf}" if module else leaf
            if known[key]:
                yield key, known[key]


def _general(key: str, targets: Targets) -> tuple[str, Targets]:
    """A name and what becomes of it for any block, where its first number is that of a block."""
    number = _NUMBER.search(f"{key}.")
    if number is None or not all(f".{number[0]}." in f"{new}." for new, _ in targets):
        return key, targets
    pattern = f"{key[: number.start()]}{{}}{key[number.end() :]}"
    return pattern, tuple(
        (f"{new}.".replace(f".{number[0]}.", ".{}.", 1).removesuffix("."), rows) for new, rows in targets
    )


def _shown(change: Change) -> str:
    match change:
        case Rows(first, last, whole):
            return f"{first}:{last}/{whole}"
        case "swap_halves":
            return "swap"
        case "transpose":
            return "turn"
        case "":
            return ""


def tokenizer_source(spec: TokenizerSpec, clip: str) -> tuple[str, str]:
    """The script's function that loads a tokenizer, and where it is.

    Args:
        spec: What is known of it.
        clip: Where the Hub has CLIP's of that encoder.
    """
    if not spec.name:
        return "load_clip_tokenizer", str(spec.path) if spec.source == "folder" and spec.path else clip
    if spec.source == "weights" and spec.path is not None:
        tekken = any(key.endswith("tekken_model") for key in read_header(spec.path).tensors)
        return f"load_{'tekken' if tekken else 'pieces'}_inside", str(spec.path)
    if spec.source == "folder" and spec.path is not None:
        if (file := spec.path / "tokenizer.json").is_file():
            return "load_tokenizer", str(file)
        for name, loader in (
            ("spiece.model", "load_pieces"),
            ("tokenizer.model", "load_pieces"),
            ("tekken.json", "load_tekken"),
        ):
            if (file := spec.path / name).is_file():
                return loader, str(file)
        return "AutoTokenizer.from_pretrained", str(spec.path)
    published = spec.published[0]
    return "load_published_tokenizer" if ":" in published else "AutoTokenizer.from_pretrained", published


def role_of(description: Description, roles: Iterable[EncoderRole], taken: Container[str]) -> str | None:
    """The role that a text encoder's file takes, of those that are free; None where it is none."""
    part = next(part for part in description.parts.values() if part.name.startswith("text_encoder"))
    free = [role for role in roles if part.class_name in role.classes and role.part not in taken]
    return min(free, key=lambda role: len(role.classes)).part if free else None
