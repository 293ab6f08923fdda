"""The model manager: recipes to modules, within a memory budget, on one device.

There is one module for each part of a model file. Recipes that differ in their patches share it: the weights that
differ are read again from the mapped file and merged anew. A part that is in use with other patches is loaded a second
time for the caller who already holds a module, and waited for by everybody else, so nobody waits while holding.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch

from graphflow import runtime
from graphflow.errors import ModelFormatError, ModelNotFoundError
from graphflow.families.base import Module, family
from graphflow.families.safety import PictureChecker, statistics
from graphflow.models import offload
from graphflow.models.devices import Placement, device_memory, main_memory, place, release_cached
from graphflow.models.download import download
from graphflow.models.header import read_json
from graphflow.models.ladder import Ladder, Rung
from graphflow.models.mapped import read_all, role_of
from graphflow.models.memory import Budget, Residents, Tier
from graphflow.models.modules import LoadedPart
from graphflow.models.patches import Target, combined_changes
from graphflow.values import (
    ControlNet,
    EmbeddingPatch,
    Model,
    ModelFile,
    Recipe,
    SafetyChecker,
    TextEncoder,
    Vae,
)

if TYPE_CHECKING:
    from graphflow.models.description import Description, Kind
    from graphflow.models.library import Library
    from graphflow.settings import Settings

T = TypeVar("T")

_DEVICE_SHARE = 0.9
"""Share of the device's memory that weights may take by default; the rest is for what is computed."""

_UPCAST_PARTS = "force_upcast"
"""Config flag of autoencoders that overflow in float16."""


@dataclass(eq=False)
class _Held:
    """A loaded part with what the manager knows about it.

    Attributes:
        key: Which part of which file.
        loaded: The module; None until it is loaded.
        owner: The thread that uses it now.
        users: How many uses there are now.
        state: Patches and hooks of the recipe in use.
        offloaded: Whether group offloading has hold of it.
    """

    key: tuple[Any, ...]
    loaded: LoadedPart | None = None
    owner: int | None = None
    users: int = 0
    state: tuple[Any, ...] = ()
    offloaded: bool = False

    @property
    def bytes(self) -> int:
        return self.loaded.bytes if self.loaded is not None else 0

    @property
    def tier(self) -> Tier:
        if self.loaded is None or self.offloaded or self.loaded.device.type == "cpu":
            return "main"
        return "device"

    @property
    def in_use(self) -> bool:
        return self.users > 0


