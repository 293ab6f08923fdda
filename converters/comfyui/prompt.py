"""Any ComfyUI file to the API prompt that ComfyUI's own front end would send for it."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from graphflow.document.published import Published
from graphflow.errors import ConversionError

from .app_mode import AppInput, app_inputs
from .core_version import Version
from .documents import UiNode, UiWorkflow, parse_ui
from .fields import ID_LENGTH, as_object, as_text, quote
from .modes import BYPASSED, MUTED
from .notes import Journal, Note
from .prompt_text import DYNAMIC_TEXTS, Choices, FilledName, expand, file_name
from .pruning import Prompt, fold_switches, link_of, needed, output_nodes
from .resolve import Missing, Output, Resolver, Value
from .sources import Found, Source, load
from .subgraphs import PLACE_LENGTH, Scope, is_instance, unfold
from .virtual import Role, role
from .widget_lookup import WidgetLookup
from .widgets import Widgets, name_widgets

API_NODES = 100_000
"""Nodes of an API prompt."""
FILE_NAME_LENGTH = 4_096
"""Characters of a file name in which ``%…%`` is filled in."""
TEXT_BUDGET = 1_000_000
"""Characters of prompt texts that are searched for choices in one file."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """What kinds a drawn node says that it takes, by input, and gives, by slot."""

    inputs: Mapping[str, str]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Flattened:
    """An API prompt and what became of the file on the way.

    Attributes:
        prompt: Every node as the front end sends it, dead ones included: ``{id: {class_type, inputs, _meta}}``.
            Inner nodes of subgraphs have ids such as ``37:7``. A link is ``[id, output slot]``.
        format: ``api``, ``ui 0.4`` or ``ui 1.0``.
        container: What the workflow came in: ``json``, ``png``, ``webp``, ``jpeg``, ``mp4``, ``webm`` or ``data``.
        outputs: Ids of the nodes that a run is for.
        notes: What was changed or guessed, harmlessly.
        problems: Where the result may be wrong.
        controls: What the file does with a seed after each run (fixed, increment, …), by ``node.input`` address.
        choices: Options taken for ``{a|b}``, by ``node.input`` address.
        packs: Custom pack of nodes whose file names it, by node id.
        core_version: ComfyUI's own version that the file names; empty where it names none.
        models: Where models are published, as far as the file says.
        names: File names that follow widgets of other nodes, by save node.
        drawn: The workflow as the front end draws it, where the file holds that.
        kinds: Kinds of links by node id, as far as the file has them.
        app: What app mode shows of the file, in order.
    """

    prompt: Prompt
    format: str
    container: str
    outputs: tuple[str, ...]
    notes: tuple[Note, ...]
    problems: tuple[Note, ...]
    controls: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    packs: Mapping[str, str] = field(default_factory=dict)
    core_version: Version = ()
    models: tuple[Published, ...] = ()
    names: Mapping[str, FilledName] = field(default_factory=dict)
    drawn: Mapping[str, Any] | None = None
    kinds: Mapping[str, Kinds] = field(default_factory=dict)
    app: tuple[AppInput, ...] = ()

    @cached_property
    def live(self) -> Prompt:
        """The prompt that runs: switches with a known selector folded, then only what an output needs."""
        folded = fold_switches(self.prompt, Journal())
        keep = needed(folded, self.outputs)
        return {id: node for id, node in folded.items() if id in keep}

    @cached_property
    def dead(self) -> tuple[str, ...]:
        """Ids of the nodes that no output needs, folded switches and their unchosen sides included."""
        return tuple(id for id in self.prompt if id not in self.live)


def to_prompt(
    source: Source | Found,
    *,
    choices: Choices | None = None,
    now: datetime | None = None,
    prefer: Literal["prompt", "workflow"] = "prompt",
) -> Flattened:
    """Turn any ComfyUI file into an API prompt.

    Args:
        source: A path, the bytes of a file, parsed JSON, or what was found in one of them.
        choices: How ``{a|b}`` in prompts is decided; the first option by default.
        now: The time for ``%date:…%`` in file names; without one they stay.
        prefer: Which of the two to take where a picture carries both what was sent and what was drawn.

    Raises:
        ConversionError: The file holds no workflow, or one that cannot be read; says where and what to do.
    """
    found = source if isinstance(source, Found) else load(source, prefer=prefer)
    journal = Journal()
    for message in found.remarks:
        journal.note("container", message)
    if found.kind == "api":
        flattened = _from_api(found.document, found.container, journal)
    else:
        workflow = parse_ui(found.document)
        converting = _FromUi(workflow, journal, choices or Choices(), now)
        flattened = converting.flatten(found.container)
        app = (converting.placed(shown, flattened.prompt) for shown in app_inputs(found.document))
        flattened = replace(flattened, app=tuple(app))
    return replace(flattened, core_version=found.core_version, models=found.models, drawn=found.drawn)


def _from_api(document: Mapping[str, Any], container: str, journal: Journal) -> Flattened:
    if len(document) > API_NODES:
        raise ConversionError(f"the prompt has more than {API_NODES:,} nodes", where="prompt")
    prompt: Prompt = {}
    for id, raw in document.items():
        place = f"node {quote(id, 100)}"
        if not isinstance(raw, dict) or "class_type" not in raw:
            journal.note("not-a-node", f"the entry {quote(id)} is no node and is left out")
            continue
        if not 0 < len(id) <= max(ID_LENGTH, PLACE_LENGTH):
            raise ConversionError("the node id is empty or too long", where=place)
        meta = raw.get("_meta")
        title = meta.get("title") if isinstance(meta, dict) else None
        inputs = as_object(raw.get("inputs") or {}, f"{place}.inputs")
        prompt[id] = {
            "class_type": as_text(raw["class_type"], f"{place}.class_type"),
            "inputs": {name: copy.copy(value) for name, value in inputs.items()},
            "_meta": {"title": title if isinstance(title, str) else raw["class_type"]},
        }
    for id, node in prompt.items():
        for name, value in list(node["inputs"].items()):
            link = link_of(value)
            if link is not None and link[0] not in prompt:
                journal.problem("dangling", f"links to node {link[0]}, which does not exist", node=id, input=name)
                del node["inputs"][name]
            elif link is not None:
                node["inputs"][name] = list(link)
            elif name in ("upload", "choose file to upload") and isinstance(value, str):
                del node["inputs"][name]
    return _finish(prompt, "api", container, None, journal, {}, {}, {})


def _finish(
    prompt: Prompt,
    format: str,
    container: str,
    sinks: set[str] | None,
    journal: Journal,
    controls: Mapping[str, str],
    choices: Mapping[str, tuple[str, ...]],
    packs: Mapping[str, str],
) -> Flattened:
    outputs = output_nodes(prompt, sinks, journal)
    fold_switches(prompt, journal)
    return Flattened(
        prompt=prompt,
        format=format,
        container=container,
        outputs=tuple(outputs),
        notes=tuple(journal.notes),
        problems=tuple(journal.problems),
        controls=controls,
        choices=choices,
        packs=packs,
    )


class _FromUi:
    """One conversion of a UI workflow."""

    def __init__(self, workflow: UiWorkflow, journal: Journal, choices: Choices, now: datetime | None) -> None:
        self._workflow = workflow
        self._journal = journal
        self._choices = choices
        self._now = now
        self._controls: dict[str, str] = {}
        self._taken: dict[str, tuple[str, ...]] = {}
        self._names: dict[str, FilledName] = {}
        self._text_budget = TEXT_BUDGET
        self._held: dict[tuple[str, str], list[tuple[str, str]]] = {}

    def placed(self, shown: AppInput, flat: Prompt) -> AppInput:
        """Return what app mode shows with the places that it sets; it names nodes in subgraphs by their ids there."""
        node = self._workflow.root.nodes.get(shown.node)
        widget = "value" if node is not None and role(node) is Role.VALUE else shown.widget
        places = self._held.get((shown.node, widget)) or []
        if not places:
            inner = [id for id in flat if id == shown.node or (node is None and id.endswith(f":{shown.node}"))]
            places = [(inner[0], shown.widget)] if len(inner) == 1 else []
        title = node.title if node is not None else flat[places[0][0]]["_meta"]["title"] if places else ""
        known = node.type if node is not None else flat[places[0][0]]["class_type"] if places else ""
        return replace(shown, title="" if title == known else title, places=tuple(places))

    def flatten(self, container: str) -> Flattened:
        root = unfold(self._workflow, self._journal)
        resolver = Resolver(root, self._journal, self._workflow.subgraphs)
        prompt: Prompt = {}
        placed: list[tuple[Scope, UiNode, str]] = []
        sinks: set[str] = set()
        for scope in root.walk():
            for node in scope.graph.nodes.values():
                id = scope.flat_id(node)
                if not self._is_sent(scope, node, id):
                    continue
                if id in prompt:
                    raise ConversionError(
                        "two nodes get this id when subgraphs are unfolded",
                        where=f"node {quote(id, 200)}",
                        advice="give one of them another id",
                    )
                prompt[id] = self._entry(resolver, scope, node, id)
                placed.append((scope, node, id))
                if not node.outputs:
                    sinks.add(id)
        self._drop_dangling(prompt)
        self._process_texts(prompt, placed, WidgetLookup(prompt, root))
        flattened = _finish(
            prompt,
            f"ui {self._workflow.version}",
            container,
            sinks,
            self._journal,
            self._controls,
            self._taken,
            {id: pack for _, node, id in placed if (pack := _pack(node))},
        )
        return replace(flattened, names=self._names, kinds={id: _kinds(node) for _, node, id in placed})

    def _is_sent(self, scope: Scope, node: UiNode, id: str) -> bool:
        if role(node) is not Role.REAL:
            return False
        if node.mode in (MUTED, BYPASSED):
            state = "muted" if node.mode == MUTED else "bypassed"
            self._journal.note(state, f"{node.type} is {state} and left out", node=id)
            return False
        return node.id not in scope.children and not is_instance(self._workflow, node)

    def _entry(self, resolver: Resolver, scope: Scope, node: UiNode, id: str) -> dict[str, Any]:
        if _UUID.fullmatch(node.type):
            self._journal.problem("no-definition", f"the file lacks the definition of subgraph {node.type}", node=id)
        widgets = name_widgets(node)
        self._tell_widgets(node, id, widgets)
        inputs: dict[str, Any] = {name: _wrapped(value) for name, value in widgets.values.items()}
        for position, slot in enumerate(node.inputs):
            source = resolver.source(scope, node, position)
            name = slot.name or (slot.widget or "")
            if isinstance(source, Output):
                inputs[name] = [source.node, source.slot]
            elif isinstance(source, Value):
                inputs[name] = _wrapped(source.value)
                self._held.setdefault(source.holder, []).append((id, name))
                self._journal.note("value", f"the value comes from {source.by}", node=id, input=name)
            elif isinstance(source, Missing):
                self._journal.note("link-dropped", f"the link is dropped: {source.reason}", node=id, input=name)
                if source.muted and name in inputs:
                    del inputs[name]
                    gone = f"the input goes with what fed it: {source.reason}; ComfyUI does not fall back on the widget"
                    self._journal.problem("muted-value", gone, node=id, input=name)
        title = node.title or node.type
        return {"class_type": node.type, "inputs": inputs, "_meta": {"title": title}}

    def _tell_widgets(self, node: UiNode, id: str, widgets: Widgets) -> None:
        for seed, setting in widgets.controls.items():
            self._controls[f"{id}.{seed}"] = setting
        if widgets.unnamed:
            shown = ", ".join(quote(value, 24) for value in widgets.unnamed[:6])
            several = len(widgets.unnamed) > 1
            count = f"{len(widgets.unnamed)} widget values" if several else "one widget value"
            more = " more" if widgets.values else ""
            names = "names are" if several else "name is"
            self._journal.problem("unnamed-values", f"{count}{more}, whose {names} not known: {shown}", node=id)
        elif not widgets.fits:
            self._journal.problem(
                "misfit", f"the widget values do not fit the definition of {node.type}; names may be wrong", node=id
            )

    def _drop_dangling(self, prompt: Prompt) -> None:
        for id, node in prompt.items():
            for name, value in list(node["inputs"].items()):
                link = link_of(value)
                if link is not None and link[0] not in prompt:
                    del node["inputs"][name]
                    self._journal.note("link-dropped", f"node {link[0]} is left out", node=id, input=name)

    def _process_texts(self, prompt: Prompt, placed: list[tuple[Scope, UiNode, str]], names: WidgetLookup) -> None:
        for scope, node, id in placed:
            inputs = prompt[id]["inputs"]
            for name in DYNAMIC_TEXTS.get(node.type, ()):
                if isinstance(inputs.get(name), str):
                    inputs[name] = self._expanded(inputs[name], id, name)
            prefix = inputs.get("filename_prefix")
            if isinstance(prefix, str) and "%" in prefix and len(prefix) <= FILE_NAME_LENGTH:
                inputs["filename_prefix"] = self._file_name(prefix, names, scope, id)

    def _expanded(self, text: str, id: str, name: str) -> str:
        self._text_budget -= len(text)
        if self._text_budget < 0:
            self._journal.problem("long-text", "too much text: choices and comments stay", node=id, input=name)
            return text
        address = f"{id}.{name}"
        result, taken = expand(text, self._choices.chooser(address))
        if taken:
            self._taken[address] = taken
            shown = ", ".join(quote(option, 40) for option in taken[:8])
            self._journal.note("choice", f"chosen among options: {shown}", node=id, input=name)
        elif result != text:
            self._journal.note("text", "comments or braces are removed, as the front end does", node=id, input=name)
        return result

    def _file_name(self, prefix: str, names: WidgetLookup, scope: Scope, id: str) -> str:
        tokens: dict[str, tuple[str, str, str]] = {}

        def lookup(node: str, widget: str) -> str | None:
            value = names.value(scope, node, widget)
            if value is not None:
                tokens[f"%{node}.{widget}%"] = (names.flat_id(scope, node), widget, value)
            return value

        result, left = file_name(prefix, lookup, self._now)
        if tokens and self._now is None:
            self._names[id] = FilledName(prefix, tokens)
        for token in left:
            if token.lower() not in _BACKEND_TOKENS:
                self._journal.note("token", f"{quote(token)} stays in the file name", node=id, input="filename_prefix")
        return result


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_BACKEND_TOKENS = frozenset(
    {"%width%", "%height%", "%year%", "%month%", "%day%", "%hour%", "%minute%", "%second%", "%batch_num%"}
)


def _kinds(node: UiNode) -> Kinds:
    return Kinds({slot.name: slot.type for slot in node.inputs}, tuple(slot.type for slot in node.outputs))


def _pack(node: UiNode) -> str:
    """Return the custom pack that a node says it comes from, or an empty text."""
    for key in ("cnr_id", "aux_id"):
        value = node.properties.get(key)
        if isinstance(value, str) and value and value != "comfy-core":
            return quote(value, 100)[1:-1]
    return ""


def _wrapped(value: Any) -> Any:
    """Return a widget value as the prompt carries it: lists are marked, or they would read as links."""
    return {"__value__": copy.copy(value)} if isinstance(value, list) else copy.copy(value)
