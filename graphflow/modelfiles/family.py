"""The seam between the engine and a model family, without torch.

A family is one folder under ``graphflow/families``. Its module names an object of this protocol in the entry point
group ``graphflow.families``; the engine asks the families that it finds there (:mod:`graphflow.modelfiles.families`)
and never names one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from graphflow.modelfiles.description import Config, Description, Guess, Kind, Part, TokenizerSpec
from graphflow.modelfiles.inferred import Shapes

if TYPE_CHECKING:
    from graphflow.modelfiles.draft import Draft
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
    """

    name: str
    architectures: tuple[tuple[str, str], ...] = ()
    words: tuple[str, ...] = ()
    refines: bool = False
    dropped_layers: int = 0
    gguf: str = ""
    pipeline: str = ""


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


@dataclass(frozen=True, kw_only=True)
class FlowTimes:
    """Noise levels of a flow model.

    Attributes:
        shift: Time shift; 1 is none.
        levels: Number of levels in the table from which the simple schedules choose.
        timestep_scale: The network's timestep at pure noise.
    """

    shift: float = 1.0
    levels: int = 1000
    timestep_scale: float = 1.0

    @classmethod
    def of_schedule(cls, config: Mapping[str, Any]) -> FlowTimes:
        """Those that the config of a Diffusers scheduler tells, with the shift for a megapixel where it depends on the size."""
        levels = int(config.get("num_train_timesteps", 1000))
        if config.get("use_dynamic_shifting"):
            shift = math.exp(float(config.get("max_shift") or 1.15))
            return cls(shift=shift, levels=10 * levels, timestep_scale=1000.0)
        shift = float(config.get("shift") or config.get("flow_shift") or 1.0)
        return cls(shift=shift, levels=levels, timestep_scale=1000.0)


