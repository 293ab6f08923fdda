"""What travels on links.

Values are frozen: a node never writes to what it receives. Tensors are float32 on the CPU unless a field says
otherwise. Model values are recipes (which files, which patches, which hooks), not modules: they are a few hundred
bytes, and ``with model.use() as module`` asks the model manager of the current runtime for the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from graphflow import runtime
from graphflow.value_types import value_type

if TYPE_CHECKING:
    import torch

# --------------------------------------------------------------------------------------------- recipes


@value_type("model_file")
@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """One part of one model file or folder.

    Attributes:
        name: The name as the document has it.
        kind: The library's kind, e.g. ``checkpoint``, ``lora``, ``vae``.
        part: Which part of it, e.g. ``unet``, ``text_encoder``, ``vae``, ``safety_checker``.
        family: The model family, e.g. ``sd``, ``sdxl``.
        fingerprint: What the file held when the recipe was made (see ``graphflow.models``).
        options: Choices that the file itself does not tell, e.g. ``{"prediction": "v_prediction"}``.
    """

    name: str
    kind: str
    part: str
    family: str
    fingerprint: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@value_type("lora_patch")
@dataclass(frozen=True, kw_only=True)
class LoraPatch:
    """Low-rank update W' = W + strength * alpha / rank * up @ down."""

    file: ModelFile
    strength: float


@value_type("embedding_patch")
@dataclass(frozen=True, kw_only=True)
class EmbeddingPatch:
    """A textual-inversion embedding that prompts may call by ``token``."""

    file: ModelFile
    token: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to make a module: files, then weight patches in order, then runtime hooks in order.

    Attributes:
        files: The base; several where a family keeps a part in several files (SDXL's two text encoders).
        patches: Registered dataclasses that change weights.
        hooks: Registered dataclasses that change how the module runs.
    """

    files: tuple[ModelFile, ...]
    patches: tuple[Any, ...] = ()
    hooks: tuple[Any, ...] = ()

    @property
    def family(self) -> str:
        """The model family of the base."""
        return self.files[0].family

    def patched(self, *patches: Any) -> Self:
        """Return the recipe with more weight patches."""
        return replace(self, patches=(*self.patches, *patches))

    def hooked(self, *hooks: Any) -> Self:
        """Return the recipe with more runtime hooks."""
        return replace(self, hooks=(*self.hooks, *hooks))

    def use(self) -> AbstractContextManager[Any]:
        """Have the module in place, on its device, until the block ends.

        Raises:
            ModelNotFoundError: A file of the recipe is gone.
            ModelFormatError: A file does not hold what the recipe says.
        """
        return runtime.current().models.use(self)


@value_type("model")
@dataclass(frozen=True, kw_only=True)
class Model(Recipe):
    """A diffusion model (UNet or transformer) with its parameterisation."""


@value_type("text_encoder")
@dataclass(frozen=True, kw_only=True)
class TextEncoder(Recipe):
    """A family's text encoders with their tokenizers.

    Attributes:
        layer: Which hidden layer conditions the model, counted from the end (-1 the last, -2 "clip skip 2"); None is the family's own.
    """

    layer: int | None = None


@value_type("vae")
@dataclass(frozen=True, kw_only=True)
class Vae(Recipe):
    """An autoencoder between pixels and latents."""


@value_type("control_net")
@dataclass(frozen=True, kw_only=True)
class ControlNet(Recipe):
    """A ControlNet or T2I-Adapter."""


@value_type("safety_checker")
@dataclass(frozen=True, kw_only=True)
class SafetyChecker(Recipe):
    """A checker that flags pictures, with its image processor."""


@value_type("image_encoder")
@dataclass(frozen=True, kw_only=True)
class ImageEncoder(Recipe):
    """A CLIP image encoder."""


@value_type("ip_adapter")
@dataclass(frozen=True, kw_only=True)
class IPAdapter(Recipe):
    """An IP-Adapter: attention to pictures beside the text."""


@value_type("upscale_model")
@dataclass(frozen=True, kw_only=True)
class UpscaleModel(Recipe):
    """A network that makes pictures larger, or repairs them at their size."""


# --------------------------------------------------------------------------------------------- tensors


@value_type("latent")
@dataclass(frozen=True, kw_only=True, eq=False)
class Latent:
    """Latents as the autoencoder makes them, before the family's scale and shift.

    Attributes:
        samples: (B, C, h, w).
        noise_mask: (B or 1, H, W) in [0, 1], 1 = regenerate; any size, resized where it is used.
        batch_index: For each item, its place in the batch whose noise it takes; None is 0, 1, 2, …
        family: The family whose autoencoder made them, where known.
        downscale: Pixels per latent sample along an edge.
    """

    samples: torch.Tensor
    noise_mask: torch.Tensor | None = None
    batch_index: tuple[int, ...] | None = None
    family: str | None = None
    downscale: int = 8


@value_type("image")
@dataclass(frozen=True, kw_only=True, eq=False)
class Image:
    """Pictures.

    Attributes:
        pixels: (B, 3 or 4, H, W) in [0, 1], sRGB; a fourth channel is alpha.
        numbers: For each item, its number in the batch it comes from; None is 0, 1, 2, … Items that the safety
            filter withheld leave gaps, so the others keep their numbers.
        withheld: How many items the safety filter took out.
    """

    pixels: torch.Tensor
    numbers: tuple[int, ...] | None = None
    withheld: int = 0


@value_type("mask")
@dataclass(frozen=True, kw_only=True, eq=False)
class Mask:
    """Masks: (B, H, W) in [0, 1], 1 = regenerate."""

    values: torch.Tensor


@value_type("video")
@dataclass(frozen=True, kw_only=True, eq=False)
class Video:
    """A moving picture: frames (T, 3, H, W) in [0, 1] at ``fps`` frames a second, with sound where there is any.

    ``withheld`` counts frames that the safety filter blackened.
    """

    frames: torch.Tensor
    fps: float = 8.0
    withheld: int = 0


@value_type("audio")
@dataclass(frozen=True, kw_only=True, eq=False)
class Audio:
    """Sound: samples (channels, n) in [-1, 1] at ``sample_rate`` hertz."""

    samples: torch.Tensor
    sample_rate: int = 44100


@value_type("sigmas")
@dataclass(frozen=True, kw_only=True, eq=False)
class Sigmas:
    """A schedule: (steps + 1,) noise levels, falling."""

    values: torch.Tensor


# -------------------------------------------------------------------------------------------- sampling


@value_type("sampler")
@dataclass(frozen=True, kw_only=True)
class Sampler:
    """A sampling method.

    Attributes:
        name: A name of ``graphflow.sampling.names.SAMPLER_NAMES``.
        options: Its options, e.g. ``{"eta": 0.5}``.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@value_type("noise")
@dataclass(frozen=True, kw_only=True)
class Noise:
    """Where sampling takes its random numbers from.

    Attributes:
        seed: 0 to 2**64 - 1.
        add: Whether the latent gets noise before the first step; what samplers add at each step is not meant.
        layout: ``per_sample`` or ``batch``, see ``graphflow.sampling.noise.NoiseLayout``.
        device: Whose stream the first noise is, ``cpu`` or ``cuda``.
        step_device: Whose stream the noise of each step is.
    """

    seed: int = 0
    add: bool = True
    layout: Literal["per_sample", "batch"] = "per_sample"
    device: Literal["cpu", "cuda"] = "cpu"
    step_device: Literal["cpu", "cuda"] = "cpu"


@value_type("guider")
@dataclass(frozen=True, kw_only=True, eq=False)
class Guider:
    """A model under its conditionings, and how their predictions become one.

    Attributes:
        model: The model.
        method: ``unguided``, ``classifier_free``, ``dual_classifier_free`` or ``perpendicular_negative``.
        sides: The conditionings by name: ``positive``, ``negative``, ``middle``, ``empty``, as the method needs.
        options: The method's scales and switches.
    """

    model: Model
    method: str
    sides: Mapping[str, Conditioning]
    options: Mapping[str, float] = field(default_factory=dict)


# ---------------------------------------------------------------------------------------- conditioning


@value_type("area")
@dataclass(frozen=True, kw_only=True)
class Area:
    """A rectangle: in pixels of the picture, or as fractions of it where ``relative``."""

    height: float
    width: float
    y: float = 0
    x: float = 0
    relative: bool = False


@value_type("control")
@dataclass(frozen=True, kw_only=True, eq=False)
class Control:
    """One ControlNet on one conditioning entry.

    Attributes:
        net: The network.
        hint: (B, 3, H, W) in [0, 1], or -1 where a picture to paint into is unknown.
        strength: Factor on its residuals.
        start: Share of the sampling at which it begins, in [0, 1].
        end: Share of the sampling at which it ends, in [0, 1].
        extras: Options of special types, e.g. a union type.
    """

    net: ControlNet
    hint: torch.Tensor
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    extras: Mapping[str, Any] = field(default_factory=dict)


@value_type("conditioning_entry")
@dataclass(frozen=True, kw_only=True, eq=False)
class ConditioningEntry:
    """One prompt's worth of conditioning.

    Attributes:
        embedding: (B, T, C).
        pooled: (B, D), where the family has one.
        attention_mask: (B, T), where the family has one.
        area: Where in the picture it acts; None is everywhere.
        mask: (B, H, W) in [0, 1]; None is everywhere.
        mask_strength: Factor on the mask.
        mask_bounds: Restrict the evaluation to the mask's bounding box.
        strength: Weight against other entries that overlap it.
        start: Share of the sampling at which it begins, in [0, 1].
        end: Share of the sampling at which it ends, in [0, 1].
        controls: ControlNets, all applied.
        extras: What else the family reads, e.g. SDXL's ``width``, ``height``, ``crop_w``, ``crop_h``.
    """

    embedding: torch.Tensor
    pooled: torch.Tensor | None = None
    attention_mask: torch.Tensor | None = None
    area: Area | None = None
    mask: torch.Tensor | None = None
    mask_strength: float = 1.0
    mask_bounds: bool = False
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    controls: tuple[Control, ...] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)


