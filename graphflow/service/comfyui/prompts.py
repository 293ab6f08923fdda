"""From a prompt that a client sends to a job."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from starlette.concurrency import run_in_threadpool

from graphflow.converters.comfyui import Imported, to_native, to_prompt
from graphflow.converters.comfyui.native import origins as origins_of
from graphflow.converters.comfyui.notes import Journal
from graphflow.converters.comfyui.pruning import needed, output_nodes
from graphflow.converters.comfyui.published import published_models
from graphflow.converters.comfyui.sources import Found
from graphflow.document.document import Document
from graphflow.errors import ConversionError, InvalidInputError, Problem, WorkflowError
from graphflow.jobs.job import Job, Order
from graphflow.jobs.ordering import make_order
from graphflow.nodes.output.comfyui_prompt import origin
from graphflow.service.comfyui.checking import (
    Checked,
    RefusedPromptError,
    Told,
    check,
    node_errors,
    outputs_failed,
    told,
)
from graphflow.service.comfyui.desk import ORIGIN, Desk, Prompted, native_of
from graphflow.service.uploads import pieces

_KEPT = {"PreviewImage": "SaveImage", "SaveImageWebsocket": "SaveImage"}
"""Types of nodes that show pictures: they keep all of their pixels here, among the temporary files."""
_TEMPORARY = frozenset({*_KEPT, "MaskPreview", "PreviewAudio"})
_PREFIX = "ComfyUI_temp"


@dataclass(frozen=True)
class Asked:
    """What a client asks for, see the documentation of ``POST /prompt``.

    Attributes:
        prompt: The nodes.
        extra_data: What is kept with it, with ``client_id``.
        targets: Output nodes to carry out in place of all.
        number: Where it is to stand in the queue; None is behind all others.
        front: Whether it goes before all others.
        id: The id that it is to have.
    """

    prompt: dict[str, dict[str, Any]]
    extra_data: dict[str, Any]
    targets: list[str] | None
    number: float | None
    front: bool
    id: str

    @classmethod
    def read(cls, body: Any) -> Asked:
        """Read a request.

        Raises:
            RefusedPromptError: It asks for nothing.
        """
        if not isinstance(body, dict) or "prompt" not in body:
            raise RefusedPromptError(told("no_prompt", "No prompt provided", "No prompt provided"))
        prompt, extra, targets = body["prompt"], body.get("extra_data") or {}, body.get("partial_execution_targets")
        if not isinstance(prompt, dict) or not isinstance(extra, dict):
            raise _invalid("prompt and extra_data are objects", "by the ids of nodes")
        if targets is not None and not (isinstance(targets, list) and all(isinstance(id, str) for id in targets)):
            raise _invalid("partial_execution_targets is a list of ids of nodes", "partial_execution_targets")
        number = body.get("number")
        if number is not None:
            number = _number(number)
        if isinstance(body.get("client_id"), str):
            extra = {**extra, "client_id": body["client_id"]}
        id = body.get("prompt_id") or str(uuid.uuid4())
        return cls(prompt, extra, targets, number, bool(body.get("front")), str(id))


class Prompts:
    """Takes prompts.

    Args:
        desk: What the interface shares.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def submit(self, asked: Asked) -> tuple[Job, Mapping[str, Told]]:
        """Queue a job for a prompt; returns it with what is wrong behind outputs that are left out.

        Raises:
            RefusedPromptError: Nothing of it can be carried out.
        """
        checked = await run_in_threadpool(self._check, asked)
        files = await self._uploads(checked)
        return await run_in_threadpool(self._submit, asked, checked, files), checked.errors

    def _check(self, asked: Asked) -> Checked:
        table = self._desk.table()
        for id, node in asked.prompt.items():
            if not isinstance(node, dict) or "class_type" not in node:
                text = "Cannot execute because a node is missing the class_type property."
                raise RefusedPromptError(told("invalid_prompt", text, f"Node ID '#{id}'"))
            if not table.has(str(node["class_type"])):
                text = f"Cannot execute because node {node['class_type']} does not exist."
                raise RefusedPromptError(told("invalid_prompt", text, f"Node ID '#{id}'"))
            if not isinstance(node.get("inputs", {}), dict):
                raise RefusedPromptError(
                    told("invalid_prompt", "The inputs of a node are an object.", f"Node ID '#{id}'")
                )
        prompt = {id: {**node, "inputs": node.get("inputs", {})} for id, node in asked.prompt.items()}
        outputs = output_nodes(prompt, None, Journal())
        if asked.targets is not None:
            outputs = [id for id in outputs if id in asked.targets]
        if not outputs:
            raise RefusedPromptError(told("prompt_no_outputs", "Prompt has no outputs"))
        return check(prompt, outputs, cache(table.info), table.missing)

    async def _uploads(self, checked: Checked) -> dict[tuple[str, str], str]:
        """Return what the files that a prompt names are called among uploads, by node and input."""
        found: dict[tuple[str, str], str] = {}
        table = self._desk.table()
        for id in needed(checked.prompt, checked.outputs):
            node = checked.prompt[id]
            for name, value in node["inputs"].items():
                if isinstance(value, str) and table.takes_file(str(node["class_type"]), name):
                    with suppress(InvalidInputError):
                        place = table.place(str(node["class_type"]), value)
                        path = await run_in_threadpool(self._desk.path, place)
                        if path is not None and path.parent == self._desk.service.uploads.folder:
                            found[id, name] = path.name
                        elif path is not None:
                            with path.open("rb") as stream:
                                found[id, name] = (await self._desk.service.uploads.take(pieces(stream))).name
                        elif self._desk.names.find(place) is not None:
                            raise _refused(checked, {id: [f"{name} - {place.below} is kept no more; send it again"]})
        return found

    def _submit(self, asked: Asked, checked: Checked, files: Mapping[tuple[str, str], str]) -> Job:
        document, notices = self._document(asked, checked, files)
        origins: dict[str, list[str]] = {}
        temporary: list[str] = []
        if document is None:
            order = Order(document=checked.prompt)
        else:
            order = self._order(asked, document, notices, checked)
            for id, entry in document.nodes.items():
                origins[id] = list(origins_of(entry))
                if any(
                    checked.prompt[node]["class_type"] in _TEMPORARY for node in origins[id] if node in checked.prompt
                ):
                    temporary.append(id)
        kept = Prompted(
            number=0,
            prompt=checked.prompt,
            extra_data=asked.extra_data,
            outputs=checked.outputs,
            origins=origins,
            temporary=temporary,
            blamed=min(checked.misplaced, default=None),
        )
        with self._desk.turn:
            drawn = self._desk.names.number()
            number = asked.number if asked.number is not None else -drawn if asked.front else drawn
            kept = replace(kept, number=int(number) if float(number).is_integer() else number)
            priority = 0 if number == drawn else self._desk.priority(number)
            job, _ = self._desk.jobs.submit(order, id=asked.id, origin=ORIGIN, extra=kept.to_json(), priority=priority)
        return job

    def _document(
        self, asked: Asked, checked: Checked, files: Mapping[tuple[str, str], str]
    ) -> tuple[Document | None, tuple[str, ...]]:
        """Return the native workflow of a prompt; None where it can only be told by running it what is wrong.

        Raises:
            RefusedPromptError: A node is not supported as it is set.
        """
        changed = {id: self._changed(id, node, files) for id, node in checked.prompt.items()}
        drawn = asked.extra_data.get("extra_pnginfo")
        drawn = drawn.get("workflow") if isinstance(drawn, dict) else None
        drawn = drawn if isinstance(drawn, dict) else None
        found = Found(changed, "api", "data", models=published_models(drawn), drawn=drawn)
        try:
            flattened = replace(to_prompt(found), outputs=tuple(checked.outputs))
            imported = to_native(flattened, registry=self._desk.service.session.registry, name="prompt")
        except ConversionError as error:
            raise _invalid(error.message, str(error.where or ""), error.advice) from error
        if imported.report.unsupported:
            if checked.misplaced:
                return None, ()
            raise _refused(checked, _unsupported(imported))
        document = imported.document
        same = {id for id, node in changed.items() if node == checked.prompt[id]}
        values: Any = (document.meta or {})["comfyui"]
        direct = {place: tuple(there) for place, there in values["values"].items() if there[0] in same}
        meta = {**(document.meta or {}), "comfyui": origin(document.to_json(), checked.prompt, direct, drawn)}
        return document.model_copy(update={"meta": meta}), imported.report.remarks

    def _changed(self, id: str, node: Mapping[str, Any], files: Mapping[tuple[str, str], str]) -> dict[str, Any]:
        """Return a node as it is carried out here: files by their names among uploads, pictures to look at as kept ones."""
        inputs = {name: files.get((id, name), value) for name, value in node["inputs"].items()}
        type = node["class_type"]
        if type in _KEPT:
            inputs["filename_prefix"] = _PREFIX
        return {**node, "class_type": _KEPT.get(type, type), "inputs": inputs}

    def _order(self, asked: Asked, document: Document, notices: Iterable[str], checked: Checked) -> Order:
        service = self._desk.service
        wanted = asked.extra_data.get("preview_method") != "none" and service.options.previews
        shown = "client_id" in asked.extra_data and wanted
        try:
            order = make_order(service.session, document, pixels=service.options.pixels, previews=shown)
        except WorkflowError as error:
            raise _refused(checked, _problems(document, error.problems)) from error
        return replace(order, notices=[*notices, *order.notices])


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise _invalid("it is no number", "number") from error
    if not math.isfinite(number):
        raise _invalid("it is not finite", "number")
    return number


