"""What a family says to those who write Diffusers scripts of its models, without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphflow.modelfiles.description import Config, Description, Part
from graphflow.modelfiles.flow_times import FlowTimes, OtherTimes


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
        nets: By the class of a ControlNet the function that makes of (ControlNet, picture) what it reads at every step, and
            the one that makes of ControlNets, and of what the network reads, further arguments of `velocity`.
        built: What builds one of (class, config) in place of the library's class; empty where that does.
        refuses: Why a ControlNet of this name and config cannot be written; empty where it can.
        settled: The config of one where its weights decide about it.
        pixels: Whether one reads pixels in [-1, 1] in place of latents.
        unshifted: Whether one reads latents without the shift of the model's space.
        marked: Whether it reads a channel that is 1 where its picture is known.
        filled: How many channels it reads with those of a picture to fill in; 0 where it reads the picture's alone.
        kinds: Numbers of the kinds of pictures that a union ControlNet can get.
    """

    nets: Mapping[str, tuple[str, str]]
    built: Callable[[str, Config], str] = lambda *_: ""
    refuses: Callable[[str, Config], str] = lambda _name, _config: ""
    settled: Callable[[Part], Config] = lambda part: part.config
    pixels: Callable[[Config], bool] = lambda _: False
    unshifted: Callable[[Config], bool] = lambda _: False
    marked: Callable[[Config], bool] = lambda _: False
    filled: Callable[[Config], Any] = lambda _: 0
    kinds: Callable[[Config], Mapping[str, int]] = lambda _: {}


@dataclass(frozen=True, kw_only=True)
class FlowScripts:
    """How scripts run a family by its network: a pipeline of Diffusers for the parts, and functions that they carry.

    Attributes:
        velocity: The function of the family's that evaluates the network: (network, x, time, *, embeds, ...), with what
            else a prompt tells by name.
        times: The arguments of a model's noise levels.
        levels: The class of noise levels.
        tells: The function that a denoiser goes through whose network does not tell a flow's velocity.
        extras: What else `velocity` reads of a prompt by name.
        misfit: The function that says of (x, references, picture_places) why `velocity` cannot draw it, with the way out;
            empty where it always can.
        encode: The function that makes of (pipeline, parts of a prompt) what `velocity` reads: one of the exporter's, or
            of the family's.
        holder: The class that holds parts from files of their own, where the family's pipeline needs more than these; one of
            the exporter's where no pipeline takes them.
        options: Its further arguments, by the class of the text encoder.
        reads: What its language model is told of a prompt in which brackets mean no weights; None where they do.
        layer: The option of `encode` that says which hidden layer is read; empty where none does.
        texts: Options of `encode` for texts that one encoder alone gets, by the parameter of `encode_prompt_parts`.
        guides: Whether it hears the guidance that a prompt tells.
        attends: Whether `velocity` takes `spans` of a prompt that get more attention than others.
        channels: The function that makes further channels of a picture and the mask of its hole; empty where none are read.
        sees: Whether `encode` takes `pictures` that a prompt speaks of, and whether they are `numbered`.
        builds: Classes that scripts carry in place of a library's, by its name.
        references: The functions that place reference pictures for a model, by the names of `set_reference_method`; the
            usual one first. Empty where `velocity` itself places them.
        adjusts: The function that a loaded transformer goes through; empty where there is nothing to adjust.
        keeps: The function that a transformer goes through whose references are to be `kept`; None where it cannot keep
            them, empty where it can as it is.
        call: How a pipeline draws the same; None where it never does.
        converter: The function of `diffusers.loaders.single_file_utils` that reads its authors' names in a transformer of a
            config; empty where it reads them wrongly, or there is none.
        steering: How ControlNets steer; None where scripts know none.
        adapts: Whether its pipeline loads IP-Adapters.
        styles: The function that has a denoiser read the style of (image encoder, projector, picture, crop); empty where
            there is none.
    """

    velocity: str
    times: Callable[[Description], FlowTimes | OtherTimes]
    encode: str
    levels: str = "FlowLevels"
    tells: str = ""
    extras: tuple[str, ...] = ()
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
    adapts: bool = False
    styles: str = ""

    @property
    def is_flow(self) -> bool:
        """Whether noisy latents are (1 - sigma) * clean + sigma * noise."""
        return not self.tells


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
