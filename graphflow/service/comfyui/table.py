"""The node types that prompts may have, as ComfyUI's clients read them: inputs with their values and ranges, outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, cast

from graphflow.converters.comfyui import catalogue
from graphflow.converters.comfyui.probing import Asked, common_inputs, probe
from graphflow.converters.comfyui.prompt_text import DYNAMIC_TEXTS
from graphflow.converters.comfyui.rules import RULES, Rule
from graphflow.converters.comfyui.rules.rule import Change, Convert, Made
from graphflow.errors import GraphflowError, InvalidInputError
from graphflow.library.library import Library
from graphflow.modelfiles.description import Kind
from graphflow.modelfiles.families import installed
from graphflow.service.comfyui.names import Names, Place, place_of
from graphflow.spec.registry import Registry
from graphflow.spec.spec import InputSpec

_MODELS: Mapping[str, Kind] = {
    "ckpt_name": "checkpoint", "unet_name": "diffusion_model", "vae_name": "vae", "lora_name": "lora",
    "control_net_name": "controlnet", "clip_name": "text_encoder", "clip_name1": "text_encoder",
    "clip_name2": "text_encoder", "clip_name3": "text_encoder", "clip_name4": "text_encoder", "model_path": "checkpoint",
    "gligen_name": "gligen", "hypernetwork_name": "hypernetwork", "style_model_name": "style_model",
    "model_name": "upscale_model", "audio_encoder_name": "audio_encoder",
}  # fmt: skip
"""By the name of an input without values of its own: the kind of model that it names."""
_OF_TYPE: Mapping[tuple[str, str], Kind] = {
    ("CLIPVisionLoader", "clip_name"): "image_encoder",
    ("ModelPatchLoader", "name"): "controlnet",
}
FILES: Mapping[str, str] = {"image": "image", "audio": "audio", "latent": "latent", "file": "video", "video": "video"}
"""By the name of such an input: the kind of file that it names."""
_CATEGORIES: Mapping[str, str] = {
    "models": "loaders",
    "images": "image",
    "output": "image",
    "latents": "latent",
    "masks": "mask",
    "plain": "utils",
}
_LINKS: Mapping[str, str] = {
    "text_encoder": "CLIP", "image_encoder": "CLIP_VISION", "control_net": "CONTROL_NET", "str": "STRING", "bool": "BOOLEAN",
    "any": "*",
    "json": "STRING",
}  # fmt: skip
"""What ComfyUI calls types of links, where it is not the same in capitals."""
_SAYS = ("default", "min", "max", "step", "multiline", "forceInput", "image_upload", "control_after_generate")
_PLAIN: Mapping[type, str] = {bool: "BOOLEAN", int: "INT", float: "FLOAT"}
_UPLOADS: Mapping[str, Mapping[str, Any]] = {
    "audio": {"audio_upload": True},
    "video": {"video_upload": True},
}


class Table:
    """The node types, with the models that there are when it is first asked for them.

    Args:
        registry: The native ones.
        library: Where models are.
        names: What uploads are called.
    """

    def __init__(self, registry: Registry, library: Library, names: Names) -> None:
        self._registry = registry
        self._library = library
        self._names = names
        self._models: dict[Kind | None, list[str]] = {}

    def has(self, type: str) -> bool:
        """Tell whether a prompt may have a node of a type."""
        return type in RULES

    def info(self, type: str, *, lists: bool = True) -> dict[str, Any] | None:
        """Return what is told of a type; None where its inputs are not known.

        Args:
            type: The type.
            lists: Whether the models and files are looked up that inputs may name.
        """
        if type not in RULES:
            return None
        interface = catalogue.find(type)
        if interface is not None and interface.core:
            inputs = {name: (self._input(type, spec, lists), spec.required) for name, spec in interface.inputs.items()}
            outputs, output_node = interface.outputs, interface.output_node
        elif isinstance(rule := RULES[type], Rule):
            inputs, outputs = self._by_rule(rule, lists)
            spec = self._registry.get(rule.native)
            output_node = spec is not None and spec.effect
        else:
            return None
        return self._told(type, inputs, outputs, output_node)

    def shown(self, type: str) -> dict[str, Any] | None:
        """Return what a front end draws of a type that a prompt may have; None where it may have none such.

        Of a type whose rule is a function it is what that asks for, which no prompt is held to.
        """
        told = self.info(type)
        rule = RULES.get(type)
        if told is not None or not isinstance(rule, Made):
            return told
        found = probe(rule, self._registry)
        inputs = {
            name: (self._asked(name, asked, name in found.controls), False) for name, asked in found.inputs.items()
        }
        outputs = [(_link(kind) if kind else "*",) * 2 for kind in found.outputs]
        specs = [self._registry.get(native) for native in rule.natives]
        return self._told(type, inputs, outputs, any(spec is not None and spec.effect for spec in specs))

    def _asked(self, name: str, asked: Asked, control: bool) -> list[Any]:
        """Return an input that a function asks for: as the native input has it, else as one of its name on ComfyUI's types."""
        alike = common_inputs().get(name)
        if asked.kind:
            return [_link(asked.kind), {}]
        if asked.target is not None and (asked.target.linked or asked.widget):
            told = self._native_input(asked.target, lists=True)
        elif alike is not None and alike.widget == asked.widget:
            told = self._input("", alike, lists=True)
        else:
            told = [_PLAIN.get(asked.default.__class__, "STRING") if asked.widget else "*", {}]
        kind, says = told
        if asked.default is not None:
            says = {**says, "default": asked.default}
        if isinstance(kind, list) and kind and asked.default is not None and asked.default not in kind:
            kind = [asked.default, *kind]
        return [kind, {**says, "control_after_generate": True} if control else says]

    def models(self, kind: Kind | None) -> list[str]:
        """Return the names of the models of a kind, each once."""
        if kind not in self._models:
            self._models[kind] = list(dict.fromkeys(entry.name for entry in self._library.entries(kind)))
        return self._models[kind]

    def missing(self, type: str, name: str, value: Any) -> str | None:
        """Say why a value is none that an input takes, see :data:`graphflow.service.comfyui.checking.Missing`."""
        native = self._native(type, name)
        kind = self._kind(type, name, native)
        if kind is not None:
            try:
                self._library.resolve(str(value), kind)
            except GraphflowError:
                return ""
            return None
        if self.takes_file(type, name):
            return self._lost(type, FILES.get(name, "image"), str(value))
        if _names_family(type, name):
            return None  # the import says what it makes of one that it does not know
        if native is not None and (value in native.choices or value in native.aliases.values()):
            return None  # younger than the table
        interface = catalogue.find(type)
        known = interface.inputs.get(name) if interface is not None else None
        return "" if known is None or known.details.get("options") else None

    def takes_file(self, type: str, name: str) -> bool:
        """Tell whether an input names a file that a client may send."""
        native, interface = self._native(type, name), catalogue.find(type)
        if native is not None or (interface is not None and interface.core and name not in interface.inputs):
            return native is not None and native.file_kind is not None
        known = interface.inputs.get(name) if interface is not None else None
        return name in FILES and (known is None or (known.type == "COMBO" and not known.details.get("options")))

    def place(self, type: str, name: str) -> Place:
        """Return what an input calls a file.

        Raises:
            InvalidInputError: It is no name of one.
        """
        return place_of(name, type="output" if type == "LoadImageOutput" else "input")

    def _lost(self, type: str, kind: str, name: str) -> str | None:
        """Say that a file which an input names was not sent; None where it was."""
        with suppress(InvalidInputError):
            if self._names.find(self.place(type, name)) is not None:
                return None
        return f"Invalid {kind} file: {name}"

    def _native(self, type: str, name: str) -> InputSpec | None:
        """Return the native parameter that an input stands for, where a rule says it."""
        rule = RULES.get(type)
        spec = self._registry.get(rule.native) if isinstance(rule, Rule) else None
        if spec is None or not isinstance(rule, Rule):
            return None
        return next((spec.inputs.get(item.native) for item in rule.parsed if item.comfy == name), None)

    def _kind(self, type: str, name: str, native: InputSpec | None) -> Kind | None:
        """Return the kind of model that an input names."""
        if native is not None and native.model_kind is not None:
            return cast("Kind", native.model_kind)
        return _OF_TYPE.get((type, name)) or _MODELS.get(name)

    def _input(self, type: str, spec: catalogue.InputSpec, lists: bool) -> list[Any]:
        told = {name: spec.details[name] for name in _SAYS if name in spec.details}
        if spec.name in DYNAMIC_TEXTS.get(type, ()):
            told["dynamicPrompts"] = True
        if spec.type != "COMBO":
            return [spec.type, told]
        options = list(spec.details.get("options") or ())
        if _names_family(type, spec.name):
            options += [name for name in loader_types() if name not in options]
        if not options:
            told |= _UPLOADS.get(FILES.get(spec.name, ""), {})
            options = self._listed(type, spec.name) if lists else []
        return [options, told]

    def _listed(self, type: str, name: str) -> list[str]:
        kind = self._kind(type, name, self._native(type, name))
        if kind is not None:
            return self.models(kind)
        return self.files() if name in FILES else []

    def files(self) -> list[str]:
        """Return the names of what was uploaded as ``input``."""
        return [place.below for place in self._names.listed("input")]

    def _by_rule(
        self, rule: Rule, lists: bool
    ) -> tuple[dict[str, tuple[list[Any], bool]], tuple[tuple[str, str], ...]]:
        """Return the inputs and outputs of a node type of a pack, as far as its rule says them."""
        spec = self._registry.get(rule.native)
        if spec is None:
            return {}, ()
        inputs = {
            item.comfy: (
                _said(self._native_input(spec.inputs[item.native], lists), rule.values.get(item.comfy)),
                spec.inputs[item.native].required,
            )
            for item in rule.parsed
            if item.native in spec.inputs
        }
        types = {output.name: _link(str(output.type)) for output in spec.outputs}
        slots = rule.slots or ((spec.primary,) if spec.outputs and not spec.effect else ())
        return inputs, tuple((types.get(name or "", "*"),) * 2 for name in slots)

    def _native_input(self, spec: InputSpec, lists: bool) -> list[Any]:
        if spec.linked:
            return [_link(str(spec.type)), {}]
        told: dict[str, Any] = {} if spec.default is None or spec.required else {"default": spec.default}
        if spec.model_kind is not None:
            return [self.models(cast("Kind", spec.model_kind)) if lists else [], told]
        if spec.file_kind is not None:
            return [self.files() if lists else [], told]
        if spec.choices:
            return [list(spec.choices), told]
        schema = spec.json_schema()
        told |= {ours: schema[name] for name, ours in (("minimum", "min"), ("maximum", "max")) if name in schema}
        return [_link(str(spec.type)), told]

    def _told(
        self,
        type: str,
        inputs: Mapping[str, tuple[list[Any], bool]],
        outputs: Iterable[tuple[str, str]],
        output_node: bool,
    ) -> dict[str, Any]:
        rule = RULES[type]
        specs = [spec for native in rule.natives if (spec := self._registry.get(native)) is not None]
        sections: dict[str, dict[str, Any]] = {
            "required": {name: told for name, (told, required) in inputs.items() if required}
        }
        optional = {name: told for name, (told, required) in inputs.items() if not required}
        if optional:
            sections["optional"] = optional
        if output_node and inputs.keys() & {"images", "filename_prefix"}:
            sections["hidden"] = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
        category = specs[0].category if specs else "utils"
        known = catalogue.find(type)
        lists = known.lists if known is not None else frozenset()
        listed = list(outputs)
        return {
            "input": sections,
            "input_order": {section: list(named) for section, named in sections.items()},
            "output": [kind for _, kind in listed],
            "output_is_list": [slot in lists for slot in range(len(listed))],
            "output_name": [name for name, _ in listed],
            "name": type,
            "display_name": type,
            "description": specs[0].summary if specs else "",
            "python_module": f"custom_nodes.{rule.pack}" if rule.pack else "nodes",
            "category": _CATEGORIES.get(category, category),
            "output_node": output_node,
        }


def _names_family(type: str, name: str) -> bool:
    """Tell whether an input says whose text encoders are loaded; families may be younger than the table."""
    return name == "type" and "CLIPLoader" in type


def loader_types() -> list[str]:
    """Return the types of text encoders that some family answers to."""
    return list(dict.fromkeys(name for family in installed().values() for name in family.comfyui_loader.values()))


def _said(told: list[Any], change: Change | None) -> list[Any]:
    """Return a native input as ComfyUI has it, whose values have other names or another form there."""
    kind, says = told
    if isinstance(change, Convert):
        try:
            return [kind, {**says, "default": change.to_comfy(says["default"])}]
        except (KeyError, TypeError, ValueError):
            return [kind, {name: value for name, value in says.items() if name != "default"}]
    if change is None:
        return told
    names = {native: comfy for comfy, native in change.items()}
    values = [names.get(value, value) for value in kind] if isinstance(kind, list) else list(change)
    return [values, {name: names.get(value, value) if name == "default" else value for name, value in says.items()}]


def _link(native: str) -> str:
    return _LINKS.get(native, native.upper().rpartition(" ")[2])
