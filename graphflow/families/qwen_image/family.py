"""What Qwen-Image is known by; without torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from graphflow.basics.prompt_syntax import unescaped
from graphflow.families.flow.family import FlowFamily
from graphflow.families.flow.piece_tokenizer import make_piece_tokenizer
from graphflow.families.qwen_image.config import (
    BLOCKWISE,
    CONTROL,
    FUN,
    PUBLISHED,
    TEXT_CLASSES,
    VAE_CLASSES,
    infer_control,
    infer_text,
    infer_transformer,
    infer_vae,
    references,
    schedule,
    text_prefix,
    times,
    vae_prefix,
)
from graphflow.families.qwen_image.names import LanguageNames, transformer_names, vae_names
from graphflow.families.qwen_image.stand_ins import STAND_INS
from graphflow.modelfiles.description import Config, Kind, Part, TokenizerSpec
from graphflow.modelfiles.draft import Draft
from graphflow.modelfiles.family import Change, EncoderRole, LatentFormat, Match, TensorNames, Variant
from graphflow.modelfiles.footprint import Footprint
from graphflow.modelfiles.inferred import Shapes
from graphflow.modelfiles.scripts import FlowScripts, FlowSteering, ScriptTraits

_TOKEN = 64
"""Numbers in a token of latents."""


@dataclass(frozen=True, kw_only=True)
class QwenImageFamily(FlowFamily):
    """Implements :class:`graphflow.modelfiles.family.Family`; it describes Qwen2.5-VL and Wan's autoencoder, too."""

    def recognise(self, shapes: Shapes, metadata: Mapping[str, str], *, stated: Any = None) -> Match | None:
        """Recognise a transformer, a text encoder or an autoencoder by its tensors."""
        match = super().recognise(shapes, metadata, stated=stated)
        if match is not None:
            return match
        if text_prefix(shapes) is not None:
            return Match(kind="text_encoder")
        return Match(kind="vae") if vae_prefix(shapes) is not None else None

    def describe(self, draft: Draft, match: Match, kind: Kind | None) -> None:
        """Fill in the description of a file: a transformer alone, or with encoder and autoencoder, or one of these."""
        if match.kind in ("diffusion_model", "controlnet"):
            super().describe(draft, match, kind)
        if match.kind == "controlnet":
            return
        if (prefix := vae_prefix(draft.shapes)) is not None:
            below = draft.under(prefix)
            original = "decoder.conv1.weight" in below
            draft.add("vae", infer_vae(below, draft.where), prefix, "ldm" if original else "diffusers")
        if (prefix := text_prefix(draft.shapes)) is not None:
            draft.add("text_encoder", infer_text(draft.under(prefix), draft.where), prefix)
            draft.tokenizers.append(self._tokenizer())
        if match.kind == "diffusion_model":
            draft.kind = "checkpoint" if len(draft.parts) > 1 else draft.kind
        else:
            draft.kind = match.kind
            draft.variant = "qwen2_5_vl" if match.kind == "text_encoder" else ""

    def recognise_part(self, class_name: str, config: Config) -> Match | None:
        """Recognise a component by its class."""
        if class_name in TEXT_CLASSES:
            return Match(kind="text_encoder")
        if class_name in VAE_CLASSES:
            return Match(kind="vae")
        return super().recognise_part(class_name, config)

    def count_tokens(self, spec: TokenizerSpec, text: str) -> int:
        """Return how many tokens a text is for the text encoder."""
        return len(make_piece_tokenizer(spec if spec.name else self._tokenizer(spec)).ids(text))

    def tensor_names(self, part: Part) -> TensorNames:
        """Return how the tensors of a part are called."""
        if part.class_name in TEXT_CLASSES:
            return LanguageNames(part)
        if part.class_name in (BLOCKWISE, FUN):
            return self.control_names(part)
        return vae_names(part) if part.class_name in VAE_CLASSES else super().tensor_names(part)

    def lora_names(self, part: Part, names: Collection[str]) -> Iterator[tuple[str, str, Change]]:
        """Yield what LoRA files call the layers of the transformer."""
        if part.class_name == self.transformer:
            yield from super().lora_names(part, names)

    @staticmethod
    def _tokenizer(found: TokenizerSpec | None = None) -> TokenizerSpec:
        spec = found or TokenizerSpec("text_encoder", "missing", {})
        return replace(spec, name="qwen2_5_vl", published=PUBLISHED)


