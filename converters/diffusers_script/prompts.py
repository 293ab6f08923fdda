"""How prompts are encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphflow.modelfiles.description import Config
from graphflow.modelfiles.families import variant_named
from graphflow.modelfiles.scripts import FlowScripts, FlowSteering

from .conditionings import TOLD, Conditioning, Control, Entry
from .families import family_of, flow_of, steering_of, traits_of
from .flows import described_network, space_of
from .handles import Sampling
from .layout import Expression, Items, call, flat, listed, literal, mapped, quoted
from .loading import Loader
from .models import ModelPart
from .nets import autoencoder_functions, described
from .script import Script, UnsupportedError


@dataclass(frozen=True)
class Prompts:
    """Writes what encodes prompts.

    Attributes:
        script: Where to.
        loader: Where text encoders come from.
    """

    script: Script
    loader: Loader

    def for_call(self, sampling: Sampling) -> dict[str, Expression]:
        """Prompts as a pipeline call takes them: texts, or embeddings where weights or a layer ask for them."""
        sides = {"prompt": sampling.positive}
        if sampling.negative is not None:
            sides["negative_prompt"] = sampling.negative
        if all(side.entries[0].plain for side in sides.values()):
            texts: dict[str, Expression] = {
                name: side.entries[0].text_l or side.entries[0].text for name, side in sides.items()
            }
            return texts | {f"{name}_2": side.entries[0].text for name, side in sides.items() if side.entries[0].text_l}
        variables = [self.encoded(side, in_parts=True) for side in sides.values()]
        embeds = [f'{variable}["embeds"]' for variable in variables]
        if len(sides) > 1 and not all(side.entries[0].one_chunk for side in sides.values()):
            self.script.need("same_length")
            made = call("same_length", *embeds)
            embeds = [self.script.name(f"{name}_embeds") for name in sides]
            self.script.add(f"{', '.join(embeds)} = ", made)
        found: dict[str, Expression] = {}
        for name, variable, embedded in zip(sides, variables, embeds, strict=True):
            found[f"{name}_embeds"] = embedded
            if traits_of(sampling.model.base).pooled:
                pooled = "pooled_prompt_embeds" if name == "prompt" else "negative_pooled_prompt_embeds"
                found[pooled] = f'{variable}["pooled"]'
        return found

    def encoded(
        self,
        conditioning: Conditioning,
        *,
        in_parts: bool = False,
        regional: bool = False,
        model: ModelPart | None = None,
        latents: str = "",
    ) -> str:
        """The expression of a conditioning as a denoiser reads it: one prompt, or a list of them with settings."""
        if not regional:
            first = conditioning.entries[0]
            if TOLD & set(dict(first.settings)):
                return flat(self._with_settings(first, model))
            return self.entry(first, in_parts=in_parts)
        rows = [self._with_settings(entry, model, latents) for entry in conditioning.entries]
        return self.script.assign("prompts", listed(rows))

    def _with_settings(self, entry: Entry, model: ModelPart | None, latents: str = "") -> Expression:
        settings = self._told(entry, self._placed(entry), model)
        if entry.controls:
            steering = steering_of(entry.encoder.base if model is None else model.base)
            if steering is None:
                settings["controls"] = listed(self._control(control) for control in entry.controls)
            else:
                settings["controls"] = listed(self._steering(control, steering, latents) for control in entry.controls)
                settings["steer"] = self._steered_by(entry.controls, steering)
        variable = self.entry(entry)
        if not settings:
            return variable
        items = [("", f"**{variable}"), *((f"{quoted(name)}: ", shown) for name, shown in settings.items())]
        return Items("{", tuple(items), "}")

    def _told(self, entry: Entry, settings: dict[str, Any], model: ModelPart | None) -> dict[str, Expression]:
        """Settings as a flow model's function reads them; others read none of these."""
        told = {name: settings.pop(name) for name in TOLD & set(settings)}
        flow = flow_of(entry.encoder.base)
        if flow is None or model is None:
            return settings
        if "biased" in told and not flow.attends:
            raise UnsupportedError(
                "models of its family have no attention that a picture's strength changes in scripts"
            )
        if flow.guides and "guidance" in told:
            settings["guidance"] = told["guidance"]
        if "references" in told:
            known = flow.references(described_network(model))
            method = told.get("method") or next(iter(known), "")
            if method not in known:
                raise UnsupportedError(
                    f"models of its family tell reference pictures apart by {', '.join(known)}, not by {method!r}"
                    if known
                    else "models of its family look at no reference pictures"
                )
            settings["references"] = listed(told["references"])
            if known[method]:
                self.script.need(known[method])
                settings["arrange"] = known[method]
        settings |= {name: told[name] for name in flow.extras if name in told}
        if "picture" in told and flow.channels and described_network(model).task != "generate":
            self.script.need(flow.channels)
            seen = f"{space_of(self.script, model)}.enter({told['picture']})"
            settings["beside"] = call(flow.channels, seen, *([told["hole"]] if "hole" in told else []))
        return settings

    def _placed(self, entry: Entry) -> dict[str, Expression]:
        """Settings of a prompt with functions for where and how strongly it acts."""
        settings = dict(entry.settings)
        area, unit = settings.pop("area", None), settings.pop("unit", None)
        mask, bounds = settings.pop("mask", None), settings.pop("bounds", False)
        strength = settings.pop("mask_strength", "1.0")
        placed: dict[str, Expression] = {}
        if area is not None:
            helper = f"{unit.removesuffix('s')}_area"
            self.script.need(helper)
            edge = family_of(entry.encoder.base).latent.downscale
            scale = (("", str(edge)),) if helper == "pixel_area" and edge != 8 else ()
            placed["area"] = replace(area, opening=f"{helper}(", items=(*area.items, *scale))
        elif mask and bounds:
            self.script.need("mask_area")
            placed["area"] = call("mask_area", mask)
        if mask:
            self.script.need("masked")
            placed["weight"] = call("masked", mask, *([] if strength == "1.0" else [strength]))
        if settings.get("strength") == "1.0":
            del settings["strength"]
        return placed | settings

    def _control(self, control: Control) -> Expression:
        found: dict[str, Expression] = {"net": self.loader.component(control.net)}
        if control.net.mode is not None:
            found["mode"] = str(control.net.mode)
        return mapped(found | {name: getattr(control, name) for name in ("image", "strength", "start", "end")})

    def _steered_by(self, controls: Sequence[Control], steering: FlowSteering) -> str:
        """The function by which ControlNets steer."""
        (function, *others) = dict.fromkeys(steering.nets[described(control.net).class_name][1] for control in controls)
        if others:
            raise UnsupportedError("scripts steer a prompt by ControlNets of one kind")
        self.script.need(function)
        return function

    def _steering(self, control: Control, steering: FlowSteering, latents: str) -> Expression:
        """A ControlNet of a flow model, with what it reads of its picture."""
        base = control.net.base
        part, flow = base.description.parts.get("controlnet"), flow_of(base)
        if part is None or flow is None or part.class_name not in steering.nets:
            raise UnsupportedError("its ControlNet was made for another family")
        key = ("hint", repr(control), latents)
        if key not in self.script.written:
            net = self.loader.component(control.net)
            built = steering.built(part.class_name, part.config)
            if flow.adjusts and not built and ("adjusts", net) not in self.script.written:
                self.script.need(flow.adjusts)
                self.script.add(f"{flow.adjusts}({net})")
                self.script.written["adjusts", net] = net
            if steering.pixels(part.config):
                self.script.need("hint_pixels")
                seen: Expression = call("hint_pixels", control.image, latents).then(" * 2 - 1")
            else:
                seen = self._hint_latents(control, steering, part.config, latents)
            hint = steering.nets[part.class_name][0]
            self.script.need(hint)
            self.script.written[key] = net, self.script.assign("hint", call(hint, net, seen))
        net, hint = self.script.written[key]
        found: dict[str, Expression] = {"net": net, "picture": hint}
        if control.net.mode is not None:
            found["mode"] = str(control.net.mode)
        return mapped(found | {name: getattr(control, name) for name in ("strength", "start", "end")})

    def _hint_latents(self, control: Control, steering: FlowSteering, config: Config, latents: str) -> Items:
        if control.vae is None:
            raise UnsupportedError("its ControlNet reads its picture as latents, and nothing encodes it")
        function = (autoencoder_functions(control.vae) or ("",))[0]
        if not function:
            raise UnsupportedError(
                "its ControlNet reads latents of the model's family, and the autoencoder is another's"
            )
        channels, own = steering.filled(config), family_of(control.net.base).latent.channels
        if control.hole and not steering.marked(config) and channels <= own:
            raise UnsupportedError("its ControlNet was made for whole pictures, and a part of this one is masked")
        space = space_of(self.script, control.net, unshifted=steering.unshifted(config))
        taken = [function, self.loader.vae(control.vae), space, control.image, latents]
        helper = "hint_latents"
        if control.hole and not steering.marked(config):
            helper, taken = "filling_hint_latents", [*taken, str(channels), str(own)]
        elif steering.marked(config):
            helper = "marked_hint_latents"
        self.script.need(helper, function)
        return call(helper, *taken)

    def entry(self, entry: Entry, *, in_parts: bool = False) -> str:
        """The variable of an encoded prompt, written once."""
        entry = replace(entry, settings=(), controls=())
        key = ("entry", repr(entry), in_parts)
        if key not in self.script.written:
            self.script.written[key] = self._entry(entry, in_parts)
        return str(self.script.written[key])

    def _entry(self, entry: Entry, in_parts: bool) -> str:
        if entry.edits:
            (helper, arguments), before = entry.edits[-1], replace(entry, edits=entry.edits[:-1])
            self.script.need(helper)
            shown = [self._argument(item, in_parts) for item in arguments]
            return self.script.assign(entry.node, call(helper, self.entry(before, in_parts=in_parts), *shown))
        if entry.variable:
            return entry.variable
        pipe = self.loader.text_pipe(entry.encoder)
        flow = flow_of(entry.encoder.base)
        own = traits_of(entry.encoder.base).suffix
        suffix = f"_{own}" if own else ""
        if flow is not None:
            return self._flow_entry(entry, pipe, flow)
        if entry.plain and not in_parts:
            name = f"encode_prompt{suffix}"
            self.script.need(name)
            texts = [entry.text_l, entry.text] if entry.text_l else [entry.text]
            return self.script.assign(entry.node, call(name, pipe, *texts))
        name = f"encode_weighted{suffix}"
        self.script.need(name)
        layer = _layer(entry.encoder)
        options: dict[str, Expression] = {} if layer is None else {"layer": str(layer)}
        options |= {"parts_l": entry.parts_l} if entry.parts_l else {}
        return self.script.assign(entry.node, call(name, pipe, entry.parts, **options))

    def _argument(self, item: Any, in_parts: bool) -> Expression:
        """What a change of an embedding reads: another prompt, a network, or an expression."""
        if isinstance(item, ModelPart):
            return self.loader.component(item)
        return self.entry(item, in_parts=in_parts) if isinstance(item, Entry) else item

    def _flow_entry(self, entry: Entry, pipe: str, flow: FlowScripts) -> str:
        encoder = entry.encoder
        encoders = (*dict(encoder.base.encoders).values(), *encoder.base.description.parts.values())
        classes = [part.class_name for part in encoders if part.name.startswith("text_encoder")]
        options = {name: literal(value) for name, value in flow.options(next(iter(classes), "")).items()}
        if encoder.layer is not None:
            if not flow.layer:
                raise UnsupportedError("scripts read the usual layer of this family's text encoder only")
            options[flow.layer] = str(encoder.layer)
        wanted = {flow.builds[name] for name in classes if name in flow.builds}
        if not wanted <= {net.made for _, net in encoder.base.alone}:
            raise UnsupportedError("scripts read this family's text encoder from a file of its own")
        options |= {**dict(entry.further), **dict(encoder.length)}
        self.script.need(flow.encode)
        return self.script.assign(entry.node, call(flow.encode, pipe, entry.parts, **options))


def _layer(encoder: ModelPart) -> int | None:
    """The hidden layer to read where it is not the family's own, counted without those that are left out of the model."""
    if encoder.layer is None:
        return None
    variant = variant_named(encoder.base.description.variant)
    dropped = variant.dropped_layers if variant is not None else 0
    return min(encoder.layer + dropped, -1) if dropped else encoder.layer
