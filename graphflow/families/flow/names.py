"""How the tensors of a transformer are called by its authors and in Diffusers' class, by tables of modules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from graphflow.modelfiles.family import Change

Row = tuple[str, str, Change]
"""A module's name in the authors' code, one in Diffusers' class, and what of the former's tensors it has. In both,
`{}` stands for a block's number."""


class T5Names:
    """Implements :class:`graphflow.modelfiles.family.TensorNames` for T5 encoders, in transformers' names."""

    modules: Mapping[str, str] = {}

    def targets(self, key: str) -> Iterator[tuple[str, Change]]:
        """Yield the class's tensors that a file's tensor makes."""
        yield ("encoder.embed_tokens.weight" if key == "shared.weight" else key), ""

    def in_file(self, name: str, axes: int) -> tuple[str, Change]:
        """Return what files call a class's tensor, see :meth:`TableNames.in_file`."""
        return ("shared.weight" if name == "encoder.embed_tokens.weight" else name), ""

    def canonical(self, name: str) -> str:
        """Return a name as it is."""
        return name

    def is_spare(self, key: str) -> bool:
        """Tell the other half of a whole T5, and what is no weight."""
        return key.startswith(("decoder.", "lm_head.")) or "." not in key

    def originals(self, names: Iterable[str]) -> dict[str, str]:
        """Return none: the authors' files are not read."""
        return {}


class CausalNames(T5Names):
    """Names of a language model without the head that writes."""

    def targets(self, key: str) -> Iterator[tuple[str, Change]]:
        """Yield the class's tensors that a file's tensor makes; a model that sees, too, has its text under a name."""
        if not self.is_spare(key):
            yield _LANGUAGE.sub("", key), ""

    def in_file(self, name: str, axes: int) -> tuple[str, Change]:
        """Return what files call a class's tensor, see :meth:`TableNames.in_file`."""
        return f"model.{name}", ""

    def is_spare(self, key: str) -> bool:
        """Tell the head that writes, the network that sees, and what is no weight."""
        return _BESIDE_LANGUAGE.match(key) is not None or "." not in key


_LANGUAGE = re.compile(r"^(model\.)?(language_model\.)?(model\.)?")
_BESIDE_LANGUAGE = re.compile(r"^(model\.)?(language_model\.)?(lm_head|vision_tower|multi_modal_projector)\.")
_NUMBER = re.compile(r"(?<=\.)\d{1,4}(?=\.)")


@dataclass(frozen=True, eq=False)
class TableNames:
    """Implements :class:`graphflow.modelfiles.family.TensorNames`.

    Attributes:
        table: Rows for every module; several for a module that has several of Diffusers' in one.
        leaves: Endings of tensors that Diffusers calls otherwise.
        original: Whether the file has the authors' names.
        spare: Beginnings of tensors that files carry and the class has no use for.
        lora_table: More rows, for names that only LoRAs have.
    """

    table: tuple[Row, ...]
    leaves: Mapping[str, str]
    original: bool
    spare: tuple[str, ...] = ()
    lora_table: tuple[Row, ...] = ()

    @cached_property
    def modules(self) -> Mapping[str, str]:
        """None: several modules may be one in the file, so no mapping tells them."""
        return {}

    @cached_property
    def _rows(self) -> Mapping[str, list[tuple[str, Change]]]:
        rows: dict[str, list[tuple[str, Change]]] = {}
        for old, new, change in self.table:
            rows.setdefault(old, []).append((new, change))
        return rows

    def targets(self, key: str) -> Iterator[tuple[str, Change]]:
        """Yield the class's tensors that a file's tensor makes."""
        if not self.original:
            yield key, ""
            return
        module, _, leaf = key.rpartition(".")
        number = _NUMBER.search(module + ".")
        found = self._rows.get(module)  # of one block alone, or with a number of its own, such as `img_mlp.0`
        if found is None and number is not None:
            found = self._rows.get(f"{module[: number.start()]}{{}}{module[number.end() :]}")
        if found is None:  # both call it alike
            yield key, ""
            return
        for new, change in found:
            name = new if number is None else new.replace("{}", number[0], 1)
            yield f"{name}.{self.leaves.get(leaf, leaf)}", change

    @cached_property
    def _places(self) -> Mapping[str, tuple[str, Change]]:
        return {new: (old, change) for old, new, change in reversed(self.table)}

    def in_file(self, name: str, axes: int) -> tuple[str, Change]:
        """Return what the authors call a class's tensor, and what of theirs it is.

        Args:
            name: Its name in the class.
            axes: How many axes it has: leaves that Diffusers calls otherwise are those of norms.
        """
        module, _, leaf = name.rpartition(".")
        number = _NUMBER.search(module + ".")
        found = self._places.get(module)
        if found is None and number is not None:
            found = self._places.get(f"{module[: number.start()]}{{}}{module[number.end() :]}")
        if found is None:  # both call it alike
            return name, ""
        old = found[0] if number is None else found[0].replace("{}", number[0], 1)
        if axes == 1:
            leaf = next((theirs for theirs, ours in self.leaves.items() if ours == leaf), leaf)
        return f"{old}.{leaf}".removeprefix("."), found[1]

    def canonical(self, name: str) -> str:
        """Return a name as it is."""
        return name

    def is_spare(self, key: str) -> bool:
        """Tell whether a tensor may stand unused."""
        return key.startswith(self.spare) if self.spare else False

    def originals(self, names: Iterable[str]) -> dict[str, str]:
        """Return the authors' names; several tensors may be one of theirs."""
        return {name: self.in_file(name, 2)[0] for name in names}

    def lora_names(self, names: Iterable[str]) -> Iterator[tuple[str, str, Change]]:
        """Yield names of layers with underscores, Diffusers' and the authors', as `Family.lora_names` has them."""
        known = {name.removesuffix(".weight") for name in names if name.endswith(".weight")}
        for module in sorted(known):
            yield module.replace(".", "_"), module, ""
            if module.endswith(".to_out.0"):
                yield module.replace(".", "_").removesuffix("_0"), module, ""
        blocks = sorted({int(number[0]) for module in known if (number := _NUMBER.search(module))})
        for old, new, change in (*self.table, *self._numbered(), *self.lora_table):
            for block in blocks if "{}" in new else (0,):
                module, name = new.replace("{}", str(block)), old.replace("{}", str(block))
                if module in known and (name == old or name not in self._rows):
                    yield name.replace(".", "_"), module, change

    def _numbered(self) -> Iterator[Row]:
        """Yield rows for the parts of what the authors have in one, by their numbers, as OneTrainer calls them."""
        for old, found in self._rows.items():
            for number, (new, _) in enumerate(found if len(found) > 1 else ()):
                yield f"{old}.{number}", new, ""
