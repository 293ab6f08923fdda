"""The modules in memory: taken by recipes, given back, moved and forgotten within a budget.

There is one module for each part of a model file. Recipes that differ in their patches share it: the weights that
differ are read again from the mapped file and merged anew. A part that is in use with other patches is loaded a second
time for the caller who already holds a module, and waited for by everybody else, so nobody waits while holding.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from graphflow import runtime
from graphflow.errors import InvalidInputError, ModelFormatError
from graphflow.loading import control_difference as _control_difference  # noqa: F401 - registers what its patch does
from graphflow.loading import offload
from graphflow.loading.devices import Placement, release_cached
from graphflow.loading.memory import Budget, Residents, Tier
from graphflow.loading.modules import LoadedPart
from graphflow.loading.patches import Target, combined_changes
from graphflow.loading.upscaler import CLASS_NAME as UPSCALER
from graphflow.loading.upscaler import LoadedUpscaler
from graphflow.loading.vision import LoadedVision
from graphflow.modelfiles.description import VISION
from graphflow.values import ModelFile, Recipe
from graphflow.values.types import type_name

if TYPE_CHECKING:
    from graphflow.modelfiles.description import Description

_CPU = torch.device("cpu")
_OVERFLOWS = "force_upcast"
"""Config flag of autoencoders that overflow in float16."""


@dataclass(eq=False)
class Held:
    """A part in memory, with who uses it.

    Attributes:
        key: Which part of which file.
        placement: Where and in what it computes.
        memory: The memory that it takes up there.
        loaded: The module; None until it is loaded and after it is forgotten.
        owner: The thread that uses it now.
        users: How many uses there are now.
        state: Patches and hooks of the recipe in use.
        family: The family that it was last taken for; empty where the part alone tells.
        in_groups: Whether group offloading has hold of it.
    """

    key: tuple[Any, ...]
    placement: Placement
    memory: Tier = "device"
    loaded: LoadedPart | None = None
    owner: int | None = None
    users: int = 0
    state: tuple[Any, ...] = ()
    family: str = ""
    in_groups: bool = False

    @property
    def part(self) -> LoadedPart:
        """The module of a part that is in use."""
        assert self.loaded is not None
        return self.loaded

    @property
    def bytes(self) -> int:
        """Bytes of its weights."""
        return self.loaded.bytes if self.loaded is not None else 0

    @property
    def tier(self) -> Tier:
        """Where most of it is."""
        return "main" if self.loaded is None or self.in_groups or self.loaded.device == _CPU else self.memory

    @property
    def in_use(self) -> bool:
        """Whether somebody computes with it now."""
        return self.users > 0


class Pool:
    """The parts in memory. Safe to use from several threads.

    Args:
        placement: Where and in what they compute.
        apart: Where and in what those compute that have a place of their own, by the recipe's value type.
        budget: How much may stay.
        describe: From a recipe's file to its description.
        measures: Measures against running out of memory that are in force; see :mod:`graphflow.loading.offload`.
    """

    def __init__(
        self,
        placement: Placement,
        apart: Mapping[str, Placement],
        budget: Budget,
        describe: Callable[[ModelFile], Description],
        measures: set[str],
    ) -> None:
        self.placement = placement
        self._apart = apart
        self.measures = measures
        self._describe = describe
        self._residents: Residents[Held] = Residents(budget, demote=self._demote, drop=self._drop)
        self._changed = threading.Condition(threading.RLock())

    def acquire(self, recipe: Recipe) -> list[Held]:
        """Take all parts of a recipe at once: loaded, patched and where they compute.

        Raises:
            ModelNotFoundError: A file of the recipe is gone.
            ModelFormatError: A file does not hold what the recipe says.
        """
        me = threading.get_ident()
        keys = [_key(file) for file in recipe.files]
        state = (recipe.patches, recipe.hooks)
        placement = self._apart.get(type_name(type(recipe)) or "", self.placement)
        with self._changed, _plain_tensors():
            holding = any(item.owner == me for item in self._residents)
            while not holding and any(self._taken_by_others(key, me) for key in keys):
                self._changed.wait()
            taken: list[Held] = []
            try:
                for key, file in zip(keys, recipe.files, strict=True):
                    item = self._choose(key, state, me, placement)
                    item.owner, item.state, item.family = me, state, file.family
                    item.users += 1
                    taken.append(item)
                    self._prepare(item, file, recipe.patches)
            except BaseException:
                self.release(taken)
                if not taken[-1].in_use:
                    # It may be half loaded, half patched or half moved.
                    self._residents.discard(taken[-1])
                raise
            return taken

    def release(self, held: list[Held]) -> None:
        """Give parts back."""
        with self._changed, _plain_tensors():
            for item in held:
                item.users -= 1
                if not item.in_use:
                    item.owner = None
                    if offload.MODELS in self.measures and not item.in_groups:
                        self._demote(item)
            for tier in ("device", *self._residents.budget.others, "main"):
                self._residents.make_room(tier, 0)
            self._changed.notify_all()

    def upcast(self, item: Held) -> None:
        """Bring a part that is in use into float32 for good, patches merged anew."""
        with self._changed, _plain_tensors():
            loaded = item.part
            patches = loaded.patches
            self._ungroup(item)
            loaded.cast(torch.float32)
            loaded.set_patches(patches, combined_changes(patches, self._target(item)))

    def exchange(self, item: Held, patches: tuple[Any, ...]) -> Callable[[], AbstractContextManager[None]]:
        """Make the weights that a part in use has with further patches behind its own; what is returned puts them in place.

        Raises:
            ModelFormatError: A patch does not fit.
            InvalidInputError: Its weights come to the device layer by layer, where they cannot be exchanged.
        """
        loaded = item.part
        if item.in_groups:
            raise InvalidInputError(
                "there is too little memory for a model whose weights change while it samples",
                advice="make smaller pictures, or apply the LoRA to the whole model with apply_lora",
            )
        with self._changed, _plain_tensors():
            target = self._target(item)
            changes = combined_changes(patches, target, combined_changes(loaded.patches, target))
            weights = loaded.changed(changes)
        return lambda: loaded.exchanged(weights)

    def free(self) -> int:
        """Forget all parts that nobody uses; returns how many."""
        with self._changed, _plain_tensors():
            count = self._residents.free_unused()
        if count:
            self._release_cached()
        return count

    def loaded(self) -> tuple[tuple[str, str, int], ...]:
        """What is in memory: (model, part, bytes), least recently used first."""
        with self._changed:
            return tuple((item.key[0], item.key[2], item.bytes) for item in self._residents)

    def take(self, measure: str) -> bool:
        """Put a measure in force; returns False where it was."""
        with self._changed, _plain_tensors():
            if measure in self.measures:
                return False
            self.measures.add(measure)
            if measure in (offload.MODELS, offload.GROUPS):
                for item in self._residents:
                    if not item.in_use:
                        self._demote(item)
                self._release_cached()
        return True

    def _release_cached(self) -> None:
        for placement in (self.placement, *self._apart.values()):
            release_cached(placement.device)

    def _taken_by_others(self, key: tuple[Any, ...], me: int) -> bool:
        found = [item for item in self._residents if item.key == key]
        return bool(found) and all(item.in_use and item.owner != me for item in found)

    def _choose(self, key: tuple[Any, ...], state: tuple[Any, ...], me: int, placement: Placement) -> Held:
        """A part that this thread uses in the same way, a free one, preferably with these patches, or a new one."""
        found = [item for item in self._residents if item.key == key]
        for item in found:
            if item.in_use and item.owner == me and item.state == state:
                return item
        free = [item for item in found if not item.in_use]
        same = [item for item in free if item.part.patches == state[0]]
        if same or free:
            return (same or free)[0]
        name = str(placement.device)
        return Held(key, placement, name if name in self._residents.budget.others else "device")

    def _prepare(self, item: Held, file: ModelFile, patches: tuple[Any, ...]) -> None:
        if item.loaded is None:
            item.loaded = self._load(file, item.placement)
        loaded = item.loaded
        self._residents.touch(item)
        if loaded.patches != patches:
            self._ungroup(item)
            loaded.set_patches(patches, combined_changes(patches, self._target(item)))
        if offload.SLICED_ATTENTION in self.measures:
            offload.slice_attention(loaded.module)
        device = item.placement.device
        if offload.GROUPS in self.measures and item.placement.offloads:
            if not item.in_groups:
                loaded.to(_CPU)
                offload.offload_groups(loaded.module, device)
                item.in_groups = True
        elif loaded.device != device:
            self._residents.make_room("main" if device == _CPU else item.memory, item.bytes)
            loaded.to(device)

    def _load(self, file: ModelFile, placement: Placement) -> LoadedPart:
        description = self._describe(file)
        part = description.parts.get(file.part)
        if part is None:
            raise ModelFormatError(f"has no {file.part}", where=file.name)
        dtype = placement.dtype_for(description.family or part.maker or None)
        if part.config.get(_OVERFLOWS) and dtype == torch.float16:
            dtype = torch.float32
        self._residents.make_room("main", part.bytes)
        if part.class_name == UPSCALER:
            return LoadedUpscaler(part, dtype)
        if part.name in VISION:
            return LoadedVision(part)
        loaded = LoadedPart(part, dtype)
        loaded.tensors.tell_unused(runtime.current().notice)
        return loaded

    def _target(self, item: Held) -> Target:
        return Target(
            part=item.part.part,
            shapes=item.part.shapes,
            describe=self._describe,
            notice=lambda message: runtime.current().notice(message),
            family=item.family,
        )

    def _ungroup(self, item: Held) -> None:
        """Take group offloading away from a module whose weights are about to change."""
        if item.in_groups:
            offload.join_groups(item.part.module)
            item.part.to(_CPU)
            item.in_groups = False

    def _demote(self, item: Held) -> None:
        if item.loaded is not None:
            item.loaded.to(_CPU)

    def _drop(self, item: Held) -> None:
        item.loaded = None
        item.in_groups = False


def _key(file: ModelFile) -> tuple[Any, ...]:
    return (file.name, file.kind, file.part, file.fingerprint, repr(sorted(file.options.items())))


@contextmanager
def _plain_tensors() -> Iterator[None]:
    """Leave inference mode while weights are made or moved: they outlive the node in whose context that happens."""
    with torch.inference_mode(False), torch.no_grad():
        yield
