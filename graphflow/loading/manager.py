"""The model manager: names to recipes, recipes to modules, on one device and within a memory budget."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch

from graphflow import runtime
from graphflow.errors import InvalidInputError, ModelFormatError, ModelNotFoundError
from graphflow.library.download import download
from graphflow.loading import offload
from graphflow.loading.components import Components, Module
from graphflow.loading.devices import Placement, device_memory, find_devices, main_memory, place, place_parts
from graphflow.loading.hooks import attach
from graphflow.loading.ladder import Ladder, Rung
from graphflow.loading.mapped import read_all, role_of
from graphflow.loading.memory import Budget
from graphflow.loading.pool import Held, Pool
from graphflow.modelfiles.families import family_named, family_of_encoders, maker_of
from graphflow.modelfiles.header import read_json
from graphflow.sampling.scheduled_weights import MakeExchange
from graphflow.values import (
    ControlNet,
    EmbeddingPatch,
    ImageEncoder,
    IPAdapter,
    Model,
    ModelFile,
    NetworkExtension,
    Recipe,
    SafetyChecker,
    StyleModel,
    TextEncoder,
    UpscaleModel,
    Vae,
    VisionModel,
)
from graphflow.vision.annotators import ANNOTATORS, load_annotator
from graphflow.vision.image_encoder import PictureEncoder
from graphflow.vision.networks import VisionNetwork
from graphflow.vision.preprocess import Preprocessor
from graphflow.vision.safety import PictureChecker, statistics
from graphflow.vision.style import PictureTokens
from graphflow.vision.upscale import UpscaleNetwork, Upscaler

if TYPE_CHECKING:
    from graphflow.library.library import Library
    from graphflow.modelfiles.description import Description, Kind
    from graphflow.settings import Settings
    from graphflow.vision.annotators import PreprocessorName

T = TypeVar("T")

_DEVICE_SHARE = 0.9
"""Share of the device's memory that weights may take by default; the rest is for what is computed."""


