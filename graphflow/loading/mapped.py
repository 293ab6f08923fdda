"""The tensors of one part of a model, by the names of its class, read from mapped files when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open

from graphflow.basics.finite import is_finite
from graphflow.basics.wording import some
from graphflow.errors import ModelFormatError
from graphflow.loading.quantised.packed import PackedWeight
from graphflow.loading.quantised.registry import REORDERED, unpack
from graphflow.modelfiles.families import family_named, family_of_encoders, maker_of
from graphflow.modelfiles.family import Change, Family, Rows
from graphflow.modelfiles.formats import read_header
from graphflow.modelfiles.header import Header
from graphflow.modelfiles.shards import QUANTISATION, merge_headers

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


class MappedFiles:
    """Tensors of a model's files by name, as the files would have them unquantised.

    The files are mapped into memory: opening costs milliseconds, a tensor's pages are read when it is used, and
    tensors that need no conversion are views into the map.

    Args:
        paths: The files.
        where: What the user calls them.
        quantisation: The `quantization_config` of the Diffusers folder that they stand in.

    Raises:
        ModelFormatError: A file cannot be read, or is quantised in a way that is not known.
    """

    def __init__(self, paths: Iterable[Path], where: str, quantisation: Any = None) -> None:
        self.where = where
        files = [(_open(path), read_header(path)) for path in paths]
        self.weights = merge_headers(Path(where), [header for _, header in files], quantisation)
        self._file_of: dict[str, tuple[Any, Header]] = {}
        for file, header in files:
            self._file_of |= dict.fromkeys(header.tensors, (file or _Gguf(header), header))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all tensors."""
        return tuple(self.weights.tensors)

    def read(self, name: str) -> torch.Tensor | PackedWeight:
        """One tensor in the file's dtype, on the CPU, or packed; may be a view into the file, so never write to it.

        Raises:
            ModelFormatError: It holds NaN or infinite numbers.
        """
        layer = self.weights.packed.get(name)
        if layer is not None:
            raw = {
                role: self._mapped(key) if role == "weight" and layer.format not in REORDERED else self._own(key)
                for role, key in layer.tensors.items()
            }
            return unpack(raw, layer, self.where)
        tensor = self._mapped(name)
        _require_finite(name, tensor, self.where)
        return tensor

    def dense(self, name: str) -> torch.Tensor:
        """One tensor, dequantised to float32 where it is packed.

        Raises:
            ModelFormatError: It holds NaN or infinite numbers.
        """
        found = self.read(name)
        return found.values() if isinstance(found, PackedWeight) else found

    def _mapped(self, key: str) -> torch.Tensor:
        file, _ = self._file_of[key]
        tensor: torch.Tensor = file.get_tensor(key)
        return tensor

    def _own(self, key: str) -> torch.Tensor:
        """A tensor in memory of its own: what is brought in another order would else stand there twice."""
        _, header = self._file_of[key]
        tensor = torch.empty_like(self._mapped(key))
        try:
            with header.path.open("rb") as file:
                file.seek(header.tensors[key].start)
                read = file.readinto(tensor.reshape(-1).view(torch.uint8).numpy())
        except OSError as error:
            raise ModelFormatError(f"cannot be read: {error.strerror or error}", where=str(header.path)) from error
        if read != tensor.nbytes:
            raise ModelFormatError(f"ends inside its tensor {key}", where=str(header.path), advice="get it again")
        return tensor