def _unsupported(imported: Imported) -> dict[str, list[str]]:
    return {entry.id: ["; ".join([*entry.remarks, entry.to_do])] for entry in imported.report.unsupported}


def _problems(document: Document, problems: Iterable[Problem]) -> dict[str, list[str]]:
    """Return problems of a native document by node of the prompt."""
    found: dict[str, list[str]] = {}
    for problem in problems:
        native = document.nodes.get(native_of(problem.path))
        id = next(iter(origins_of(native)), "") if native is not None else ""
        text = f"{problem.path.rpartition('.')[2]}: {problem.message}"
        found.setdefault(id, []).append(f"{text}; {problem.advice}" if problem.advice else text)
    return found


def _refused(checked: Checked, reasons: Mapping[str, list[str]]) -> RefusedPromptError:
    """Return the refusal of a prompt that ComfyUI might take."""
    nodes: dict[str, Told] = {}
    for id, texts in reasons.items():
        if id in checked.prompt:
            errors = [told("custom_validation_failed", "Custom validation failed for node", text) for text in texts]
            spoiled = [output for output in checked.outputs if id in needed(checked.prompt, [output])]
            nodes[id] = node_errors(str(checked.prompt[id]["class_type"]), errors, spoiled)
    rest = "; ".join(text for id, texts in reasons.items() if id not in nodes for text in texts)
    return outputs_failed(nodes, checked.outputs, rest)


def _invalid(text: str, where: str, advice: str | None = None) -> RefusedPromptError:
    return RefusedPromptError(told("invalid_prompt", f"{text}; {advice}" if advice else text, where))