def _filled(config: Config) -> int:
    """How many channels a Fun ControlNet reads."""
    reads = config.get("reads")
    return reads // 4 if isinstance(reads, int) and "heads" in config else 0


def _is_marked(config: Config) -> bool:
    """Whether a ControlNet reads a channel that is 1 where its picture is known."""
    further = config.get("extra_condition_channels") or ("layers" in config and config["reads"] != _TOKEN)
    return bool(further)


FAMILY = QwenImageFamily(
    name="qwen_image",
    made_by="QwenImage(?!21)",
    transformer="QwenImageTransformer2DModel",
    marks=("transformer_blocks.0.img_mod.1.weight",),
    control=CONTROL,
    control_marks=("transformer_blocks.0.img_mod.", "controlnet_blocks.0.x_rms.", "control_blocks.0."),
    infer_control=infer_control,
    steering=("ControlNets of InstantX", "blockwise ControlNets of DiffSynth", "Fun ControlNets"),
    adapter_marks=("img_mod.1", "img_mod_1", "img_mlp.net", "img_mlp_net"),
    words=("qwen-image", "qwen_image"),
    half="bfloat16",
    comfyui_loader={1: "qwen_image"},
    footprint=Footprint(numbers=34, text=512, patch=2),
    latent=LatentFormat(
        channels=16,
        axes=3,
        mean=(
            -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517, -0.3632, -0.1922,
            -0.9497, 0.2503, -0.2921,
        ),
        deviation=(
            2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253,
            2.8251, 1.9160,
        ),
    ),
    variants=tuple(Variant(name=name, gguf="qwen_image") for name in ("qwen_image", "qwen_image_edit_2511")),
    infer=infer_transformer,
    names=transformer_names,
    schedule=schedule,
    roles=(EncoderRole(part="text_encoder", classes=TEXT_CLASSES),),
    tasks={"text2img": "QwenImagePipeline"},
    scripts=ScriptTraits(
        network="transformer",
        sources=(
            "graphflow.families.flow.exact_times",
            "graphflow.families.flow.patches",
            "graphflow.families.flow.seeing",
            "graphflow.families.qwen_image.places",
            "graphflow.families.qwen_image.tokens",
            "graphflow.families.qwen_image.network",
            "graphflow.families.flow.residuals",
            "graphflow.families.qwen_image.steering",
            "graphflow.families.qwen_image.blockwise",
            "graphflow.families.qwen_image.fun",
            "graphflow.families.qwen_image.language",
            "graphflow.families.qwen_image.prompts",
        ),
        flow=FlowScripts(
            velocity="qwen_image_velocity",
            times=times,
            encode="encode_with_qwen",
            reads=unescaped,
            sees=True,
            builds=dict.fromkeys(TEXT_CLASSES, "Qwen25VL"),
            references=references,
            adjusts="with_places",
            steering=FlowSteering(
                nets={
                    CONTROL: ("qwen_hint", "qwen_steered"),
                    BLOCKWISE: ("blockwise_hint", "blockwise_steered"),
                    FUN: ("fun_hint", "fun_steered"),
                },
                built=lambda name, _: {BLOCKWISE: "BlockwiseNetwork", FUN: "FunNetwork"}.get(name, ""),
                marked=_is_marked,
                filled=_filled,
            ),
        ),
    ),
    components_in="graphflow.families.qwen_image.components",
    stand_ins=STAND_INS,
)  # fmt: skip