class ModelManager:
    """Gives recipes their modules; implements :class:`graphflow.runtime.ModelProvider`.

    Safe to use from several threads.

    Args:
        library: Where names lead.
        placement: Device and dtype; None: the best device, half precision on an accelerator, float32 on the CPU.
        budget: Bytes of weights that may stay in memory; None: half of the main memory, 90 % of the device's.
        measures: Measures to take from the start, by the names in :mod:`graphflow.models.offload`.
    """

    def __init__(
        self,
        library: Library,
        *,
        placement: Placement | None = None,
        budget: Budget | None = None,
        measures: Collection[str] = (),
    ) -> None:
        self.library = library
        self.placement = placement or place()
        self.measures: set[str] = set(measures)
        budget = budget or Budget(main_memory() // 2, int(device_memory(self.placement.device) * _DEVICE_SHARE))
        self._residents: Residents[_Held] = Residents(budget, demote=self._demote, drop=self._drop)
        self._free = threading.Condition(threading.RLock())
        self._ladder = Ladder(self._rungs())

    @classmethod
    def from_settings(cls, library: Library, settings: Settings) -> ModelManager:
        """The manager that the settings describe.

        Raises:
            SettingsError: The machine lacks the device.
        """
        placement = place(settings.device, settings.dtype)
        main = settings.memory_bytes if settings.memory_bytes is not None else main_memory() // 2
        device = int(device_memory(placement.device) * _DEVICE_SHARE) if placement.offloads else main
        return cls(library, placement=placement, budget=Budget(main, device))

    # ------------------------------------------------------------------------------------------------ names

    def find(self, name: str, kind: str, *, part: str, options: Mapping[str, Any] | None = None) -> ModelFile:
        """Resolve a model name to one part of a file.

        Args:
            name: As a document has it.
            kind: The library's kind, e.g. `checkpoint`.
            part: The part, e.g. `unet`; empty for a file that is used whole, such as a LoRA.
            options: What the file does not say, e.g. `{"prediction_type": "v_prediction"}`.

        Raises:
            ModelNotFoundError: Nothing has this name, or the model has no such part.
            ModelFormatError: The file is damaged or of another kind.
        """
        description = self._describe(name, kind, options or {}, trusted=runtime.current().trusts(name))
        if part and part not in description.parts:
            raise ModelNotFoundError(
                f"has no {part}; it has {', '.join(description.parts) or 'no parts that can be loaded'}", where=name
            )
        return ModelFile(
            name=name,
            kind=kind,
            part=part,
            family=description.family or "",
            fingerprint=description.fingerprint or "",
            options=dict(options or {}),
        )

    def parts(self, name: str, kind: str) -> tuple[str, ...]:
        """The parts of a model, e.g. `("unet", "text_encoder", "vae")`.

        Raises:
            ModelNotFoundError: Nothing has this name.
            ModelFormatError: The file is damaged or of another kind.
        """
        return tuple(self._describe(name, kind, {}, trusted=runtime.current().trusts(name)).parts)

    def describe(self, file: ModelFile) -> Description:
        """The description of a recipe's file.

        Raises:
            ModelNotFoundError: The file is gone.
            ModelFormatError: The file has changed since the recipe was made.
        """
        # A recipe's names were checked when `find` made it.
        description = self._describe(file.name, file.kind, file.options, trusted=True)
        if file.fingerprint and description.fingerprint != file.fingerprint:
            raise ModelFormatError(
                "the file has changed since this run was planned", where=file.name, advice="start the run again"
            )
        return description

    def _describe(self, name: str, kind: str, options: Mapping[str, Any], *, trusted: bool) -> Description:
        description = self.library.describe(name, cast("Kind", kind), overrides=dict(options), trusted=trusted)
        if not description.resolved:
            download(name)
            description = self.library.describe(name, cast("Kind", kind), overrides=dict(options))
        return description

    # -------------------------------------------------------------------------------------------------- use

    @contextmanager
    def use(self, recipe: Recipe) -> Iterator[Any]:
        """Have a recipe's modules in place until the block ends.

        Gives a :class:`graphflow.families.unet.UNetModel` for a Model, a
        :class:`~graphflow.families.text.TextModel` for a TextEncoder, an
        :class:`~graphflow.families.vae.Autoencoder` for a Vae, a
        :class:`~graphflow.families.control.ControlModel` for a ControlNet and a
        :class:`~graphflow.families.safety.PictureChecker` for a SafetyChecker.

        Raises:
            ModelNotFoundError: A file of the recipe is gone.
            ModelFormatError: A file does not hold what the recipe says.
        """
        held = self._acquire(recipe)
        try:
            modules = tuple(self._module(item, file) for item, file in zip(held, recipe.files, strict=True))
            loaded = self._wrap(recipe, modules)
            with ExitStack() as hooks:
                for hook in recipe.hooks:
                    hooks.enter_context(hook.attach(loaded))
                yield loaded
        finally:
            self._release(held)

    def retrying(self, function: Callable[[], T]) -> T:
        """Run a node's work, and again after each measure of the memory ladder while memory runs out.

        Raises:
            OutOfMemoryError: No measure is left.
        """
        return self._ladder.run(function)

    def inference(self) -> AbstractContextManager[Any]:
        """The context in which nodes compute: no gradients."""
        context: AbstractContextManager[Any] = torch.inference_mode()
        return context

    def free(self) -> int:
        """Forget all modules that nobody uses; returns how many."""
        with self._free, _plain_tensors():
            count = self._residents.free_unused()
        if count:
            release_cached(self.placement.device)
        return count

    def loaded(self) -> tuple[tuple[str, str, int], ...]:
        """What is in memory: (model, part, bytes), least recently used first."""
        with self._free:
            return tuple((item.key[0], item.key[2], item.bytes) for item in self._residents)

    def _acquire(self, recipe: Recipe) -> list[_Held]:
        """Take all parts of a recipe at once, loaded, patched and on the device."""
        me = threading.get_ident()
        keys = [self._key(file) for file in recipe.files]
        state = (recipe.patches, recipe.hooks)
        with self._free, _plain_tensors():
            holding = any(item.owner == me for item in self._residents)
            while not holding and any(self._taken_by_others(key, me) for key in keys):
                self._free.wait()
            taken: list[_Held] = []
            try:
                for key, file in zip(keys, recipe.files, strict=True):
                    item = self._choose(key, state, me)
                    item.owner, item.state = me, state
                    item.users += 1
                    taken.append(item)
                    self._prepare(item, file, recipe)
            except BaseException:
                self._release(taken)
                raise
            return taken

    def _key(self, file: ModelFile) -> tuple[Any, ...]:
        return (file.name, file.kind, file.part, file.fingerprint, repr(sorted(file.options.items())))

    def _taken_by_others(self, key: tuple[Any, ...], me: int) -> bool:
        found = [item for item in self._residents if item.key == key]
        return bool(found) and all(item.in_use and item.owner != me for item in found)

    def _choose(self, key: tuple[Any, ...], state: tuple[Any, ...], me: int) -> _Held:
        """A free module, one that this thread uses in the same way, or a new one."""
        found = [item for item in self._residents if item.key == key]
        for item in found:
            if item.in_use and item.owner == me and item.state == state:
                return item
        free = [item for item in found if not item.in_use]
        same = [item for item in free if item.state[:1] == state[:1]]
        return next(iter(same or free), _Held(key))

    def _prepare(self, item: _Held, file: ModelFile, recipe: Recipe) -> None:
        device = self.placement.device
        if item.loaded is None:
            description = self.describe(file)
            part = description.parts.get(file.part)
            if part is None:
                raise ModelFormatError(f"has no {file.part}", where=file.name)
            dtype = self.placement.dtype_for(description.family)
            if part.config.get(_UPCAST_PARTS) and dtype == torch.float16:
                dtype = torch.float32
            self._residents.make_room("main", part.bytes)
            item.loaded = LoadedPart(part, dtype)
        loaded = item.loaded
        self._residents.touch(item)
        if loaded.patches != recipe.patches:
            self._detach(item)
            target = Target(
                part=loaded.part,
                shapes=loaded.shapes,
                describe=self.describe,
                notice=lambda message: runtime.current().notice(message),
            )
            loaded.set_patches(recipe.patches, combined_changes(recipe.patches, target))
        if offload.SLICED_ATTENTION in self.measures:
            offload.slice_attention(loaded.module)
        if offload.GROUPS in self.measures and self.placement.offloads:
            if not item.offloaded:
                loaded.to(torch.device("cpu"))
                offload.offload_groups(loaded.module, device)
                item.offloaded = True
        elif loaded.device != device:
            self._residents.make_room("device", item.bytes)
            loaded.to(device)

    def _release(self, held: list[_Held]) -> None:
        with self._free, _plain_tensors():
            for item in held:
                item.users -= 1
                if not item.in_use:
                    item.owner = None
                    if offload.MODELS in self.measures and not item.offloaded and item.loaded is not None:
                        item.loaded.to(torch.device("cpu"))
            self._residents.make_room("device", 0)
            self._residents.make_room("main", 0)
            self._free.notify_all()

    def _detach(self, item: _Held) -> None:
        """Take group offloading away from a module whose weights are about to change."""
        if item.offloaded and item.loaded is not None:
            offload.join_groups(item.loaded.module)
            item.loaded.to(torch.device("cpu"))
            item.offloaded = False

    def _demote(self, item: _Held) -> None:
        if item.loaded is not None:
            item.loaded.to(torch.device("cpu"))

    def _drop(self, item: _Held) -> None:
        self._detach(item)
        item.loaded = None

    # ------------------------------------------------------------------------------------------------- wrap

    def _module(self, item: _Held, file: ModelFile) -> Module:
        loaded = item.loaded
        assert loaded is not None

        def upcast() -> None:
            with self._free, _plain_tensors():
                patches = loaded.patches
                target = Target(
                    part=loaded.part, shapes=loaded.shapes, describe=self.describe, notice=lambda message: None
                )
                self._detach(item)
                loaded.cast(torch.float32)
                loaded.set_patches(patches, combined_changes(patches, target))

        return Module(
            name=role_of(loaded.part),
            part=file.part,
            module=loaded.module,
            description=self.describe(file),
            config=loaded.part.config,
            device=self.placement.device,
            dtype=loaded.dtype,
            upcast=upcast,
            save_memory=offload.TILES in self.measures,
        )

    def _wrap(self, recipe: Recipe, modules: tuple[Module, ...]) -> Any:
        match recipe:
            case SafetyChecker():
                return self._checker(modules[0])
            case Model():
                return family(recipe.family).model(modules[0])
            case Vae():
                return family(recipe.family or "sd").autoencoder(modules[0])
            case ControlNet():
                return family(recipe.family or "sd").control(modules[0])
            case TextEncoder():
                return family(recipe.family).text_model(
                    modules,
                    layer=recipe.layer,
                    find_embedding=self._embedding,
                    tokens={
                        patch.token: self._embedding_file(patch.file)
                        for patch in recipe.patches
                        if isinstance(patch, EmbeddingPatch)
                    },
                )
            case _:
                raise ModelFormatError(f"nothing is known about recipes of the type {type(recipe).__name__}")

    def _checker(self, part: Module) -> PictureChecker:
        folder = part.description.path
        config = folder / "feature_extractor" / "preprocessor_config.json" if folder is not None else None
        found = read_json(config) if config is not None and config.is_file() else {}
        return PictureChecker(module=part.module, device=part.device, dtype=part.dtype, **statistics(found))

    def _embedding(self, name: str) -> Mapping[str, torch.Tensor] | None:
        try:
            file = self.find(name, "embedding", part="")
        except ModelNotFoundError:
            return None
        return self._embedding_file(file)

    def _embedding_file(self, file: ModelFile) -> Mapping[str, torch.Tensor]:
        path = self.describe(file).path
        if path is None:
            raise ModelNotFoundError("is not downloaded", where=file.name)
        return read_all(path)

    # ----------------------------------------------------------------------------------------------- ladder

    def _rungs(self) -> tuple[Rung, ...]:
        rungs = [
            Rung("models that are not in use are freed", lambda: self.free() > 0),
            Rung("attention is computed in slices and pictures are decoded in tiles", self._save_activations),
        ]
        if self.placement.offloads:
            rungs += [
                Rung("models leave the device while they are not in use", lambda: self._measure(offload.MODELS)),
                Rung("models come to the device layer by layer", lambda: self._measure(offload.GROUPS)),
            ]
        return tuple(rungs)

    def _save_activations(self) -> bool:
        changed = [self._measure(name) for name in (offload.SLICED_ATTENTION, offload.TILES)]
        return any(changed)

    def _measure(self, name: str) -> bool:
        with self._free, _plain_tensors():
            if name in self.measures:
                return False
            self.measures.add(name)
            if name in (offload.MODELS, offload.GROUPS):
                for item in self._residents:
                    if not item.in_use:
                        self._demote(item)
                release_cached(self.placement.device)
        return True


@contextmanager
def _plain_tensors() -> Iterator[None]:
    """Leave inference mode while weights are made or moved: they outlive the node in whose context that happens."""
    with torch.inference_mode(False), torch.no_grad():
        yield