@dataclass(frozen=True, kw_only=True)
class FlowCall:
    """How Diffusers' pipeline of a family is called to draw from noise alone, where it counts and guides as the engine does.

    Attributes:
        arguments: Arguments that it always gets.
        told: The argument for the guidance that a prompt tells, and what stands for one that tells none; empty for families
            that hear none.
        scale: The argument for the scale of classifier-free guidance, and what that scale is made less by there; empty
            where the pipeline changes more than that.
        reads: How many tokens of a prompt it reads in T5's way; 0 where it is given embeddings always.
        embeds: Its arguments by what `FlowScripts.encode` gives.
        listed: Whether it takes one embedding a prompt, as a list.
        multiple: Pixels of whose multiples it draws.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    told: tuple[str, float] | tuple[()] = ()
    scale: tuple[str, int] | tuple[()] = ()
    reads: int = 0
    embeds: Mapping[str, str]
    listed: bool = False
    multiple: int = 16


@dataclass(frozen=True, kw_only=True)
class FlowSteering:
    """How scripts steer a family's models by ControlNets; the functions are the family's.

    Attributes:
        classes: Classes of ControlNets that they know.
        hint: The function that makes of (ControlNet, picture) what it reads at every step.
        steered: The function that makes of ControlNets, and of what the network reads, further arguments of `velocity`.
        refuses: Why a ControlNet of this name and config cannot be written; empty where it can.
        settled: The config of one where its weights decide about it.
        pixels: Whether one reads pixels in [-1, 1] in place of latents.
        unshifted: Whether one reads latents without the shift of the model's space.
        kinds: Numbers of the kinds of pictures that a union ControlNet can get.
    """

    classes: frozenset[str]
    hint: str
    steered: str
    refuses: Callable[[str, Config], str] = lambda _name, _config: ""
    settled: Callable[[Part], Config] = lambda part: part.config
    pixels: Callable[[Config], bool] = lambda _: False
    unshifted: Callable[[Config], bool] = lambda _: False
    kinds: Callable[[Config], Mapping[str, int]] = lambda _: {}


@dataclass(frozen=True, kw_only=True)
class FlowScripts:
    """How scripts run a family's flow models: a pipeline of Diffusers for the parts, and functions that they carry.

    Attributes:
        velocity: The function of the family's that evaluates the network: (network, x, time, *, embeds, ...), with what
            else a prompt tells by name.
        times: The noise levels of a model.
        misfit: The function that says of (x, references, picture_places) why `velocity` cannot draw it, with the way out;
            empty where it always can.
        encode: The function that makes of (pipeline, parts of a prompt) what `velocity` reads: one of the exporter's, or
            of the family's.
        holder: The pipeline class that holds parts from files of their own, where the family's needs more than these.
        options: Its further arguments, by the class of the text encoder.
        reads: What its language model is told of a prompt in which brackets mean no weights; None where they do.
        layer: The option of `encode` that says which hidden layer is read; empty where none does.
        texts: Options of `encode` for texts that one encoder alone gets, by the parameter of `encode_prompt_parts`.
        guides: Whether it hears the guidance that a prompt tells.
        attends: Whether `velocity` takes `spans` of a prompt that get more attention than others.
        channels: The function that makes further channels of a picture and the mask of its hole; empty where none are read.
        sees: Whether `encode` takes `pictures` that a prompt speaks of, and whether they are `numbered`.
        builds: Classes that scripts carry in place of a library's for text encoders, by its name.
        references: The functions that place reference pictures for a model, by the names of `set_reference_method`; the
            usual one first. Empty where `velocity` itself places them.
        adjusts: The function that a loaded transformer goes through; empty where there is nothing to adjust.
        keeps: The function that a transformer goes through whose references are to be `kept`; None where it cannot keep
            them, empty where it can as it is.
        call: How a pipeline draws the same; None where it never does.
        converter: The function of `diffusers.loaders.single_file_utils` that reads its authors' names in a transformer of a
            config; empty where it reads them wrongly, or there is none.
        steering: How ControlNets steer; None where scripts know none.
    """

    velocity: str
    times: Callable[[Description], FlowTimes]
    encode: str
    misfit: str = ""
    holder: str = ""
    options: Callable[[str], Mapping[str, Any]] = lambda _: {}
    reads: Callable[[str], str] | None = None
    layer: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)
    guides: bool = False
    attends: bool = False
    channels: str = ""
    sees: bool = False
    builds: Mapping[str, str] = field(default_factory=dict)
    references: Callable[[Description], Mapping[str, str]] = lambda _: {}
    adjusts: str = ""
    keeps: str | None = None
    call: FlowCall | None = None
    converter: Callable[[Config], str] = lambda _: ""
    steering: FlowSteering | None = None


@dataclass(frozen=True, kw_only=True)
class ScriptTraits:
    """What sets Diffusers' pipelines of a family apart, for scripts that call them.

    Attributes:
        suffix: Ending of the exporter's helpers that are this family's own; empty where the plain ones are.
        pooled: Whether a prompt is a pooled embedding beside those of its tokens.
        staged: Whether one pipeline may take over from another (`denoising_end`, `denoising_start`).
        safety_checker: Whether they have a safety checker.
        masks_latents: Whether inpainting that begins with latents needs `masked_image_latents` for every UNet.
        without_tensors: Tasks whose pipelines do not give pictures as tensors.
        without_pictures: Tasks whose pipelines take no IP-Adapters.
        network: The part that denoises.
        sources: Modules with functions on tensors that scripts may carry; two of one name among all families are an error.
        flow: How scripts run its flow models; None where it has none.
    """

    suffix: str = ""
    pooled: bool = False
    staged: bool = False
    safety_checker: bool = False
    masks_latents: bool = False
    without_tensors: frozenset[str] = frozenset()
    without_pictures: frozenset[str] = frozenset()
    network: str = "unet"
    sources: tuple[str, ...] = ()
    flow: FlowScripts | None = None


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
