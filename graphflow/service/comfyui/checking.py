"""What is wrong with a prompt, told as ComfyUI tells it: by node, with the type of each error and what it is about."""

from __future__ import annotations

import graphlib
import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Protocol

from graphflow.converters.comfyui.modes import compatible
from graphflow.converters.comfyui.pruning import link_of, needed

Told = dict[str, Any]


class Info(Protocol):
    """What is told of a node type, see :meth:`graphflow.service.comfyui.table.Table.info`."""

    def __call__(self, type: str, *, lists: bool = True) -> Mapping[str, Any] | None:
        """Return it; without ``lists`` no models and files are looked up."""
        ...


_SHOWN = 20
"""How many values of a list an error tells."""
Missing = Callable[[str, str, Any], "str | None"]
"""Given the type of a node, an input and a value that is not among its values: None where it is one nevertheless, such as a
file in another folder; else why it is none, or nothing."""


class RefusedPromptError(Exception):
    """A prompt is refused.

    Args:
        error: What is wrong with all of it.
        nodes: What is wrong with nodes.
    """

    def __init__(self, error: Told, nodes: Mapping[str, Told] | None = None) -> None:
        super().__init__(error["message"])
        self.body = {"error": error, "node_errors": dict(nodes or {})}


@dataclass
class Checked:
    """A prompt that can be carried out.

    Attributes:
        prompt: It, with values of the types that its inputs have.
        outputs: The output nodes behind which nothing is wrong.
        errors: What is wrong behind the others, by node.
        misplaced: Nodes with a value where ComfyUI takes a link alone, which it tells only when they run.
    """

    prompt: dict[str, dict[str, Any]]
    outputs: list[str]
    errors: dict[str, Told]
    misplaced: set[str] = field(default_factory=set)


def told(type: str, message: str, details: str = "", **extra: Any) -> Told:
    """Return an error."""
    return {"type": type, "message": message, "details": details, "extra_info": extra}


def node_errors(type: str, errors: Sequence[Told], outputs: Sequence[str]) -> Told:
    """Return what is wrong with a node, and which outputs it spoils."""
    return {"errors": list(errors), "dependent_outputs": list(outputs), "class_type": type}


def outputs_failed(nodes: Mapping[str, Told], outputs: Sequence[str], rest: str = "") -> RefusedPromptError:
    """Return the refusal of a prompt whose nodes have errors; those of output nodes are told of all of it, too."""
    own = [f"{error['message']}: {error['details']}" for id in outputs if id in nodes for error in nodes[id]["errors"]]
    text = "\n".join([*own, *([rest] if rest else [])])
    return RefusedPromptError(told("prompt_outputs_failed_validation", "Prompt outputs failed validation", text), nodes)


def check(prompt: Mapping[str, Mapping[str, Any]], outputs: Sequence[str], info: Info, missing: Missing) -> Checked:
    """Check the values and links of a prompt.

    Args:
        prompt: Nodes that have a known ``class_type`` and ``inputs`` that are an object.
        outputs: The nodes that it is carried out for.
        info: What is told of node types.
        missing: Says which files and models are missing.

    Raises:
        RefusedPromptError: Something is wrong behind each of the outputs.
    """
    checked = Checked({id: {**node, "inputs": dict(node["inputs"])} for id, node in prompt.items()}, [], {})
    behind = {output: needed(checked.prompt, [output]) for output in outputs}
    wrong: dict[str, list[Told]] = {}
    for id in [id for id in prompt if any(id in nodes for nodes in behind.values())]:
        errors = list(_Node(checked, id, info, missing).errors())
        if errors:
            wrong[id] = errors
    for id in _circle(checked.prompt, set().union(*behind.values())):
        wrong.setdefault(id, []).append(told("dependency_cycle", "Dependency cycle detected", id, node_id=id))
    for id, errors in wrong.items():
        spoiled = [output for output, nodes in behind.items() if id in nodes]
        checked.errors[id] = node_errors(str(prompt[id]["class_type"]), errors, spoiled)
    checked.outputs = [output for output, nodes in behind.items() if not nodes & wrong.keys()]
    if not checked.outputs:
        raise outputs_failed(checked.errors, outputs)
    return checked


