"""The smallest workflow in which a ComfyUI type has all that it needs, made from what is known of its inputs."""

from __future__ import annotations

import re
import wave
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import PIL.Image

from graphflow import Session, Settings
from graphflow.converters.comfyui import catalogue, to_native, to_prompt
from graphflow.converters.comfyui.building import Builder, Const, Fused, Ref, RefusedError, Source, Value
from graphflow.converters.comfyui.native import translated
from graphflow.converters.comfyui.pruning import link_of
from graphflow.converters.comfyui.rules import RULES, Rule
from graphflow.errors import GraphflowError
from graphflow.settings import RootSetting
from graphflow.spec.registry import Registry

from .hints import BASES, EDGE, GIVERS, HINTS, SETTINGS, SOURCES, Prompt, giver
from .prompts import node


def _sampled(**changes: Any) -> dict[str, Any]:
    told = {**SETTINGS, "denoise": 1.0, "model": giver("MODEL"), "positive": giver("CONDITIONING"), "negative": giver("CONDITIONING"),
            "latent_image": giver("LATENT")}  # fmt: skip
    return node("KSampler", **(told | changes))


def _custom(**changes: Any) -> dict[str, Any]:
    told = {name: giver(name.upper()) for name in ("noise", "guider", "sampler", "sigmas")}
    return node("SamplerCustomAdvanced", **(told | {"latent_image": giver("LATENT")} | changes))


_NAMES: Mapping[str, str] = {
    "model": "MODEL", "clip": "CLIP", "vae": "VAE", "image": "IMAGE", "pixels": "IMAGE", "mask": "MASK", "latent": "LATENT",
    "samples": "LATENT", "positive": "CONDITIONING", "negative": "CONDITIONING", "conditioning": "CONDITIONING",
    "cond": "CONDITIONING", "sigmas": "SIGMAS", "control_net": "CONTROL_NET", "controlnet": "CONTROL_NET",
    "clip_vision": "CLIP_VISION", "audio": "AUDIO", "video": "VIDEO", "upscale_model": "UPSCALE_MODEL", "sampler": "SAMPLER",
    "guider": "GUIDER", "noise": "NOISE", "segs": "SEGS", "base_segs": "SEGS", "mask_segs": "SEGS", "basic_pipe": "BASIC_PIPE",
    "detailer_pipe": "DETAILER_PIPE", "bbox_detector": "DETECTOR", "segm_detector": "OUTLINER", "sam_model": "SAM",
    "grounding_dino_model": "DINO", "detailer_hook": "HOOK", "upscaler": "UPSCALER", "regional_prompts": "REGIONS",
    "stitch": "STITCH", "stitcher": "STITCH", "rembg_session": "REMOVER", "rmbgmodel": "REMOVER",
    "base_sampler": "KSAMPLER", "mask_sampler": "KSAMPLER", "hook": "HOOK",
}  # fmt: skip
"""Kinds by the names that inputs of packs have."""
_NATIVE: Mapping[str, str] = {
    "model": "MODEL", "text_encoder": "CLIP", "vae": "VAE", "image": "IMAGE", "mask": "MASK", "latent": "LATENT",
    "conditioning": "CONDITIONING", "sigmas": "SIGMAS", "sampler": "SAMPLER", "noise": "NOISE", "guider": "GUIDER",
    "control_net": "CONTROL_NET", "image_encoder": "CLIP_VISION", "upscale_model": "UPSCALE_MODEL", "audio": "AUDIO", "video": "VIDEO",
}  # fmt: skip
_FILES = {"image": "in.png", "file": "in.png", "ckpt_name": "shapes"}


