"""The seam between the engine and a model family, without torch.

A family is one folder under ``graphflow/families``. Its module names an object of this protocol in the entry point
group ``graphflow.families``; the engine asks the families that it finds there (:mod:`graphflow.modelfiles.families`)
and never names one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from graphflow.modelfiles.description import Config, Guess, Kind, Part, TokenizerSpec
from graphflow.modelfiles.footprint import Footprint
from graphflow.modelfiles.inferred import Shapes

if TYPE_CHECKING:
    from graphflow.modelfiles.draft import Draft
    from graphflow.modelfiles.scripts import ScriptTraits
    from graphflow.modelfiles.stand_in import StandIn


@dataclass(frozen=True, slots=True)
class Rows:
    """Some of a tensor's rows, in a file that has several layers in one: of every `whole` those from `first` to `last`.

    Attributes:
        first: The first of them.
        last: Behind the last of them.
        whole: How many rows there are, or parts of equal height.
    """

    first: int
    last: int
    whole: int


Change = Literal["", "transpose", "swap_halves"] | Rows
"""What to do with a file's tensor: nothing, transpose it, exchange its first and last rows, or take some of its rows."""

THIRDS = tuple(Rows(index, index + 1, 3) for index in range(3))
"""Query, key and value of a layer that has them in one."""

Half = Literal["float16", "bfloat16"]
"""Which half precision a family's activations fit into."""

Sizes = tuple[tuple[int, int], ...]
"""(width, height) of pictures in pixels, several."""


@dataclass(frozen=True, kw_only=True)
class LatentFormat:
    """The latents of a family: model space = (raw - shift) * scale, or (raw - mean) / deviation by channel.

    Attributes:
        channels: Channels C.
        scale: Factor from raw latents to the model's space.
        shift: What is taken off raw latents first.
        mean: The same by channel; empty where `scale` and `shift` are for all channels.
        deviation: What each channel is divided by then.
        downscale: Pixels per latent sample along an edge.
        axes: Axes behind the channels: 1 for sound, 2 for pictures, 3 for video, of which a picture is one frame.
        rgb: Red, green and blue in [-1, 1] for one unit of each channel in the model's space, for previews; empty
            where nobody published them.
        rgb_for: Widths of the text that the models read which `rgb` was fitted for; others have other autoencoders.
        blank: What inpainting models read in the model's space, one number a channel, where they are given no picture;
            empty where nobody knows.
        tiny: Name of the family's tiny autoencoder, for previews.
        scaled_reference: Whether editing models read the latents of the picture in the model's scale, not raw.
        further: Formats of further tensors of a latent that is a set of them, by name, such as sound beside a video.
        others: Latents of models with the family's network that were trained on others, by the name of what they predict.
    """

    channels: int
    scale: float = 1.0
    shift: float = 0.0
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    downscale: int = 8
    axes: int = 2
    rgb: tuple[tuple[float, float, float], ...] = ()
    rgb_for: tuple[int, ...] = ()
    blank: tuple[float, ...] = ()
    tiny: str = ""
    scaled_reference: bool = False
    further: Mapping[str, LatentFormat] = field(default_factory=dict)
    others: Mapping[str, LatentFormat] = field(default_factory=dict)

    def beside(self, channels: int) -> tuple[float, ...]:
        """Return what a network that reads so many channels beside the latent sees where it is given no picture.

        An inpainting network sees a mask of ones and the blank, one that edits zeros, each everywhere, as ComfyUI has
        it; empty for any other.
        """
        if channels == len(self.blank) + 1 and self.blank:
            return (1.0, *self.blank)
        return (0.0,) * channels if channels == self.channels else ()


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A line of models in a family that differs in sizes or training, such as the first and second Stable Diffusion.

    Attributes:
        name: Its name in descriptions and sidecars.
        architectures: Beginnings of `modelspec.architecture` that mean it, with the prediction type that each implies
            (empty: none).
        words: Words by which training programs name it as a LoRA's base (`ss_base_model_version` and the like).
        refines: Whether it goes on with what another variant began, instead of making pictures of nothing.
        dropped_layers: Last layers of its text encoder that the published models leave out, which are counted still.
        gguf: What `general.architecture` of GGUF files says of it; empty where none are written.
        pipeline: Diffusers' pipeline class for its models from text, where it is not the family's.
        latent: Its latents, where they are not the family's.
    """

    name: str
    architectures: tuple[tuple[str, str], ...] = ()
    words: tuple[str, ...] = ()
    refines: bool = False
    dropped_layers: int = 0
    gguf: str = ""
    pipeline: str = ""
    latent: LatentFormat | None = None


@dataclass(frozen=True, kw_only=True)
class EncoderRole:
    """An encoder that a family's models are conditioned by.

    Attributes:
        part: Its name among the parts of a model.
        kind: What it encodes.
        classes: Diffusers or transformers classes that may take the role.
        named: Whether one takes it only where the family is named: another is more likely to be meant.
    """

    part: str
    kind: Literal["text", "picture", "sound"] = "text"
    classes: tuple[str, ...] = ()
    named: bool = False


@dataclass(frozen=True, kw_only=True)
class Match:
    """What a family says of a file that it recognises.

    Attributes:
        kind: What the file is for.
        variant: The variant, where the tensors tell.
        rank: How special the recognition is; of several families that recognise a file, the highest describes it.
        certain: Whether the variant is told, not guessed.
        task: As :attr:`graphflow.modelfiles.description.Description.task`.
    """

    kind: Kind
    variant: str = ""
    rank: int = 1
    certain: bool = True
    task: str = "generate"


class TensorNames(Protocol):
    """How the tensors of one part are called in files and in the part's class.

    Attributes:
        modules: Modules of the class by the names of the model's authors; empty where these have none of their own.
    """

    @property
    def modules(self) -> Mapping[str, str]: ...  # noqa: D102 - the class says it

    def targets(self, key: str) -> Iterable[tuple[str, Change]]:
        """Yield the tensors of the class that one tensor of a file makes.

        Args:
            key: Its name in the file, without the part's prefix.
        """
        ...

    def canonical(self, name: str) -> str:
        """Return a class's tensor name without what differs between versions of a library."""
        ...

    def is_spare(self, key: str) -> bool:
        """Tell whether a tensor of a file may stand unused without a word."""
        ...

    def originals(self, names: Iterable[str]) -> Mapping[str, str]:
        """Return the names of the model's authors by the class's names; what has none is left out."""
        ...