class ModelManager:
    """Gives recipes their modules; implements :class:`graphflow.runtime.ModelProvider`.

    Safe to use from several threads.

    Args:
        library: Where names lead.
        placement: Device and dtype; None: the best device, half precision on an accelerator, float32 on the CPU.
        apart: Where parts compute that have a place of their own, by their value type.
        budget: Bytes of weights that may stay in memory; None: half of the main memory, 90 % of the device's.
        measures: Measures to take from the start, by the names in :mod:`graphflow.loading.offload`.
        deterministic: Ask torch, for the whole process, for kernels that give the same bits every time.

    Raises:
        InvalidInputError: There is no such measure.
    """

    def __init__(
        self,
        library: Library,
        *,
        placement: Placement | None = None,
        apart: Mapping[str, Placement] | None = None,
        budget: Budget | None = None,
        measures: Collection[str] = (),
        deterministic: bool = False,
    ) -> None:
        unknown = sorted(set(measures) - set(offload.MEASURES))
        if unknown:
            raise InvalidInputError(
                f"there is no measure {unknown[0]!r}",
                where="measures",
                advice=f"there are {', '.join(offload.MEASURES)}",
            )
        self.library = library
        self.placement = placement or place()
        self.measures: set[str] = set(measures)
        if deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch's notes on randomness ask for it
            torch.use_deterministic_algorithms(True, warn_only=True)
        budget = budget or Budget(main_memory() // 2, int(device_memory(self.placement.device) * _DEVICE_SHARE))
        self._budget = budget
        self._pool = Pool(self.placement, apart or {}, budget, self.describe, self.measures)
        self._ladder = Ladder(self._rungs())

    @classmethod
    def for_devices(cls, library: Library, settings: Settings) -> Sequence[ModelManager]:
        """A manager for each device that the settings name; they share the main memory.

        Raises:
            SettingsError: The machine lacks a device.
        """
        placements = [place(device, settings.dtype) for device in find_devices(settings)]
        apart = place_parts(settings)
        main = settings.memory_bytes if settings.memory_bytes is not None else main_memory() // 2
        main //= len(placements)
        others = {part.device for part in apart.values() if part.offloads}
        lanes = Counter(device for placement in placements for device in {placement.device, *others})

        def share(device: torch.device) -> int:
            return int(device_memory(device) * _DEVICE_SHARE) // lanes[device]

        return [
            cls(
                library,
                placement=placement,
                apart=apart,
                budget=Budget(
                    main,
                    share(placement.device) if placement.offloads else main,
                    {str(device): share(device) for device in others - {placement.device}},
                ),
                deterministic=settings.deterministic,
            )
            for placement in placements
        ]

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

    def family_of(self, files: Sequence[ModelFile]) -> str:
        """The family whose models read all of these text encoders; empty where one of several reads a single one.

        Raises:
            ModelFormatError: No family reads them together.
        """
        if len(files) < 2:
            return ""
        return family_of_encoders([self.describe(file).parts[file.part].class_name for file in files]).name

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
            download(name, self.library.hub_cache)
            description = self.library.describe(name, cast("Kind", kind), overrides=dict(options))
        return description

    # -------------------------------------------------------------------------------------------------- use

    @contextmanager
    def use(self, recipe: Recipe) -> Iterator[Any]:
        """Have a recipe's modules in place until the block ends.

        Gives what the family's :class:`graphflow.loading.components.Components` make of a Model (a
        :class:`graphflow.sampling.network.Denoiser`), a TextEncoder, a Vae, a ControlNet or an IPAdapter; an
        :class:`~graphflow.vision.upscale.Upscaler` for an UpscaleModel, a
        :class:`~graphflow.vision.image_encoder.PictureEncoder` for an ImageEncoder, a
        :class:`~graphflow.vision.style.PictureTokens` for a StyleModel and a
        :class:`~graphflow.vision.safety.PictureChecker` for a SafetyChecker, a
        :class:`~graphflow.vision.networks.VisionNetwork` for a VisionModel; the module of a NetworkExtension.

        Raises:
            ModelNotFoundError: A file of the recipe is gone.
            ModelFormatError: A file does not hold what the recipe says.
        """
        held = self._pool.acquire(recipe)
        try:
            modules = tuple(self._module(item, file) for item, file in zip(held, recipe.files, strict=True))
            loaded = self._wrap(recipe, modules)
            with ExitStack() as hooks:
                if isinstance(recipe, Model):
                    hooks.callback(loaded.close)
                for hook in recipe.hooks:
                    hooks.enter_context(attach(hook, loaded))
                yield loaded
        finally:
            self._pool.release(held)

    @contextmanager
    def exchanging(self, model: Model) -> Iterator[MakeExchange]:
        """Have what makes other weights for a model that this thread uses already, until the block ends.

        Args:
            model: Its recipe.
        """
        held = self._pool.acquire(model)
        try:
            yield lambda patches: self._pool.exchange(held[0], patches)
        finally:
            self._pool.release(held)

    @contextmanager
    def preprocessor(self, method: str) -> Iterator[Preprocessor]:
        """Have a detector that draws what a ControlNet reads, until the block ends; it is loaded each time.

        Args:
            method: A name in :data:`graphflow.vision.annotators.ANNOTATORS`.

        Raises:
            ModelNotFoundError: Its weights are missing.
            ModelFormatError: They are damaged.
        """
        name = cast("PreprocessorName", method)
        yield Preprocessor(method=ANNOTATORS[name], detector=load_annotator(name, self.library, self.placement.device))

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

    @property
    def device(self) -> str:
        """The device that models compute on, as torch calls it."""
        return str(self.placement.device)

    def fits(self, nbytes: int) -> bool:
        """Whether weights of so many bytes may stay in memory together, where they are used."""
        return nbytes <= (self._budget.device if self.placement.offloads else self._budget.main)

    def free(self) -> int:
        """Forget all modules that nobody uses; returns how many."""
        return self._pool.free()

    def loaded(self) -> tuple[tuple[str, str, int], ...]:
        """What is in memory: (model, part, bytes), least recently used first."""
        return self._pool.loaded()

    # ------------------------------------------------------------------------------------------------- wrap

    def _module(self, item: Held, file: ModelFile) -> Module:
        loaded = item.part
        return Module(
            name=role_of(loaded.part, file.family),
            part=file.part,
            module=loaded.module,
            description=self.describe(file),
            config=loaded.part.config,
            device=item.placement.device,
            dtype=loaded.dtype,
            upcast=lambda: self._pool.upcast(item),
            save_memory=offload.TILES in self.measures,
        )

    def _wrap(self, recipe: Recipe, modules: tuple[Module, ...]) -> Any:
        match recipe:
            case SafetyChecker():
                return self._checker(modules[0])
            case ImageEncoder():
                part = modules[0]
                return PictureEncoder(module=part.module, device=part.device, dtype=part.dtype)
            case StyleModel():
                part = modules[0]
                return PictureTokens(module=part.module, device=part.device, dtype=part.dtype)
            case UpscaleModel():
                return _upscaler(modules[0])
            case VisionModel():
                return _vision(modules[0])
            case Model():
                return self._components(recipe, modules).denoiser(modules[0])
            case Vae():
                return self._components(recipe, modules).autoencoder(modules[0])
            case ControlNet():
                return self._components(recipe, modules).control(modules[0])
            case NetworkExtension():
                return modules[0].module
            case IPAdapter():
                return self._components(recipe, modules).picture_adapter(modules[0])
            case TextEncoder():
                return self._components(recipe, modules).encoder(
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

    def _components(self, recipe: Recipe, modules: tuple[Module, ...]) -> Components:
        """The networks of a recipe's family; files that several families use leave it to their parts."""
        if recipe.family:
            family = family_named(recipe.family)
        elif isinstance(recipe, TextEncoder):
            family = family_of_encoders([type(module.module).__name__ for module in modules])
        else:
            family = maker_of(modules[0].description.parts[modules[0].part])
        components: Components = family.components()
        return components

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
        return read_all(path, file.name)

    # ----------------------------------------------------------------------------------------------- ladder

    def _rungs(self) -> tuple[Rung, ...]:
        rungs = [
            Rung("models that are not in use are freed", lambda: self.free() > 0),
            Rung("attention is computed in slices and pictures are decoded in tiles", self._save_activations),
        ]
        if self.placement.offloads:
            rungs += [
                Rung("models leave the device while they are not in use", lambda: self._pool.take(offload.MODELS)),
                Rung("models come to the device layer by layer", lambda: self._pool.take(offload.GROUPS)),
            ]
        return tuple(rungs)

    def _save_activations(self) -> bool:
        changed = [self._pool.take(name) for name in (offload.SLICED_ATTENTION, offload.TILES)]
        return any(changed)


def _upscaler(part: Module) -> Upscaler:
    network = part.module
    assert isinstance(network, UpscaleNetwork)
    return Upscaler(network=network, device=part.device, dtype=part.dtype, upcast=part.upcast)


def _vision(part: Module) -> VisionNetwork:
    folder = part.description.path
    return VisionNetwork(
        module=part.module,
        device=part.device,
        name=part.description.name,
        folder=folder if folder is not None and folder.is_dir() else None,
    )
