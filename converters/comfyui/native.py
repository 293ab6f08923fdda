"""A flat prompt to a native document, rule by rule, with a report of what became of every node."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

from graphflow.document.document import Document, NodeEntry, split_address
from graphflow.document.published import source_of
from graphflow.errors import ConversionError
from graphflow.execution.filenames import NOT_IN_NAMES, TOKEN
from graphflow.limits import LIMITS
from graphflow.nodes.output.comfyui_prompt import origin
from graphflow.spec.registry import Registry, installed

from . import catalogue
from .app_mode import AppInput
from .building import NOTHING, Builder, Const, Fused, Lost, MissingError, Ref, RefusedError, Source, Value
from .controls import drop_unused_sides, mirror_controls
from .core_version import STEP_NOISE
from .exposed import exposed_inputs
from .fields import quote
from .loops import unrolled
from .models import named_models
from .notes import Note
from .packs import pack_of
from .prompt import Flattened
from .prompt_text import FilledName
from .pruning import link_of, ordered
from .report import Entry, Report, Verdict
from .rules import RULES
from .rules.common import PREFIX, PREFIX_LENGTH
from .rules.hooks import carrying
from .rules.needs import need_of
from .rules.rule import AnyRule, Convert, Input, Rule
from .without import Bypass

_COSMETIC = frozenset(
    {
        "upload", "image_upload", "choose file to upload", "control_after_generate", "control_before_generate",
        "speak_and_recognation", "preview", "unique_id", "extra_pnginfo", "prompt_info", "video-preview", "ui",
        "audioUI", "info", "Value",
    }
)  # fmt: skip
"""Inputs that the front end leaves in files and no node reads."""


_SAMPLED = {
    "empty_latent": ("width", "height"),
    "upscale_latent": ("width", "height"),
    "crop_latent": ("width", "height", "x", "y"),
    "composite_latents": ("x", "y"),
    "empty_video_latent": ("width", "height"),
    "set_conditioning_area": ("width", "height", "x", "y"),
}
"""Inputs in pixels that count in whole latent samples, by native type."""


@dataclass(frozen=True)
class Imported:
    """A native document and what became of each node.

    Attributes:
        document: The document; where the report is not complete, what is not supported is missing in it.
        report: What became of every node.
        addresses: Native address of each ComfyUI output that has one, by node id and slot.
    """

    document: Document
    report: Report
    addresses: Mapping[tuple[str, int], str] = field(default_factory=dict)

    def require(self) -> Document:
        """Return the document.

        Raises:
            ConversionError: A node on a path to an output is not supported; the error lists all of them.
        """
        missing = self.report.unsupported
        if not missing:
            return self.document
        lines = [_missing_line(entry) for entry in missing[:40]]
        more = [f"and {len(missing) - 40} more"] if len(missing) > 40 else []
        count = (
            "one node that an output needs is" if len(missing) == 1 else f"{len(missing)} nodes that outputs need are"
        )
        raise ConversionError(
            "\n  ".join([f"{count} not supported:", *lines, *more]),
            where="ComfyUI workflow",
            advice="replace or bypass what is not supported in ComfyUI, or add a node pack for it;"
            " `graphflow import FILE --report` says what each takes and gives",
        )


def to_native(flattened: Flattened, *, registry: Registry | None = None, name: str | None = None) -> Imported:
    """Turn a flat prompt into a native document.

    Args:
        flattened: What :func:`to_prompt` gave.
        registry: The native node types; the installed ones by default.
        name: A name for the document.

    Raises:
        ConversionError: The links of nodes that run go round in a circle, or nothing is there to run.
    """
    return _Importer(flattened, installed() if registry is None else registry).run(name)


_NAMED = 20
"""How many unknown types a message names."""
_REPLACED = "replace it in ComfyUI, or write a node pack that has it (docs/node_packs.md)"


class _Importer:
    """One import."""

    def __init__(self, flattened: Flattened, registry: Registry) -> None:
        self._flattened = flattened
        self._builder = Builder(registry)
        self._values: dict[str, list[Value]] = {}
        self._entries: dict[str, Entry] = {}
        self._doubts: dict[str, list[str]] = {}
        self._outputs = flattened.outputs
        for note in flattened.problems:
            self._doubts.setdefault(note.node, []).append(note.message)

    def run(self, name: str | None) -> Imported:
        loops = unrolled(self._flattened.live, self._flattened.outputs)
        live, self._outputs = loops.prompt, loops.outputs
        if not self._flattened.prompt:
            raise ConversionError(
                "the workflow has no node that runs",
                where="ComfyUI workflow",
                advice="check whether it was saved empty, or with everything muted or bypassed",
            )
        if not live:
            types = {str(node["class_type"]).strip() for node in self._flattened.prompt.values()}
            unknown = ", ".join(quote(type) for type in sorted(types - set(RULES))[:_NAMED])
            advice = (
                f"add a SaveImage; nobody knows here what these nodes do: {unknown}" if unknown else "add a SaveImage"
            )
            raise ConversionError(
                "no node of the workflow saves or shows anything", where="ComfyUI workflow", advice=advice
            )
        if len(live) > LIMITS.imported:
            raise ConversionError(f"more than {LIMITS.imported:,} nodes run", where="ComfyUI workflow")
        for id in ordered(live):
            self._translate(id, live[id])
        if () < self._flattened.core_version < STEP_NOISE:
            for made in self._builder.nodes.values():
                if "step_noise" in made.params:
                    made.params["step_noise"] = "seed"
        self._show_results()
        drop_unused_sides(self._builder)
        for id, remark in mirror_controls(self._builder).items():
            entry = self._entries[id]
            self._entries[id] = replace(entry, verdict=Verdict.APPROXIMATE, remarks=(*entry.remarks, remark))
        if not self._builder.nodes and not any(e.verdict is Verdict.UNSUPPORTED for e in self._entries.values()):
            raise ConversionError(
                "every node that saves or shows something lacks its input",
                where="ComfyUI workflow",
                advice="link it, or switch on the nodes that feed it",
            )
        for id, node in self._flattened.prompt.items():
            if id in loops.told:
                self._entries[id] = self._unrolled(id, node, loops.told[id])
            elif id not in self._entries:
                self._entries[id] = self._dead(id, node)
        for id, first in loops.copies.items():
            if id in self._entries and self._entries[id].verdict is Verdict.UNSUPPORTED:
                self._entries[first] = replace(self._entries[id], id=first)
        document = Document(name=name, nodes=self._builder.nodes)
        self._let_names_follow(document)
        told = origin(document.to_json(), self._flattened.prompt, self._builder.direct, self._flattened.drawn)
        named = dict.fromkeys(name for _, name, _ in named_models(document, self._builder.registry))
        sources = [source_of(name, self._flattened.models) for name in named]
        models = [entry.to_json() for entry in dict.fromkeys(sources) if entry is not None]
        document = document.model_copy(update={"meta": {"comfyui": told, **({"models": models} if models else {})}})
        shown = [(app, self._places(app)) for app in self._flattened.app]
        document = document.model_copy(update={"inputs": exposed_inputs(document, self._builder.registry, shown)})
        report = Report(
            entries=tuple(self._entries[id] for id in self._flattened.prompt),
            format=self._flattened.format,
            container=self._flattened.container,
            notes=(*self._flattened.notes, *(_unshown(app) for app, places in shown if not places)),
            problems=tuple(
                note
                for note in self._flattened.problems
                if note.node in live or note.node not in self._flattened.prompt
            ),
        )
        addresses = {
            (id, slot): value.address
            for id, values in self._values.items()
            for slot, value in enumerate(values)
            if isinstance(value, Ref)
        }
        return Imported(document, report, addresses)

    def _places(self, shown: AppInput) -> list[str]:
        """Return the native literals that a widget of app mode became: those made of it, else the only one of its value."""
        found: list[str] = []
        for id, name in shown.places:
            made = [place for place, there in self._builder.direct.items() if there == (id, name)]
            if not made and id in self._flattened.prompt:
                prompted = self._flattened.prompt[id]
                value, rule = prompted["inputs"].get(name), RULES.get(prompted["class_type"])
                natives = (
                    {item.native for item in rule.parsed if item.comfy == name} if isinstance(rule, Rule) else set()
                )
                made = [
                    f"{one}.{param}"
                    for one, entry in self._builder.nodes.items()
                    if id in origins(entry)
                    for param, own in entry.params.items()
                    if param in natives or (not natives and _same(own, value))
                ]
                made = made if len(made) == 1 else []
            found += made
        return found

    def _let_names_follow(self, document: Document) -> None:
        """Put native tokens into file names that follow widgets, where these became literals as they are."""
        places = {there: place for place, there in self._builder.direct.items()}

        def follow(name: FilledName) -> str:
            def fill(match: re.Match[str]) -> str:
                if match[0] not in name.tokens:
                    return match[0]
                node, widget, value = name.tokens[match[0]]
                place = places.get((node, widget))
                return f"%{place}%" if place is not None else NOT_IN_NAMES.sub("_", value)

            return TOKEN.sub(fill, name.text)

        for entry in document.nodes.values():
            names = [self._flattened.names[id] for id in origins(entry) if id in self._flattened.names]
            if len(names) == 1 and "filename_prefix" in entry.params:
                entry.params["filename_prefix"] = PREFIX.to_native(follow(names[0]))

    def _translate(self, id: str, node: Mapping[str, Any]) -> None:
        rule = RULES.get(node["class_type"]) or RULES.get(node["class_type"].strip())
        source = self._source(id, node, rule)
        if rule is None:
            need = need_of(source.type)
            self._refuse(source, rule, f"needs {need.says}" if need is not None else "no native node does this")
            return
        self._builder.begin()
        try:
            values = translated(rule, self._builder, source)
            self._check_left(source)
            source.notes.extend(self._rounded())
        except RefusedError as reason:
            self._builder.undo()
            if isinstance(reason, MissingError) and id in self._outputs:
                self._leave_out(source, str(reason))
                return
            self._refuse(source, rule, str(reason))
            return
        self._values[id] = values
        remarks = ([rule.differs] if rule.differs else []) + source.remarks + self._doubts.get(id, [])
        types = [self._builder.nodes[made].type for made in self._builder.current]
        waits, way_out = self._waits()
        self._entries[id] = Entry(
            id=id,
            type=source.type,
            title=source.title,
            verdict=Verdict.APPROXIMATE if remarks else Verdict.EXACT,
            live=True,
            native=tuple(dict.fromkeys(types)),
            remarks=(*remarks, *source.notes),
            pack=self._pack(id, source.type, rule),
            waits=waits,
            recorded=source.type in catalogue.recorded(),
            to_do=way_out,
        )

    def _rounded(self) -> list[str]:
        """Say which edges and places, in pixels, are no whole number of latent samples."""
        cut: list[str] = []
        for id in self._builder.current:
            entry = self._builder.nodes[id]
            downscale = entry.params.get("downscale", 8)
            if entry.params.get("unit") == "fraction":
                continue
            for name in _SAMPLED.get(entry.type, ()):
                value, link = entry.params.get(name), entry.links.get(name)
                if isinstance(link, str):
                    value = _constant(self._builder, Ref(split_address(link)[0]))
                if isinstance(value, int | float) and isinstance(downscale, int) and value % downscale:
                    cut.append(f"{name} {value:g} to {value - value % downscale:g}")
        return [f"rounded down as ComfyUI does: {', '.join(cut)}"] if cut else []

    def _show_results(self) -> None:
        """Preview the pictures of what is taken for outputs where nothing saves or shows: samplers of packs show theirs."""
        specs = (self._builder.spec(entry.type) for entry in self._builder.nodes.values())
        if any(spec.effect for spec in specs):
            return
        for id in self._outputs:
            for slot, value in enumerate(self._values.get(id, ())):
                if isinstance(value, Ref) and self._builder.type_of(value).name == "image":
                    source = Source(id, self._entries[id].type, self._entries[id].title, {})
                    shown = {"images": value, "max_edge": 2048}
                    self._builder.add(source, "preview", shown, suffix=f"preview-{slot}")

    def _waits(self) -> tuple[str, str]:
        """Return what has to be built before the nodes just made run, and the way out; empty where they run."""
        for entry in (self._builder.nodes[id] for id in self._builder.current):
            spec = self._builder.spec(entry.type)
            if (waits := spec.waiting(entry.params, entry.links)) is not None:
                return waits, spec.refusal(waits)[1]
        return "", ""

    def _source(self, id: str, node: Mapping[str, Any], rule: AnyRule | None) -> Source:
        inputs: dict[str, Value] = {}
        for name, raw in node["inputs"].items():
            link = link_of(raw)
            if link is not None:
                inputs[name] = self._behind(*link)
            else:
                literal = raw["__value__"] if isinstance(raw, dict) and set(raw) == {"__value__"} else raw
                inputs[name] = None if literal is None else Const(literal)
        title = str(node.get("_meta", {}).get("title") or node["class_type"])[:500]
        defaults = _core_defaults(node["class_type"])
        if isinstance(rule, Rule):
            defaults = {**rule.defaults, **defaults}
        return Source(id, node["class_type"], title, inputs, defaults)

    def _behind(self, id: str, slot: int) -> Value:
        values = self._values.get(id)
        if values is None:
            return Lost()
        value = values[slot] if slot < len(values) else None
        return Fused(f"output {slot} of {self._entries[id].type}", {}) if value is None else value

    def _check_left(self, source: Source) -> None:
        """Say which inputs had no effect.

        Raises:
            RefusedError: One of them is a link, so that a part of the graph would silently be missing.
        """
        for name, value in source.inputs.items():
            if name in source.used or value is None or name in _COSMETIC:
                continue
            if not isinstance(value, Const):
                raise RefusedError(f"its input {quote(name)} is linked, and has no native counterpart")
            if source.defaults.get(name) != value.value and value.value not in ("", False, None):
                source.remark(f"{quote(name, 40)[1:-1]} = {quote(value.value, 40)} has no effect here")

    def _refuse(self, source: Source, rule: AnyRule | None, reason: str) -> None:
        self._entries[source.id] = Entry(
            id=source.id,
            type=source.type,
            title=source.title,
            verdict=Verdict.UNSUPPORTED,
            live=True,
            remarks=(reason,),
            pack=self._pack(source.id, source.type, rule),
            provides="; ".join([_provides(source, self._flattened.live), *self._doubts.get(source.id, [])]),
            to_do=self._way_out(source.type),
        )

    def _way_out(self, type: str) -> str:
        """Say what to do about a node that is not supported: do without it, where something stands for what it gives."""
        need = need_of(type)
        replaced = "replace it in ComfyUI" if need is not None and need.kind == "service" else _REPLACED
        offer = self._bypass.offer(type)
        return f"--without {shlex.quote(type)} {offer}; else {replaced}" if offer else replaced

    @cached_property
    def _bypass(self) -> Bypass:
        return Bypass(self._flattened)

    def _leave_out(self, source: Source, reason: str) -> None:
        """Do without a node that saves or shows and has nothing to, as ComfyUI does."""
        self._values[source.id] = []
        remark = f"{reason}; it is left out, as ComfyUI does"
        self._entries[source.id] = Entry(
            source.id, source.type, source.title, Verdict.APPROXIMATE, live=True, remarks=(remark,)
        )

    def _dead(self, id: str, node: Mapping[str, Any]) -> Entry:
        type = node["class_type"]
        rule = RULES.get(type) or RULES.get(type.strip())
        return Entry(
            id=id,
            type=type,
            title=str(node.get("_meta", {}).get("title") or type)[:500],
            verdict=Verdict.UNSUPPORTED if rule is None else Verdict.EXACT,
            live=False,
            remarks=("no output needs it, so it is left out",),
            pack=self._pack(id, type, rule),
        )

    def _unrolled(self, id: str, node: Mapping[str, Any], remark: str) -> Entry:
        title = str(node.get("_meta", {}).get("title") or node["class_type"])[:500]
        return Entry(id, node["class_type"], title, Verdict.EXACT, live=True, remarks=(remark,))

    def _pack(self, id: str, type: str, rule: AnyRule | None) -> str:
        return self._flattened.packs.get(id) or (rule.pack if rule is not None else "") or pack_of(type)


def _unshown(app: AppInput) -> Note:
    return Note(
        app.node, app.widget, "app-mode", "app mode shows it, and no literal of the native workflow stands for it"
    )


def origins(entry: NodeEntry) -> Sequence[str]:
    """Return the ids of the ComfyUI nodes that a native node stands for."""
    told: Any = (entry.meta or {}).get("comfyui", {})
    return cast("Sequence[str]", told.get("ids", ()))


def translated(rule: AnyRule, builder: Builder, source: Source) -> list[Value]:
    """Make the native nodes of a ComfyUI node; return what stands at each of its output slots.

    Raises:
        RefusedError: It cannot be said in native nodes.
    """

    def make() -> list[Value]:
        return apply(rule, builder, source) if isinstance(rule, Rule) else rule.make(builder, source)

    return carrying(builder, source, make)


def apply(rule: Rule, builder: Builder, source: Source) -> list[Value]:
    """Make the native node of a declarative rule, and return what stands at each output slot.

    Raises:
        RefusedError: An input has a value that the native node does not take.
    """
    spec = builder.spec(rule.native)
    inputs: dict[str, Any] = {name: Const(value) for name, value in rule.fixed.items()}
    source.used |= rule.unused
    for name, remark in rule.dropped.items():
        if source.get(name) is not None:
            source.remark(remark)
    for item in rule.parsed:
        value = _changed(source, item, rule)
        if item.many:
            if value is not None:
                inputs.setdefault(item.native, []).append(value)
            continue
        target = spec.inputs.get(item.native)
        lacking = source.inputs.get(item.comfy) is None
        if lacking and target is not None and isinstance(value, Const) and _same(value.value, target.default):
            continue
        if value is not None or item.native not in inputs:  # two inputs may stand for one, from two versions
            inputs[item.native] = value
    ref = builder.add(source, rule.native, inputs)
    for item in rule.parsed:
        given = isinstance(source.inputs.get(item.comfy), Const) and item.native in builder.nodes[ref.node].params
        if given and item.comfy not in rule.values:
            builder.direct[f"{ref.node}.{item.native}"] = (source.id, item.comfy)
    constant = _constant(builder, ref) if spec.fold else NOTHING
    if rule.passes:
        return [source.get(rule.passes)]
    if not rule.slots:
        return [replace(ref, constant=constant)] if spec.outputs and not spec.effect else []
    return [None if name is None else builder.ref(ref.node, name) for name in rule.slots]


def _changed(source: Source, item: Input, rule: Rule) -> Value:
    value = source.get(item.comfy)
    change = rule.values.get(item.comfy)
    if change is None or value is None or isinstance(value, Lost):
        return value
    literal = source.literal(item.comfy)
    if change is PREFIX and len(str(literal)) > PREFIX_LENGTH:
        source.remark(f"{item.comfy} is cut to its last {PREFIX_LENGTH} characters")
    if isinstance(change, Convert):
        try:
            return Const(change.to_native(literal))
        except (ValueError, TypeError) as error:
            raise RefusedError(f"{item.comfy} cannot be {quote(literal)}") from error
    try:
        return Const(change.get(literal, literal))
    except TypeError as error:
        raise RefusedError(f"{item.comfy} cannot be {quote(literal)}") from error


def _constant(builder: Builder, ref: Ref) -> Any:
    """Return the value of a node that only gives one literal to others."""
    entry = builder.nodes[ref.node]
    values = list(entry.params.values())
    return values[0] if len(values) == 1 and not entry.links else NOTHING


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


def _core_defaults(type: str) -> Mapping[str, Any]:
    interface = catalogue.find(type)
    if interface is None:
        return {}
    defaults: dict[str, Any] = {}
    for name, spec in interface.inputs.items():
        if not spec.widget:
            continue
        if "default" in spec.details:
            defaults[name] = spec.details["default"]
        elif spec.type == "COMBO" and spec.details.get("options"):
            defaults[name] = spec.details["options"][0]
    return defaults


def _provides(source: Source, live: Mapping[str, Mapping[str, Any]]) -> str:
    """Say what a node of this type takes, and who reads its outputs."""
    takes = []
    for name, value in list(source.inputs.items())[:12]:
        shown = quote(name, 40)[1:-1]
        takes.append(f"{shown} = {quote(value.value, 24)}" if isinstance(value, Const) else shown)
    interface = catalogue.find(source.type)
    gives: dict[str, None] = {}
    for id, node in live.items():
        for name, raw in node["inputs"].items():
            link = link_of(raw)
            if link is not None and link[0] == source.id:
                slot = link[1]
                known = interface.outputs[slot][1] if interface is not None and slot < len(interface.outputs) else ""
                gives[f"{known or f'output {slot}'} to {quote(id, 40)[1:-1]}.{quote(name, 40)[1:-1]}"] = None
    text = f"takes {', '.join(takes) or 'nothing'}"
    return f"{text}; gives {', '.join(list(gives)[:6])}" if gives else text


def _missing_line(entry: Entry) -> str:
    title = f" “{entry.title}”" if entry.title != entry.type else ""
    pack = f" (pack {entry.pack})" if entry.pack else ""
    return f"{quote(entry.id, 60)[1:-1]} {quote(entry.type, 60)[1:-1]}{title}{pack}: {'; '.join(entry.remarks)}"