class MappedTensors:
    """Tensors of a part, by the names of its Diffusers or transformers class.

    Args:
        part: Which files, and how the keys in them are named.
        names: Tensor names of the class.

    Raises:
        ModelFormatError: A file cannot be read, lacks tensors of the class, or is quantised in a way that is not known.
    """

    def __init__(self, part: Part, names: Iterable[str]) -> None:
        self.part = part
        # In a Diffusers folder all files are called alike.
        self.where = ", ".join("/".join(path.parts[-3:]) if part.folder else path.name for path in part.files)
        wanted = list(names)
        self._files = MappedFiles(part.files, self.where, part.config.get(QUANTISATION))
        self._found, self._unused = _places(part, list(self._files.names), wanted)
        missing = [name for name in wanted if name not in self._found]
        if missing:
            raise ModelFormatError(_mismatch(part, missing, self._unused), where=self.where, advice=_ADVICE)

    @property
    def names(self) -> tuple[str, ...]:
        """Tensor names of the class."""
        return tuple(self._found)

    def tell_unused(self, notice: Callable[[str], None]) -> None:
        """Tell the user of tensors under the part's prefix that its class does not have, where there are some."""
        if self._unused:
            notice(
                f"{self.where}: {len(self._unused)} of its tensors have no place in {self.part.class_name} and are left"
                f" out: {some(self._unused)}"
            )

    def read(self, name: str) -> torch.Tensor:
        """One tensor on the CPU, in the file's dtype, or float32 where it is quantised.

        It may be a view into the mapped file, so never write to it.

        Raises:
            ModelFormatError: It holds NaN or infinite numbers.
        """
        found = self.packed(name)
        return found.values() if isinstance(found, PackedWeight) else found

    def packed(self, name: str) -> torch.Tensor | PackedWeight:
        """One tensor as :meth:`read` has it, or packed where it is quantised and its change leaves it so.

        Raises:
            ModelFormatError: It holds NaN or infinite numbers.
        """
        place = self._found[name]
        found = self._files.read(place.key)
        if not isinstance(found, PackedWeight):
            return changed(found, place.change)
        packed = found.changed(place.change)
        return changed(found.values(), place.change) if packed is None else packed

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


def read_all(path: Path, name: str) -> dict[str, torch.Tensor]:
    """All tensors of a small file, such as a LoRA or an embedding, dequantised.

    Args:
        path: The file.
        name: What the user calls it.

    Raises:
        ModelFormatError: It cannot be read, or a tensor holds NaN or infinite numbers.
    """
    files = MappedFiles([path], name)
    return {key: files.dense(key) for key in files.names}


def owner_of(part: Part, family: str = "") -> Family:
    """The family that a part is loaded for; where nobody says it, one that reads such an encoder."""
    if family:
        return family_named(family)
    return family_of_encoders([part.class_name]) if part.name.startswith("text_encoder") else maker_of(part)


def role_of(part: Part, family: str = "") -> str:
    """The part's name in a family; a text encoder that comes alone does not know which one it is."""
    if part.folder or not part.name.startswith("text_encoder"):
        return part.name
    roles = [role for role in owner_of(part, family).encoders() if part.class_name in role.classes]
    return min(roles, key=lambda role: len(role.classes)).part if roles else part.name


def _open(path: Path) -> Any:
    """A safetensors file; None where it is a GGUF file."""
    if path.suffix.lower() == ".gguf":
        return None
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


class _Gguf:
    """The bytes of a GGUF file's tensors, mapped into memory."""

    def __init__(self, header: Header) -> None:
        self._tensors = header.tensors
        self._bytes = torch.from_file(str(header.path), shared=False, size=header.size, dtype=torch.uint8)

    def get_tensor(self, key: str) -> torch.Tensor:
        """All bytes of a tensor, in a row."""
        info = self._tensors[key]
        data = self._bytes[info.start : info.start + info.size]
        return data if info.start % 8 == 0 else data.clone()


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


def _require_finite(key: str, tensor: torch.Tensor, where: str) -> None:
    if tensor.is_floating_point() and not is_finite(tensor):
        raise ModelFormatError(
            f"its tensor {key} holds NaN or infinite numbers",
            where=where,
            advice="the file is damaged or was saved from a failed training or merge; get it again",
        )


def _mismatch(part: Part, missing: list[str], spare: list[str]) -> str:
    more = f" and has {len(spare)} tensors too many ({some(spare)})" if spare else ""
    return f"its {part.name} does not fit {part.class_name}: it lacks {len(missing)} tensors ({some(missing)}){more}"
