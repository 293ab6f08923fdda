"""The tensors of one part of a model, by the names of its class, read from mapped files when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.families import maker_of
from graphflow.modelfiles.family import Change, Rows

if TYPE_CHECKING:
    from graphflow.modelfiles.description import Part


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor of a class stands in a file.

    Attributes:
        key: Its name in the file, with the part's prefix.
        change: What to do with it.
    """

    key: str
    change: Change = ""


class MappedTensors:
    """Tensors of a part, by the names of its Diffusers or transformers class.

    The files are mapped into memory: opening costs milliseconds, a tensor's pages are read when it is used, and
    tensors that need no conversion are views into the map.

    Args:
        part: Which files, and how the keys in them are named.
        names: Tensor names of the class.

    Raises:
        ModelFormatError: A file cannot be read, or its tensors are not those of the class.
    """

    def __init__(self, part: Part, names: Iterable[str]) -> None:
        self.part = part
        self.where = ", ".join(path.name for path in part.files)
        wanted = list(names)
        self._files = [_open(path) for path in part.files]
        self._file_of = {key: file for file in self._files for key in file.keys()}  # noqa: SIM118 - no mapping
        found, spare = _places(part, list(self._file_of), wanted)
        missing = [name for name in wanted if name not in found]
        if missing or spare:
            raise ModelFormatError(_mismatch(part, missing, spare), where=self.where, advice=_ADVICE)
        self._found = found

    @property
    def names(self) -> tuple[str, ...]:
        """Tensor names of the class."""
        return tuple(self._found)

    def read(self, name: str) -> torch.Tensor:
        """One tensor in the file's dtype, on the CPU; may be a view into the mapped file, so never write to it."""
        place = self._found[name]
        tensor: torch.Tensor = self._file_of[place.key].get_tensor(place.key)
        return changed(tensor, place.change)

    def key(self, name: str) -> str:
        """The tensor's name in the file."""
        return self._found[name].key


def changed(tensor: torch.Tensor, change: Change) -> torch.Tensor:
    """A tensor of a class, or its update, from that of a file; a view where that is enough."""
    match change:
        case Rows(first, last, whole):
            return tensor[len(tensor) * first // whole : len(tensor) * last // whole]
        case "swap_halves":
            return torch.cat(tensor.chunk(2)[::-1])
        case "transpose":
            return tensor.t()
        case "":
            return tensor


_ADVICE = "the file may be damaged, or of a variant that needs its config given in a sidecar NAME.json"


def read_all(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a small safetensors file, such as a LoRA or an embedding."""
    file = _open(path)
    return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping


_SECOND = ("CLIPTextModelWithProjection", "T5EncoderModel")


def role_of(part: Part) -> str:
    """The part's name in its family; a text encoder that comes alone does not know that it is the second one."""
    return "text_encoder_2" if part.class_name in _SECOND else part.name


def _open(path: Path) -> Any:
    if path.suffix.lower() == ".gguf":
        raise ModelFormatError("GGUF weights cannot be loaded yet", where=str(path), advice="use a .safetensors file")
    if path.suffix.lower() not in (".safetensors", ".sft"):
        name = path.name
        raise ModelFormatError(
            "is not a safetensors file, and pickle files can run code",
            where=str(path),
            advice=f"convert it: graphflow models convert {name}",
        )
    try:
        return safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise ModelFormatError(f"cannot be read: {error}", where=str(path)) from error


def _places(part: Part, keys: list[str], wanted: list[str]) -> tuple[dict[str, Place], list[str]]:
    """Where each wanted tensor stands, and which tensors of the file nobody wants."""
    names = maker_of(part).tensor_names(part)
    by_canonical = {names.canonical(name): name for name in wanted}
    found: dict[str, Place] = {}
    spare: list[str] = []
    for key in keys:
        if not key.startswith(part.prefix):
            continue
        inner = key.removeprefix(part.prefix)
        used = False
        for name, change in names.targets(inner):
            target = by_canonical.get(names.canonical(name))
            if target is not None:
                found[target] = Place(key, change)
                used = True
        if not used and not names.is_spare(inner):
            spare.append(key)
    return found, spare


def _mismatch(part: Part, missing: list[str], spare: list[str]) -> str:
    def listed(names: list[str]) -> str:
        shown = ", ".join(sorted(names)[:4])
        return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown

    problems = []
    if missing:
        problems.append(f"lacks {len(missing)} tensors ({listed(missing)})")
    if spare:
        problems.append(f"has {len(spare)} tensors too many ({listed(spare)})")
    return f"its {part.name} does not fit {part.class_name}: it " + " and ".join(problems)