class _Node:
    """One node under check; its values are set to the types that its inputs have."""

    def __init__(self, checked: Checked, id: str, info: Info, missing: Missing) -> None:
        self._checked = checked
        self._id = id
        self._info = info
        self._missing = missing
        self._type = str(checked.prompt[id]["class_type"])
        self._inputs = checked.prompt[id]["inputs"]

    def errors(self) -> list[Told]:
        found: list[Told] = []
        known = self._info(self._type, lists=False)
        sections = {} if known is None else known["input"]
        for section in ("required", "optional"):
            for name, config in sections.get(section, {}).items():
                if name not in self._inputs:
                    if section == "required":
                        found.append(told("required_input_missing", "Required input is missing", name, input_name=name))
                    continue
                error = self._wrong(name, config)
                if error is not None:
                    found.append(error)
        if known is None:  # links are all that can be checked
            links = {name: value for name, value in self._inputs.items() if link_of(value) is not None}
            found += [
                error
                for name, value in links.items()
                if (error := self._wrong_link(name, value, ["*", {}])) is not None
            ]
        return found

    def _wrong(self, name: str, config: Sequence[Any]) -> Told | None:
        value, kind = self._inputs[name], config[0]
        if isinstance(value, Mapping) and value.keys() == {"__value__"}:  # a list that is no link
            value = self._inputs[name] = value["__value__"]
        elif isinstance(value, list):
            return self._wrong_link(name, value, config)
        if isinstance(kind, list):
            return None if value in kind else self._wrong_choice(name, value, config)
        if kind in _VALUES:
            return self._wrong_value(name, value, config)
        if value is not None:
            self._checked.misplaced.add(self._id)
        return None

    def _wrong_choice(self, name: str, value: Any, config: Sequence[Any]) -> Told | None:
        reason = self._missing(self._type, name, value)
        if reason is None:
            return None
        known = self._info(self._type) or {"input": {}}
        config = next(inputs[name] for inputs in known["input"].values() if name in inputs)
        about = {"input_name": name, "input_config": list(config), "received_value": value}
        if reason:
            return told("custom_validation_failed", "Custom validation failed for node", f"{name} - {reason}", **about)
        many = len(config[0]) > _SHOWN
        shown = f"(list of length {len(config[0])})" if many else config[0]
        if many:
            about["input_config"] = None
        return told("value_not_in_list", "Value not in list", f"{name}: {value!r} not in {shown}", **about)

    def _wrong_link(self, name: str, value: list[Any], config: Sequence[Any]) -> Told | None:
        about = {"input_name": name, "input_config": list(config), "received_value": value}
        link = link_of(value)
        if link is None:
            text = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            return told("bad_linked_input", text, name, **about)
        node = self._checked.prompt.get(link[0])
        if node is None:
            text = f"there is no node {link[0]}"
            return told("bad_linked_input", "Bad linked input", f"{name}: {text}", linked_node=list(value), **about)
        known = self._info(str(node["class_type"]), lists=False)
        if known is None:
            return None
        gives = known["output"]
        if not gives:  # some that save or show pass on what they get; the import knows which
            return None
        if link[1] >= len(gives):
            text = f"{name}: node {link[0]} has no output {link[1]}"
            return told(
                "exception_during_inner_validation",
                "Exception when validating inner node",
                text,
                linked_node=list(value),
                **about,
            )
        if not _fits(gives[link[1]], config[0]):
            takes = config[0]
            text = f"{name}, received_type({gives[link[1]]}) mismatch input_type({takes})"
            return told(
                "return_type_mismatch", "Return type mismatch between linked nodes", text,
                input_name=name, input_config=list(config), received_type=gives[link[1]], linked_node=list(value),
            )  # fmt: skip
        return None

    def _wrong_value(self, name: str, value: Any, config: Sequence[Any]) -> Told | None:
        kind, says = config
        about = {"input_name": name, "input_config": list(config)}
        try:
            value = self._inputs[name] = _VALUES[kind](value)
        except (ValueError, TypeError, OverflowError) as error:
            text = f"Failed to convert an input value to a {kind} value"
            about |= {"received_value": value, "exception_message": str(error)}
            return told("invalid_input_type", text, f"{name}, {value}, {error}", **about)
        about["received_value"] = value
        if "min" in says and value < says["min"]:
            return told("value_smaller_than_min", f"Value {value} smaller than min of {says['min']}", name, **about)
        if "max" in says and value > says["max"]:
            return told("value_bigger_than_max", f"Value {value} bigger than max of {says['max']}", name, **about)
        return None


def _float(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("it is not finite")
    return number


_VALUES: Mapping[str, Callable[[Any], Any]] = {"INT": int, "FLOAT": _float, "STRING": str, "BOOLEAN": bool}
"""What makes a value one of a type."""


def _fits(given: Any, taken: Any) -> bool:
    if isinstance(taken, list):
        return isinstance(given, list) or given in ("COMBO", "*")
    return compatible(str(given), str(taken)) or (given, taken) == ("INT", "FLOAT")


def _circle(prompt: Mapping[str, Mapping[str, Any]], nodes: Set[str]) -> list[str]:
    """Return nodes that lead to themselves, if any do."""
    sorter = graphlib.TopologicalSorter(
        {
            id: [link[0] for value in prompt[id]["inputs"].values() if (link := link_of(value)) is not None]
            for id in nodes
        }
    )
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        return list(dict.fromkeys(error.args[1]))
    return []
