"""Pipelines in a script: which class, loaded once, and the scheduler that it has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .handles import Base, Hook, ModelPart, Patch, text_patches
from .layout import Expression, call, listed, literal, mapped, quoted
from .script import Script, UnsupportedError

CLASSES = {
    ("sd", "text2img"): "StableDiffusionPipeline",
    ("sd", "img2img"): "StableDiffusionImg2ImgPipeline",
    ("sd", "inpaint"): "StableDiffusionInpaintPipeline",
    ("sdxl", "text2img"): "StableDiffusionXLPipeline",
    ("sdxl", "img2img"): "StableDiffusionXLImg2ImgPipeline",
    ("sdxl", "inpaint"): "StableDiffusionXLInpaintPipeline",
}

COMPONENTS = "components"
"""A demand for the parts of a pipeline, whichever its class."""

Kind = str


@dataclass
class Loaded:
    """A pipeline that stands in the script.

    Attributes:
        part: The model that it was loaded for.
        variables: Its variables by kind; the first was loaded, the others share its parts.
    """

    part: ModelPart
    variables: dict[Kind, str]

    @property
    def first(self) -> str:
        """The variable that was loaded."""
        return next(iter(self.variables.values()))


@dataclass
class Loader:
    """Writes what loads pipelines, where they are first asked for.

    Attributes:
        script: Where to.
        loaded: What stands there, by key.
        alone: Variables of parts that lie in files of their own.
        schedulers: What scheduler each pipeline variable has.
    """

    script: Script
    loaded: dict[str, Loaded] = field(default_factory=dict)
    alone: dict[str, str] = field(default_factory=dict)
    schedulers: dict[str, Expression] = field(default_factory=dict)

    def pipe(self, part: ModelPart, kind: Kind = COMPONENTS) -> str:
        """The variable of a pipeline of some kind, loaded now where it is not there yet."""
        key = repr((part.base.key, part.patches, network_hooks(part)))
        kinds = self.script.facts.kinds.setdefault(key, set())
        called = sorted(kinds - {COMPONENTS})
        kinds.add(kind)
        if key not in self.loaded:
            first = called[0] if len(called) == 1 else "text2img"
            self.loaded[key] = Loaded(part, {first: self._load(part, first)})
        found = self.loaded[key]
        if kind == COMPONENTS:
            return found.first
        if kind not in found.variables:
            name = _pipeline_class(part.base, kind)
            self.script.use("diffusers", name)
            hint = found.first.replace("pipe", kind)
            found.variables[kind] = self.script.assign(hint, f"{name}(**{found.first}.components)")
        return found.variables[kind]

    def any_pipe(self, base: Base) -> str:
        """The variable of any pipeline of a checkpoint, whatever its patches: they leave some parts alone."""
        for found in self.loaded.values():
            if found.part.base.key == base.key:
                return found.first
        return self.pipe(ModelPart(base, "model"))

    def vae(self, part: ModelPart) -> str:
        """The expression of an autoencoder; of a model, that of its checkpoint."""
        if part.base.description.kind == "checkpoint":
            return f"{self.any_pipe(part.base)}.vae"
        return self.component(part, "AutoencoderKL")

    def component(self, part: ModelPart, name: str) -> str:
        """The variable of a part that lies in a file of its own."""
        if part.base.key not in self.alone:
            self.script.use("diffusers", name)
            loading = call(f"{name}.{_how(part.base)}", part.base.path, dtype="DTYPE").then(".to(DEVICE)")
            self.alone[part.base.key] = self.script.assign(part.part, loading)
        return self.alone[part.base.key]

    def set_scheduler(self, pipe: str, expression: Expression) -> None:
        """Give a pipeline a scheduler, unless it has it already."""
        if self.schedulers.get(pipe) != expression:
            self.script.add(f"{pipe}.scheduler = ", expression)
            self.schedulers[pipe] = expression

    def _load(self, part: ModelPart, kind: Kind) -> str:
        base = part.base
        name = _pipeline_class(base, "img2img" if base.refiner else kind)
        self.script.use("diffusers", name)
        options: dict[str, Expression] = {"dtype": "DTYPE"}
        options |= self.checking(base)
        variable = self.script.assign("pipe", call(f"{name}.{_how(base)}", base.path, **options).then(".to(DEVICE)"))
        if base.options:
            changed = {option: literal(value) for option, value in base.options}
            self.script.add("", call(f"{variable}.scheduler.register_to_config", **changed))
        if part.patches:
            self._load_loras(variable, part.patches)
        for hook in network_hooks(part):
            self.script.need(hook.helper)
            self.script.add("", call(hook.helper, f"{variable}.unet", **dict(hook.arguments)))
        return variable

    def checking(self, base: Base) -> dict[str, Expression]:
        """Arguments that leave out an unused safety checker, or give one the image processor that its folder lacks."""
        checker, path = base.description.parts.get("safety_checker"), base.description.path
        if checker is None:
            return {}
        if base.key not in self.script.facts.checked:
            return {"safety_checker": "None"}
        if path is None or not path.is_dir() or (path / "feature_extractor").is_dir():
            return {}
        vision = checker.config.get("vision_config")
        size = str(vision.get("image_size", 224)) if isinstance(vision, dict) else "224"
        self.script.use("transformers", "CLIPImageProcessor")
        edges: dict[str, Expression] = {"size": mapped({"shortest_edge": size}), "crop_size": size}
        return {"feature_extractor": call("CLIPImageProcessor", **edges)}

    def _load_loras(self, pipe: str, patches: tuple[Patch, ...]) -> None:
        """Put LoRAs on a pipeline's parts, each with its own strength."""
        names, strengths = [], []
        for index, patch in enumerate(patches, 1):
            name = quoted(f"lora_{index}")
            place: dict[str, Expression] = {"weight_name": f"{patch.path}.name", "adapter_name": name}
            self.script.add("", call(f"{pipe}.load_lora_weights", f"{patch.path}.parent", **place))
            names.append(name)
            alike = not patch.has_text or patch.text_strength == patch.strength
            both = {"unet": patch.strength, "text_encoder": patch.text_strength}
            strengths.append(patch.strength if alike else mapped(both))
        self.script.add("", call(f"{pipe}.set_adapters", listed(names), listed(strengths)))
        rounded = next((patch.rounded for patch in patches if patch.rounded and patch.has_text), "")
        if rounded:
            self.script.need("round_weights")
            self.script.add(f"{pipe}.fuse_lora()")
            self.script.add(f"{pipe}.unload_lora_weights()")
            self.script.add(f"round_weights({pipe}.text_encoder, {rounded})")

    def text_pipe(self, encoder: ModelPart) -> str:
        """The variable of a pipeline whose text encoders have just these LoRAs."""
        wanted = text_patches(encoder.patches)
        for found in self.loaded.values():
            if found.part.base.key == encoder.base.key and text_patches(found.part.patches) == wanted:
                return found.first
        return self.pipe(ModelPart(encoder.base, "model", encoder.patches))


def network_hooks(part: ModelPart) -> tuple[Hook, ...]:
    """The hooks that change the network for good."""
    return tuple(hook for hook in part.hooks if hook.stage == "unet")


def scheduler(part: ModelPart, pipe: str, name: str, wanted: dict[str, Any], shown: tuple[str, ...] = ()) -> Expression:
    """A scheduler made from the pipeline's own, with what must differ from its config.

    Args:
        part: The model.
        pipe: The pipeline's variable.
        name: The scheduler class.
        wanted: What its config must say: (value, the class's default) by name.
        shown: What is said even where the config says it already.
    """
    config = {**part.base.description.scheduler, **dict(part.base.options)}
    changes = {
        option: literal(value)
        for option, (value, default) in wanted.items()
        if option in shown or config.get(option, default) != value
    }
    return call(f"{name}.from_config", f"{pipe}.scheduler.config", **changes)


def _pipeline_class(base: Base, kind: Kind) -> str:
    name = CLASSES.get((base.family, kind))
    if name is None:
        raise UnsupportedError(f"scripts cannot run models of the family {base.family!r}")
    return name


def _how(base: Base) -> str:
    path = base.description.path
    return "from_single_file" if path is not None and path.is_file() else "from_pretrained"
