"""Pipelines in a script: which class, loaded once, and the scheduler that it has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .handles import Base, ModelPart
from .layout import Expression, call, literal
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
        key = repr((part.base.key, part.patches))
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
        """The expression of an autoencoder."""
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
        if "safety_checker" in base.description.parts and base.key not in self.script.facts.checked:
            options["safety_checker"] = "None"
        variable = self.script.assign("pipe", call(f"{name}.{_how(base)}", base.path, **options).then(".to(DEVICE)"))
        if base.options:
            changed = {option: literal(value) for option, value in base.options}
            self.script.add("", call(f"{variable}.scheduler.register_to_config", **changed))
        for patch in part.patches:
            raise UnsupportedError(f"patches of the kind {patch.kind!r} are not written yet")
        return variable


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