class _Asked(dict[str, Any]):
    """Inputs of which every one that a rule asks for is noted."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__(given)
        self.names: dict[str, None] = {}

    def get(self, name: str, default: Any = None) -> Any:  # type: ignore[override]
        self.names[name] = None
        return super().get(name, default)


class _Dry:
    """Builds nodes of a prompt one by one, for what stands at their outputs."""

    def __init__(self, prompt: Prompt, registry: Registry) -> None:
        self.builder = Builder(registry)
        self._prompt = prompt
        self._known: dict[str, list[Value]] = {}
        self.refusal = ""

    def values(self, id: str) -> list[Value]:
        if id not in self._known:
            self._known[id] = []  # of a circle
            self._known[id] = self.run(self._prompt[id]["class_type"], self.inputs(self._prompt[id]["inputs"]))
        return self._known[id]

    def inputs(self, given: Mapping[str, Any]) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for name, value in given.items():
            link = link_of(value)
            values = self.values(link[0]) if link is not None else []
            found[name] = Const(value) if link is None else values[link[1]] if link[1] < len(values) else None
        return found

    def run(self, comfy: str, inputs: Mapping[str, Any]) -> list[Value]:
        """Return what stands at the outputs; nothing where the rule refuses its inputs."""
        rule, source = RULES[comfy], Source("x", comfy, comfy, inputs)
        try:
            return translated(rule, self.builder, source)
        except (RefusedError, KeyError) as error:
            self.refusal = str(error)
            return []


def smallest(comfy: str, registry: Registry) -> Prompt:
    """Return a flat prompt in which node ``x`` of a type gets one of each thing that it takes, and is needed."""
    loader = node("CheckpointLoaderSimple", ckpt_name=BASES.get(comfy, "shapes"))
    prompt: Prompt = {**GIVERS, "ckpt": loader, "x": node(comfy, **_filled(comfy, registry))}
    ends = ["x", *_read(prompt, "x", registry)]
    return _needed(prompt, ends)


def _filled(comfy: str, registry: Registry) -> dict[str, Any]:
    inputs = {**_inputs(comfy, registry), **HINTS.get(comfy, {})}
    return {name: value for name, value in inputs.items() if value is not None}


def _read(prompt: Prompt, id: str, registry: Registry) -> list[str]:
    """Add nodes that read all outputs of a node, and return those that show something."""
    dry = _Dry(prompt, registry)
    ends: list[str] = []
    for slot, value in enumerate(dry.values(id)):
        if isinstance(value, Ref):
            prompt |= _sink(dry.builder.type_of(value).name, [id, slot], f"{id}y{slot}")
            ends.append(f"{id}y{slot}")
        elif isinstance(value, Fused) and value.kind in _TAKERS and len(id) < _LONGEST:
            taker, input = _TAKERS[value.kind]
            prompt[f"{id}z{slot}"] = node(taker, **{**_filled(taker, registry), input: [id, slot]})
            ends += _read(prompt, f"{id}z{slot}", registry)
    return ends


_LONGEST = 10
_TAKERS: Mapping[str, tuple[str, str]] = {
    "motion LoRAs": ("ADE_AnimateDiffLoaderGen1", "motion_lora"),
    "scale of motion": ("ADE_AnimateDiffLoaderGen1", "scale_multival"),
    "settings of sampling": ("ADE_AnimateDiffLoaderGen1", "sample_settings"),
    "motion module": ("ADE_ApplyAnimateDiffModelSimple", "motion_model"),
    "motion modules": ("ADE_UseEvolvedSampling", "m_models"),
    "windows of frames": ("ADE_AnimateDiffLoaderGen1", "context_options"),
    "hooks": ("ConditioningSetProperties", "hooks"),
    "hook keyframes": ("SetHookKeyframes", "hook_kf"),
    "text encoder with hooks": ("CLIPTextEncode", "clip"),
    "latent operation": ("LatentApplyOperation", "operation"),
    "encoded picture": ("unCLIPConditioning", "clip_vision_output"),
    "timesteps range": ("ConditioningSetProperties", "timesteps"),
    "style model": ("StyleModelApply", "style_model"),
    "GLIGEN model": ("GLIGENTextBoxApply", "gligen_textbox_model"),
    "sound encoder": ("AudioEncoderEncode", "audio_encoder"),
    "encoded sound": ("WanSoundImageToVideo", "audio_encoder_output"),
    "camera": ("WanCameraImageToVideo", "camera_conditions"),
    "IP-Adapter": ("IPAdapter", "ipadapter"),
    "pictures of an IP-Adapter": ("IPAdapterEmbeds", "pos_embed"),
    "recogniser of faces": ("FaceKeypointsPreprocessor", "faceanalysis"),
    "InstantID": ("ApplyInstantID", "instantid"),
    "face that InstantID's ControlNet reads": ("ApplyInstantIDControlNet", "face_embeds"),
    "latent upscaler": ("LTXVLatentUpsampler", "upscale_model"),
    "pipe": ("FromBasicPipe", "basic_pipe"),
    "detailer pipe": ("FromDetailerPipe", "detailer_pipe"),
    "detector": ("BboxDetectorSEGS", "bbox_detector"),
    "Segment Anything model": ("SAMDetectorCombined", "sam_model"),
    "drawn segments": ("DetailerForEach", "segs"),
    "detailer hook": ("FaceDetailer", "detailer_hook"),
    "sampler of a pipe": ("TwoSamplersForMask", "base_sampler"),
    "regional prompts": ("RegionalSampler", "regional_prompts"),
    "upscaler": ("IterativeLatentUpscale", "upscaler"),
    "hook of an upscaler": ("PixelKSampleUpscalerProviderPipe", "pk_hook_opt"),
    "cut-out": ("InpaintStitchImproved", "stitcher"),
    "background remover": ("ImageRemoveBackground+", "rembg_session"),
    "SDXL models and prompts": ("Unpack SDXL Tuple", "sdxl_tuple"),
    "describer": ("Florence2Run", "florence2_model"),
    "pipe of Easy-Use": ("easy kSampler", "pipe"),
    "LoRA stack": ("CR Apply LoRA Stack", "lora_stack"),
    "ControlNet stack": ("Apply ControlNet Stack", "cnet_stack"),
    "x-labs ControlNets": ("XlabsSampler", "controlnet_condition"),
    "x-labs IP-Adapter": ("ApplyFluxIPAdapter", "ip_adapter_flux"),
}
"""By what an output carries: the type, and its input, of which it becomes a part."""


def _sink(kind: str, link: list[Any], id: str) -> Prompt:
    """Return nodes that need an output, computed as far as its kind allows."""
    if kind == "model":
        return {f"{id}a": _sampled(model=link), **_shown([f"{id}a", 0], id)}
    if kind == "text_encoder":
        return {f"{id}a": node("CLIPTextEncode", text="a", clip=link), **_shown([f"{id}a", 0], id)}
    if kind == "conditioning":
        return {f"{id}a": _sampled(positive=link), **_shown([f"{id}a", 0], id)}
    if kind in ("sigmas", "sampler", "noise", "guider"):
        return {f"{id}a": _custom(**{kind: link}), **_shown([f"{id}a", 0], id)}
    if kind == "vae":
        return {f"{id}a": node("VAEDecode", samples=giver("LATENT"), vae=link), **_shown([f"{id}a", 0], id)}
    if kind == "image":
        return {id: node("PreviewImage", images=link)}
    return _shown(link, id)


def _shown(link: list[Any], id: str) -> Prompt:
    return {id: node("PreviewAny", source=link)}


def _needed(prompt: Prompt, ends: Iterable[str]) -> Prompt:
    """Return the part of a prompt that some nodes need."""
    pending, found = list(ends), set[str]()
    while pending:
        id = pending.pop()
        if id not in found:
            found.add(id)
            links = (link_of(value) for value in prompt[id]["inputs"].values())
            pending.extend(link[0] for link in links if link is not None)
    return {id: node for id, node in prompt.items() if id in found}


def _inputs(comfy: str, registry: Registry) -> dict[str, Any]:
    interface, rule = catalogue.find(comfy), RULES[comfy]
    if interface is not None and interface.core:
        return dict(_of_core(interface))
    return dict(_of_rule(rule, registry)) if isinstance(rule, Rule) else _of_function(comfy, registry)


def _of_core(interface: catalogue.Interface) -> Iterator[tuple[str, Any]]:
    for name, spec in interface.inputs.items():
        if not spec.widget:
            kind = spec.type.split(",")[0]
            if kind in SOURCES:
                yield name, giver(kind)
        elif name in _FILES:
            yield name, _FILES[name]
        else:
            value = catalogue.default_of(spec)
            if name in ("width", "height") and spec.type == "INT":
                value = max(EDGE, spec.details.get("min", 0))
            elif spec.type == "COMBO" and not spec.details.get("options"):
                value = f"{name}.safetensors"
            yield name, value


def _of_rule(rule: Rule, registry: Registry) -> Iterator[tuple[str, Any]]:
    spec = registry.specs[rule.native]
    for item in rule.parsed:
        target = spec.inputs[item.native]
        if target.linked:
            if target.type.name in _NATIVE:
                yield item.comfy, giver(_NATIVE[target.type.name])
        elif target.model_kind or target.file_kind:
            yield item.comfy, f"{item.comfy}.safetensors" if target.model_kind else "in.png"
        elif target.required:
            found = next((value for value in (1, "a", 1.0, True) if target.check(value)[1] is None), None)
            yield item.comfy, target.choices[0] if target.choices else found


def _of_function(comfy: str, registry: Registry) -> dict[str, Any]:
    """What a rule of a pack asks for, by the names that it uses, until it asks no more; without what it does not take."""
    given: dict[str, Any] = {name: value for name, value in HINTS.get(comfy, {}).items() if value is not None}
    never = {name for name, value in HINTS.get(comfy, {}).items() if value is None}
    for _ in range(40):
        dry = _Dry(GIVERS, registry)
        asked = _Asked(dry.inputs(given))
        dry.refusal = ""
        dry.run(comfy, asked)
        refused = next((name for name in given if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", dry.refusal)), None)
        linked = re.search(r"is linked to (\w+)", dry.refusal)
        if (
            refused is None and linked is not None
        ):  # it names the native input; a name of which a part was taken is wrong
            of_kind = [name for name, value in given.items() if value == giver(_NATIVE.get(linked[1], "*"))]
            refused = next((name for name in of_kind if name not in _NAMES), None)
        if refused is not None and _WRONG.search(dry.refusal):
            never.add(refused)
            del given[refused]
            continue
        names = [name for name in asked.names if name not in given and name not in never]
        more = {name: guess for name in names if (guess := _guess(name)) is not None}
        if not more:
            break
        given |= more
    return given


_WRONG = re.compile(
    r"has no native counterpart|is computed while running|is no \w|is linked to|takes no|cannot be|no number"
)
"""In what a rule says of an input that it does not take as it was guessed."""


_LITERAL = frozenset(
    ("name", "strength", "weight", "type", "size", "width", "height", "factor", "method", "mode", "side")
)
"""Last parts of the names of inputs that are no links."""


def _guess(name: str) -> Any:
    plain = name.lower().rstrip("0123456789").rstrip("_")
    first, last = plain.partition("_")[0], plain.rpartition("_")[2]
    if last in _LITERAL and plain not in _NAMES:
        return None
    for known in (plain, plain.removesuffix("s"), first, last):
        if known in _NAMES:
            return giver(_NAMES[known])
    return None


RUN = (
    *sorted(type for type, rule in RULES.items() if rule.pack and type not in BASES)[::120],
    "ApplyInstantID",
    "ImpactCount_Elts_in_SEGS",
    "ImpactSEGSConcat",
)
"""Types whose workflows run in the suite; `python -m tests.runners.rules` runs all."""
NOTHING = frozenset({"easy globalSeed"})
"""Types that neither take nor give anything."""
LACKS = re.compile(r"nothing can stand in for it|needs the weights|it holds (no image encoder|a whole ControlNet)")
"""In what is said of a workflow that needs weights which nobody has here."""


def write_inputs(folder: Path) -> None:
    """Write the picture and the sound that the workflows read."""
    picture = PIL.Image.new("RGBA", (EDGE, EDGE), (200, 30, 40, 255))
    picture.paste((200, 30, 40, 0), (16, 16, 48, 48))  # the mask
    picture.save(folder / "in.png")
    with wave.open(str(folder / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(1600))


def try_session(folder: Path) -> Session:
    """Return a session in which random weights stand in for models, and nothing is kept."""
    models = RootSetting(path=folder / "models")
    return Session(
        Settings(
            models=(models,),
            cache_dir=folder / "cache",
            cache_bytes=0,
            device="cpu",
            offline=True,
            safety="off",
            stand_in=True,
        )
    )


def run_smallest(comfy: str, session: Session, folder: Path) -> str:
    """Run the smallest workflow of a type: ``runs``, ``waits``, or why it does not.

    Raises:
        AssertionError: It does not import whole.
    """
    result = to_native(to_prompt(smallest(comfy, session.registry)), registry=session.registry)
    assert result.report.complete, result.report.unsupported
    if not result.report.ready:
        return "waits"
    try:
        session.run(result.document, folder=folder, out=folder / "out")
    except GraphflowError as error:
        return str(error)
    return "runs"
