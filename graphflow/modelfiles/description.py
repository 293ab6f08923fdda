"""What is known about a model before a single weight is read.

A :class:`Description` is made from a header, a few json files and the rules of the model's family. It holds everything
that a loader needs (complete Diffusers configs, which file and which keys hold each part) and everything that a person
wants to see (where each value comes from). It is plain frozen data: nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

DENOISERS = ("unet", "transformer")
"""Names that the part of a model has that denoises."""

JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"
Config: TypeAlias = "dict[str, JsonValue]"

Kind = Literal[
    "checkpoint",  # several parts together: a single-file checkpoint or a Diffusers pipeline folder
    "diffusion_model",  # a UNet or transformer alone
    "text_encoder",
    "vae",
    "controlnet",
    "t2i_adapter",
    "lora",
    "embedding",  # textual inversion
    "hypernetwork",
    "upscale_model",
    "ip_adapter",
    "image_encoder",  # CLIP vision
    "audio_encoder",  # wav2vec2, Whisper
    "latent_upscale_model",
    "style_model",
    "gligen",
    "motion_module",
    "photomaker",
    "safety_checker",
    "detector",  # finds things in pictures
    "segmenter",  # Segment Anything: outlines what boxes hold
    "describer",  # tells in words what pictures show
    "language_model",  # writes text
    "background_remover",
    "face_network",  # finds faces, or tells whose they are
    "transparency_decoder",  # LayerDiffuse: colours and transparency of a latent
    "unknown",
]
"""What a file is for."""

VISION: tuple[Kind, ...] = (
    "detector", "segmenter", "describer", "language_model", "background_remover", "face_network",
    "transparency_decoder",
)  # fmt: skip
"""Kinds of networks that look at pictures or write: folders of transformers, ONNX files, and a decoder."""

Layout = Literal["diffusers", "original", "gguf", "onnx", "pickle", "hub", "stand-in"]
"""`diffusers`: a folder, or a file with Diffusers' key names. `original`: the key names of the model's authors (LDM,
OpenCLIP, kohya, …). `pickle`: not looked into (see `Description.needs_conversion`). `hub`: a Hub id that is not in the
local cache, so nothing is known yet. `stand-in`: no file, but random weights in place of one."""

Source = Literal["parameter", "sidecar", "metadata", "modelspec", "marker", "config", "shapes", "default"]
"""Where a value comes from. The first five and the last are tried in this order; `shapes` (names and shapes of the
tensors) and `config` (a Diffusers folder's own json) are facts about the file."""


@dataclass(frozen=True, slots=True)
class Guess:
    """One settled value and where it comes from.

    Attributes:
        field: Dotted place, such as `unet.attention_head_dim` or `scheduler.prediction_type`.
        value: The value in use.
        source: Where it was found.
        certain: False where the file does not say and the family's default was taken, or where a rule of thumb decided.
        reason: One short phrase for people: a key name, a sidecar's file name.
    """

    field: str
    value: JsonValue
    source: Source
    certain: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One loadable module of a model.

    Attributes:
        name: `unet`, `vae`, `text_encoder`, …
        class_name: The Diffusers or transformers class: `UNet2DConditionModel`, `AutoencoderKL`, `CLIPTextModel`,
            `CLIPTextModelWithProjection`, `ControlNetModel`, …
        config: Complete keyword arguments of that class (transformers: of its config class).
        files: Weight files that hold the tensors, absolute, sorted; several when sharded.
        prefix: The part's keys in these files start with this; strip it. Empty: all keys of the files.
        keys: Naming of the keys after the prefix: `diffusers` (also transformers' own names), `ldm` (UNet, VAE and
            ControlNet of the CompVis code), `openclip` (fused `attn.in_proj_weight`). GGUF files use any of them.
        bytes_by_dtype: Bytes of weights by dtype name (`F16`, `BF16`, `F32`, `Q4_0`, …).
        tensors: Number of tensors.
        maker: The family whose code loads it; empty where none does.
        folder: For a Diffusers folder, the subfolder (relative to the model's path) holding `config.json`.
        stands_for: The name of a file that is not there, for which random weights stand in; they depend on it.
    """

    name: str
    class_name: str
    config: Config
    files: tuple[Path, ...]
    prefix: str = ""
    keys: Literal["diffusers", "ldm", "openclip"] = "diffusers"
    bytes_by_dtype: Mapping[str, int] = field(default_factory=dict)
    tensors: int = 0
    folder: str = ""
    maker: str = ""
    stands_for: str = ""

    @property
    def bytes(self) -> int:
        """Bytes of weights in the files."""
        return sum(self.bytes_by_dtype.values())


@dataclass(frozen=True, slots=True)
class TokenizerSpec:
    """How to make the tokenizer of one text encoder.

    Attributes:
        part: The text encoder it belongs to (`text_encoder`, `text_encoder_2`).
        source: `builtin` (the CLIP vocabulary that comes with open_clip_torch), `folder` (tokenizer files in `path`),
            `weights` (a tensor of the weight file `path`), `inline` (`vocab` and `merges` given by sidecar or metadata)
            or `missing`.
        config: `model_max_length`, `pad_token`, `bos_token`, `eos_token`, `unk_token`, as in tokenizer_config.json.
        path: Folder with the tokenizer's files, for `folder`; the weight file, for `weights`.
        vocab: Token to id, for `inline`.
        merges: BPE merges, one `"a b"` each, for `inline`.
        name: What the vocabulary is called, such as `t5`; empty for CLIP's.
        published: Where the Hub has it, `org/name` or `org/name:folder`.
    """

    part: str
    source: Literal["builtin", "folder", "weights", "inline", "missing"]
    config: Config
    path: Path | None = None
    vocab: Mapping[str, int] | None = None
    merges: tuple[str, ...] | None = None
    name: str = ""
    published: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Description:
    """Everything known about one model without reading its weights.

    Attributes:
        name: The name it was asked for by.
        path: File or folder, absolute and resolved; None for a Hub id that is not cached.
        kind: What it is for.
        layout: How it is stored.
        family: `sd` (SD 1.x and 2.x), `sdxl`, …; None where unknown or not applicable. For a LoRA or ControlNet, the
            family that it fits.
        variant: Finer than the family: `sd1`, `sd2`, `sdxl`, `sdxl_refiner`; for a text encoder `clip_l`,
            `openclip_h`, `openclip_bigg`; for a LoRA its method (`lora`, `loha`, `lokr`, `dora`); else empty.
        task: `generate`, `inpaint` (9 input channels), `edit` (8: instruct-pix2pix), `upscale` (7), `depth` (5),
            `estimate` (depth or normals from a picture).
        parts: Loadable modules by name.
        scheduler: Diffusers scheduler config (`beta_start`, `prediction_type`, …), with `_class_name`; empty where
            the model has none.
        tokenizers: One for each text encoder among the parts.
        details: Kind-specific facts: lora `{"format", "rank", "targets"}`, embedding `{"vectors", "widths"}`, …
        guesses: Every settled value with its source.
        fingerprint: Identity for keys, see :mod:`graphflow.modelfiles.fingerprint`; None only for an uncached Hub id.
        bytes_by_dtype: Bytes of all weights by dtype.
        needs_conversion: A pickle file: refused unless the user allows it, advice names the convert command.
        warnings: Things to tell the user, each one sentence.
    """

    name: str
    path: Path | None
    kind: Kind
    layout: Layout
    family: str | None = None
    variant: str = ""
    task: str = "generate"
    parts: Mapping[str, Part] = field(default_factory=dict)
    scheduler: Config = field(default_factory=dict)
    tokenizers: tuple[TokenizerSpec, ...] = ()
    details: Config = field(default_factory=dict)
    guesses: tuple[Guess, ...] = ()
    fingerprint: str | None = None
    bytes_by_dtype: Mapping[str, int] = field(default_factory=dict)
    needs_conversion: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Bytes of all weights."""
        return sum(self.bytes_by_dtype.values())

    @property
    def resolved(self) -> bool:
        """False for a Hub id that has to be downloaded first: its key is not known before."""
        return self.path is not None or self.stands_in

    @property
    def stands_in(self) -> bool:
        """Whether its weights are random, in place of a file that is not there."""
        return self.layout == "stand-in"

    @property
    def files(self) -> tuple[Path, ...]:
        """Weight files of all parts, sorted, without repeats; the file itself where it has no parts."""
        found = {file for part in self.parts.values() for file in part.files}
        if not found and self.path is not None and self.path.is_file():
            found = {self.path}
        return tuple(sorted(found))

    def guess(self, field: str) -> Guess | None:
        """The settled value of `field`, such as `scheduler.prediction_type`; None where nothing was settled."""
        return next((guess for guess in self.guesses if guess.field == field), None)
