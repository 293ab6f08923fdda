"""Pipelines in a script: which class, loaded once, and the scheduler that it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .families import family_of, flow_of, pipeline_class, text_parts, traits_of
from .flows import is_flow
from .layout import Expression, call, listed, literal, mapped, quoted
from .models import Base, Change, Hook, ModelPart, Net, Patch, text_patches
from .nets import how_to_load, net_of
from .script import Script

ADAPTIVE = "dpm_adaptive"
"""The sampler whose steps hang on the last bits of the prompts."""

PARTS = "Parts"
"""The class of parts that no pipeline of Diffusers takes."""

COMPONENTS = "components"
"""A demand for the parts of a pipeline, whichever its class."""


Kind = tuple[str, tuple[Net, ...]]
"""A pipeline class of a family, and the networks that it has beside the checkpoint's."""


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
        sampled: Keys of the checkpoints that were asked for by more than their unchanged parts.
        fused: Pipelines whose LoRAs became part of their weights since another model is mixed with them.
    """

    script: Script
    loaded: dict[str, Loaded] = field(default_factory=dict)
    alone: dict[str, str] = field(default_factory=dict)
    schedulers: dict[str, Any] = field(default_factory=dict)
    sampled: set[str] = field(default_factory=set)
    fused: set[str] = field(default_factory=set)

    def pipe(self, part: ModelPart, kind: str = COMPONENTS, nets: Sequence[ModelPart] = ()) -> str:
        """The variable of a pipeline of some kind, loaded now where it is not there yet.

        Args:
            part: The model.
            kind: Which pipeline class of the family.
            nets: ControlNets or T2I-Adapters that it has, too.
        """
        if part.base.key not in self.sampled:
            self.sampled.add(part.base.key)
            self.script.facts.parts[part.base.key] = part
        return self._pipe(part, kind, nets)

    def _pipe(self, part: ModelPart, kind: str = COMPONENTS, nets: Sequence[ModelPart] = ()) -> str:
        wanted = (kind, tuple(net_of(net) for net in nets))
        key = repr((part.base.key, part.patches, network_hooks(part), _adapters(part)))
        kinds = self.script.facts.kinds.setdefault(key, set())
        called = sorted(found for found in kinds if found[0] != COMPONENTS)
        kinds.add(wanted)
        if key not in self.loaded:
            first = called[0] if len(called) == 1 else ("text2img", ())
            self.loaded[key] = Loaded(part, {first: self._load(part, first)})
        found = self.loaded[key]
        if kind == COMPONENTS:
            return found.first
        if wanted not in found.variables:
            name = pipeline_class(part.base, kind)
            self.script.use("diffusers", name)
            hint = found.first.replace("pipe", kind.removesuffix("_text2img"))
            made = call(f"{name}.from_pipe", found.first, **self._nets(wanted), dtype="DTYPE")
            found.variables[wanted] = self.script.assign(hint, made)
        return found.variables[wanted]

    def _nets(self, kind: Kind) -> dict[str, Expression]:
        """The argument by which a pipeline gets its further networks."""
        name, nets = kind
        if not nets:
            return {}
        variables = [self._alone(net) for net in nets]
        argument = "adapter" if name.startswith("adapter") else "controlnet"
        return {argument: one_or_list(variables)}

    def any_pipe(self, base: Base) -> str:
        """The variable of any pipeline of a checkpoint, whatever its patches: they leave some parts alone."""
        sampled = self.script.facts.parts.get(base.key)
        if sampled is not None:
            return self._pipe(sampled)
        for found in self.loaded.values():
            if found.part.base.checkpoint == base.checkpoint:
                return found.first
        return self._pipe(ModelPart(base, "model"))

    def vae(self, part: ModelPart) -> str:
        """The expression of an autoencoder; of a model, that of its checkpoint."""
        if part.base.is_whole:
            self.use_vae(part.base, part.base)
            return f"{self.any_pipe(part.base)}.vae"
        return self.component(part)

    def use_vae(self, base: Base, owner: Base) -> bool:
        """Note that latents of a model go through an autoencoder; returns whether the model's pipeline has it.

        A pipeline is loaded with an autoencoder from a file of its own where it is the only one in use with it.
        """
        known = self.script.facts.vaes.setdefault(base.checkpoint, {})
        net = None if owner.is_whole else net_of(ModelPart(owner, "vae"))
        key = owner.checkpoint if net is None else net.key
        known[key] = net
        if net is not None and base.is_whole and _scale(base) != _scale(owner):
            known[base.checkpoint] = None
        return set(known) == {key} and (net is not None or key == base.checkpoint)

    def component(self, part: ModelPart) -> str:
        """The variable of a part that lies in a file of its own."""
        return self._alone(net_of(part))

    def _alone(self, net: Net, changed: str = "") -> str:
        key = net.key + changed
        if key not in self.alone:
            if net.made:
                if net.module:
                    self.script.use(net.module, net.made)
                self.script.need(net.function, *([] if net.module else [net.made]))
                options: dict[str, Expression] = dict(net.options)
                if net.converter:
                    self.script.use("diffusers.loaders.single_file_utils", net.converter)
                    options["convert"] = net.converter
                if net.names:
                    options["names"] = self.script.constant(f"{net.hint}_names", f'"""\n{net.names}\n"""')
                loading = call(net.function, net.made, net.path, dtype="DTYPE", **options).then(".to(DEVICE)")
            elif net.module:
                self.script.use(net.module, net.function.partition(".")[0])
                function, first = net.function, []
                if net.module == "transformers":
                    self.script.need("load_whole")
                    function, first = "load_whole", [net.function]
                loading = call(function, *first, net.path, dtype="DTYPE").then(".to(DEVICE)")
            else:
                self.script.need(net.function)
                loading = call(net.function, net.path, **dict(net.options)).then(".to(DEVICE, DTYPE)")
            self.alone[key] = self.script.assign(net.hint, loading)
        return self.alone[key]

    def set_scheduler(self, pipe: str, expression: Expression, attributes: Mapping[str, Expression]) -> None:
        """Give a pipeline a scheduler with attributes, unless it has it already."""
        if self.schedulers.get(pipe) != (expression, attributes):
            self.script.add(f"{pipe}.scheduler = ", expression)
            for name, value in attributes.items():
                self.script.add(f"{pipe}.scheduler.{name} = ", value)
            self.schedulers[pipe] = (expression, attributes)

    def _load(self, part: ModelPart, kind: Kind) -> str:
        base = part.base
        from_one, flow = base.is_whole and not base.apart, flow_of(base)
        if flow is not None and flow.holder and not from_one:
            name = flow.holder
        else:
            name = pipeline_class(base, "img2img" if base.refiner else kind[0])
        if name == PARTS:
            self.script.need(name)
        else:
            self.script.use("diffusers", name)
        options: dict[str, Expression] = (
            {argument: self._alone(net, _changes(part, argument)) for argument, net in base.alone}
            | self._nets(kind)
            | self._other_vae(base)
        )
        network = traits_of(base).network
        if not base.is_whole and not base.host and network in base.description.parts and network not in options:
            options[network] = self._alone(net_of(replace(part, part=network)))
        if part.pictures:
            options["image_encoder"] = self.component(part.pictures[0].encoder)
        if from_one:
            options |= {"dtype": "DTYPE", **self.checking(base)}
            made = call(f"{name}.{how_to_load(base)}", base.path, **options)
        else:
            made = call(name, **options, **self._assembled(base, options))
        variable = self.script.assign("refiner" if base.refiner else "pipe", made)
        self.script.place(variable)
        self.script.half = family_of(base).half
        if flow is not None and flow.adjusts and network in {*base.description.parts, *dict(base.alone)}:
            self.script.need(flow.adjusts)
            self.script.add(f"{flow.adjusts}({variable}.{network})")
        if base.options:
            changed = {option: literal(value) for option, value in base.options}
            self.script.add("", call(f"{variable}.scheduler.register_to_config", **changed))
        if ADAPTIVE in self.script.facts.helpers:
            self._attend_plainly(variable, base)
        self._change_weights(variable, part)
        for hook in network_hooks(part):
            self.script.need(hook.helper)
            self.script.add("", call(hook.helper, f"{variable}.unet", **dict(hook.arguments)))
        if part.pictures:
            self._load_ip_adapters(variable, base, [prompt.path for prompt in part.pictures])
        return variable

    def _attend_plainly(self, pipe: str, base: Base) -> None:
        """Have text encoders multiply matrices plainly, as graphflow and ComfyUI do: others differ in the last bits."""
        there = {"text_encoder", "text_encoder_2"} & (set(base.description.parts) | {name for name, _ in base.alone})
        self.script.add(f"# {ADAPTIVE} accepts steps by a threshold")
        for name in sorted(there):
            self.script.add(f'{pipe}.{name}.set_attn_implementation("eager")')

    def _other_vae(self, base: Base) -> dict[str, Expression]:
        """The autoencoder that takes the place of the checkpoint's own."""
        known = list(self.script.facts.vaes.get(base.checkpoint, {}).values())
        return {"vae": self._alone(known[0])} if len(known) == 1 and known[0] is not None else {}

    def _assembled(self, base: Base, given: Mapping[str, Expression]) -> dict[str, Expression]:
        """What a pipeline of parts from files of their own needs beside them."""
        found: dict[str, Expression] = {}
        for name, loader, path in base.tokenizers:
            if "." in loader:
                self.script.use("transformers", loader.partition(".")[0])
            else:
                self.script.need(loader)
            found[name] = call(loader, path)
        if flow_of(base) is not None:
            if not is_flow(base):
                return found
            self.script.use("diffusers", "FlowMatchEulerDiscreteScheduler")
            found["scheduler"] = call("FlowMatchEulerDiscreteScheduler")
            parts = text_parts(base)
            wanted = (
                traits_of(base).network,
                *parts,
                *(name.replace("text_encoder", "tokenizer") for name in parts),
                "vae",
            )
            return found | {name: "None" for name in wanted if name not in {*given, *found}}
        self.script.use("diffusers", "EulerDiscreteScheduler")
        config = {"beta_start": "0.00085", "beta_end": "0.012", "beta_schedule": '"scaled_linear"', "steps_offset": "1"}
        prediction = str(base.description.scheduler.get("prediction_type", "epsilon"))
        if prediction != "epsilon":
            config["prediction_type"] = quoted(prediction)
        found["scheduler"] = call("EulerDiscreteScheduler", **config)
        parts = text_parts(base)
        wanted = ("vae", *parts, *(name.replace("text_encoder", "tokenizer") for name in parts))
        found |= {name: "None" for name in wanted if name not in {*given, *found}}
        if traits_of(base).safety_checker:
            found |= {"safety_checker": "None", "feature_extractor": "None", "requires_safety_checker": "False"}
        return found

    def _load_ip_adapters(self, pipe: str, base: Base, paths: Sequence[str]) -> None:
        folders, names = [f"{path}.parent" for path in paths], [f"{path}.name" for path in paths]
        options: dict[str, Expression] = {"subfolder": '""', "weight_name": one_or_list(names)}
        if flow_of(base) is None:
            options["image_encoder_folder"] = "None"
        self.script.add("", call(f"{pipe}.load_ip_adapter", one_or_list(folders), **options))
        self.script.need("check_ip_adapters")
        self.script.add("", call("check_ip_adapters", f"{pipe}.{traits_of(base).network}", *paths))

    def checking(self, base: Base) -> dict[str, Expression]:
        """Arguments that leave out an unused safety checker, or give one the image processor that its folder lacks."""
        checker, path = base.description.parts.get("safety_checker"), base.description.path
        if checker is None:
            return {}
        if base.checkpoint not in self.script.facts.checked:
            return {"safety_checker": "None"}
        if path is None or not path.is_dir() or (path / "feature_extractor").is_dir():
            return {}
        vision = checker.config.get("vision_config")
        size = str(vision.get("image_size", 224)) if isinstance(vision, dict) else "224"
        self.script.use("transformers", "CLIPImageProcessor")
        edges: dict[str, Expression] = {"size": mapped({"shortest_edge": size}), "crop_size": size}
        return {"feature_extractor": call("CLIPImageProcessor", **edges)}

    def _change_weights(self, pipe: str, part: ModelPart) -> None:
        """Change a pipeline's weights, in order: LoRAs that follow each other are loaded together."""
        rounded = next((patch.rounded for patch in part.patches if patch.rounded and patch.has_text), "")
        waiting: list[Patch] = []
        for patch in part.patches:
            if isinstance(patch, Patch):
                waiting.append(patch)
                continue
            if waiting:
                self._load_loras(pipe, part.base, waiting, fused=True)
                waiting = []
            self._change(pipe, patch, part.base)
        if waiting:
            self._load_loras(pipe, part.base, waiting, fused=bool(rounded))
        if rounded:
            self.script.need("round_weights")
            self.script.add(f"round_weights({pipe}.text_encoder, {rounded})")

    def _change(self, pipe: str, change: Change, base: Base) -> None:
        """Write a change of weights."""
        self.script.need(change.helper)
        pipes = [pipe, *([self._other(change.other)] if change.other else [])]
        for name in text_parts(base) if change.has_text and not change.alone else (change.part,):
            modules = [f"{variable}.{name}" for variable in pipes]
            self.script.add("", call(change.helper, *modules, **dict(change.arguments)))

    def _other(self, part: ModelPart) -> str:
        """The variable of a pipeline whose weights are read, LoRAs and all."""
        pipe = self.pipe(part)
        live = part.patches and isinstance(part.patches[-1], Patch) and not any(patch.rounded for patch in part.patches)
        if live and pipe not in self.fused:
            self.fused.add(pipe)
            self._fuse(pipe)
        return pipe

    def _fuse(self, pipe: str) -> None:
        self.script.add(f"{pipe}.fuse_lora()")
        self.script.add(f"{pipe}.unload_lora_weights()")

    def _load_loras(self, pipe: str, base: Base, patches: Sequence[Patch], *, fused: bool = False) -> None:
        """Put LoRAs on a pipeline's parts, each with its own strength; for good where ``fused``."""
        names, strengths = [], []
        for index, patch in enumerate(patches, 1):
            name = quoted(f"lora_{index}")
            if patch.renamed:
                self.script.need("load_lora")
                loading = call("load_lora", pipe, patch.path, name)
            else:
                place: dict[str, Expression] = {"weight_name": f"{patch.path}.name", "adapter_name": name}
                loading = call(f"{pipe}.load_lora_weights", f"{patch.path}.parent", **place)
            self.script.add("", loading)
            names.append(name)
            alike = not patch.has_text or patch.text_strength == patch.strength
            each = {traits_of(base).network: patch.strength, **dict.fromkeys(text_parts(base), patch.text_strength)}
            strengths.append(patch.strength if alike else mapped(each))
        self.script.add("", call(f"{pipe}.set_adapters", listed(names), listed(strengths)))
        if fused:
            self._fuse(pipe)

    def text_pipe(self, encoder: ModelPart) -> str:
        """The variable of a pipeline whose text encoders have just these LoRAs."""
        wanted = text_patches(encoder.patches)
        for found in self.loaded.values():
            if found.part.base.key == encoder.base.key and text_patches(found.part.patches) == wanted:
                return found.first
        sampled = self.script.facts.parts.get(encoder.base.key)
        if sampled and text_patches(sampled.patches) == wanted:
            return self._pipe(sampled)
        return self._pipe(ModelPart(encoder.base, "model", encoder.patches))


def _changes(part: ModelPart, argument: str) -> str:
    """What tells a part of a pipeline whose weights the script changes itself from the same without these changes."""
    changes = [patch for patch in part.patches if isinstance(patch, Change) and patch.part == argument]
    return repr(changes) if changes else ""


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


def _scale(base: Base) -> object:
    """What latents are multiplied with."""
    part = base.description.parts.get("vae")
    return part.config.get("scaling_factor") if part is not None else None


def _adapters(part: ModelPart) -> tuple[tuple[str, str], ...]:
    """What tells the IP-Adapters of a model from others."""
    return tuple((prompt.path, prompt.encoder.base.key) for prompt in part.pictures)


def one_or_list(parts: Sequence[Expression]) -> Expression:
    """One expression as it is, several as a list."""
    return parts[0] if len(parts) == 1 else listed(parts)