class Family(Protocol):
    """What the engine asks a family; see the module."""

    @property
    def name(self) -> str:
        """The family's name, as documents, descriptions and latents carry it."""
        ...

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Its variants, the most usual one first."""
        ...

    @property
    def latent(self) -> LatentFormat:
        """Its latents."""
        ...

    @property
    def half(self) -> Half:
        """Which half precision it computes in on an accelerator."""
        ...

    @property
    def trained_sizes(self) -> Mapping[str, Sizes]:
        """Sizes that its models were trained with, by the name of a preset."""
        ...

    @property
    def footprint(self) -> Footprint | None:
        """The memory that its network takes; None where nobody knows it."""
        ...

    @property
    def scripts(self) -> ScriptTraits | None:
        """What scripts must know of its pipelines; None where none is written for it."""
        ...

    @property
    def stand_ins(self) -> tuple[StandIn, ...]:
        """What stands in for its files where they are not there, the most usual model first."""
        ...

    @property
    def comfyui_loader(self) -> Mapping[int, str]:
        """The `type` that ComfyUI's loader of so many text encoders has for it, by their number."""
        ...

    @property
    def steering(self) -> tuple[str, ...]:
        """What steers its models by pictures, in words for people."""
        ...

    def recognise(self, shapes: Shapes, metadata: Mapping[str, str], *, stated: Guess | None = None) -> Match | None:
        """Recognise a weight file by its tensors.

        Args:
            shapes: All tensors of the file.
            metadata: The file's metadata.
            stated: The variant that a parameter, sidecar or metadata names; None where none does.
        """
        ...

    def describe(self, draft: Draft, match: Match, kind: Kind | None) -> None:
        """Fill in the description of a file that the family recognised.

        Args:
            draft: The description while it is made.
            match: What `recognise` said.
            kind: What the file is wanted as, where its tensors fit several kinds.

        Raises:
            ModelFormatError: The tensors do not form such a model.
        """
        ...

    def recognise_part(self, class_name: str, config: Config) -> Match | None:
        """Recognise a component of a Diffusers folder by its class and config."""
        ...

    def fits_adapter(self, kind: Kind, shapes: Shapes, metadata: Mapping[str, str]) -> Match | None:
        """Recognise an adapter (LoRA, embedding, ControlNet, …) and the variant that it is for; None where it is not for this family."""
        ...

    def encoders(self) -> tuple[EncoderRole, ...]:
        """Return the encoders of its models."""
        ...

    def count_tokens(self, spec: TokenizerSpec, text: str) -> int:
        """Return how many tokens a text is for one of its text encoders, without those that frame a chunk.

        Raises:
            ModelFormatError: The vocabulary is missing, or it has no text encoders.
        """
        ...

    def tensor_names(self, part: Part) -> TensorNames:
        """Return how the tensors of a part are called."""
        ...

    def lora_prefixes(self) -> Mapping[str, tuple[str, ...]]:
        """Return how names of LoRA layers begin, by the part they are for, with dots as underscores."""
        ...

    def lora_names(self, part: Part, names: Collection[str]) -> Iterator[tuple[str, str, Change]]:
        """Yield what LoRA files call the layers of a part, with underscores, the modules they mean, and which rows.

        Args:
            part: The part.
            names: Tensor names of its class.
        """
        ...

    def pipelines(self) -> Mapping[str, str]:
        """Return the Diffusers pipeline class of each task, such as `text2img` or `control_img2img`."""
        ...

    def makes(self, pipeline: str) -> bool:
        """Tell whether a Diffusers pipeline class is one of this family."""
        ...

    def components(self) -> Any:
        """Return the family's :class:`graphflow.loading.components.Components`; this imports torch.

        Raises:
            ModelFormatError: The family is known by name only.
        """
        ...