@value_type("conditioning")
@dataclass(frozen=True, kw_only=True, eq=False)
class Conditioning:
    """What the model is told: one or several entries."""

    entries: tuple[ConditioningEntry, ...]


# ----------------------------------------------------------------------------------------------- files


@value_type("encoded_file")
@dataclass(frozen=True, kw_only=True)
class EncodedFile:
    """A file that an effect node wants written.

    Attributes:
        stem: Wanted name without counter and suffix; separators and other unsafe characters become ``_``.
        suffix: With the dot, e.g. ``.png``.
        data: The bytes.
        number: The item's number in its batch.
    """

    stem: str
    suffix: str
    data: bytes
    number: int = 0


@value_type("files")
@dataclass(frozen=True, kw_only=True)
class Files:
    """What an effect node returns: the engine writes it, atomically, under the output folder."""

    files: tuple[EncodedFile, ...]
    withheld: int = 0


# Runtime hooks are values too; they are registered wherever values are.
from graphflow import control_hooks as _control_hooks  # noqa: E402, F401
from graphflow import image_prompts as _image_prompts  # noqa: E402, F401
from graphflow import network_hooks as _network_hooks  # noqa: E402, F401
from graphflow import sampling_hooks as _sampling_hooks  # noqa: E402, F401
from graphflow import weight_patches as _weight_patches  # noqa: E402, F401
