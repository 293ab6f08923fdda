"""Graphs in Python: ``Workflow`` builds the same document that JSON holds.

>>> g = Workflow("text to image")
>>> ckpt = g.add(load_checkpoint, model="shapes", id="checkpoint")
>>> positive = g.add(encode_prompt, text_encoder=ckpt.text_encoder, text="a red circle on a blue background")
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload

from graphflow.basics import atomic, jsontools
from graphflow.basics.wording import nearest, plain, shorten
from graphflow.building.refs import LINKS, HostRef, Ref
from graphflow.document import document as workflow
from graphflow.document.document import Document
from graphflow.document.flatten import PREFIX
from graphflow.errors import Problem, WorkflowError
from graphflow.execution.options import PlanOptions, RunOptions
from graphflow.spec.decorator import spec_of

if TYPE_CHECKING:
    from graphflow.execution.result import Result
    from graphflow.planning.steps import Plan
    from graphflow.session import Session

P = ParamSpec("P")
T = TypeVar("T")


class Workflow:
    """A workflow that is built in Python, or loaded, and can be saved, checked, planned and run.

    Args:
        name: What to call it.
        description: What it does.
    """

    def __init__(self, name: str | None = None, *, description: str | None = None) -> None:
        self.document = Document(name=name, description=description)
        self._own: set[tuple[str, str]] = set()
        self._embedded: dict[str, Workflow] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Workflow) and self.document == other.document

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Workflow({self.document.name!r}, nodes={list(self.document.nodes)})"

    @property
    def own(self) -> frozenset[tuple[str, str]]:
        """(node, parameter) pairs whose values the Python code gave: such a file name may lead anywhere.

        Those of a document that was loaded, and defaults of exposed inputs, lead into its folder, the input folder and
        the model folders only. Nodes of inner workflows have unfolded ids.
        """
        inner = {
            (f"{host}:{node}", parameter)
            for host, entry in self.document.nodes.items()
            if entry.type.startswith(PREFIX)
            if (embedded := self._embedded.get(entry.type.removeprefix(PREFIX))) is not None
            for node, parameter in embedded.own
        }
        return frozenset(self._own | inner)

    # ------------------------------------------------------------------------------------------ building

    @overload
    def add(self, function: Callable[P, T], /, *args: P.args, **arguments: P.kwargs) -> T: ...

    # PEP 612 has no room for keywords beside those of the function: with these, what goes in is not checked.
    @overload
    def add(  # type: ignore[overload-cannot-match]  # it does match: the other takes only what the function takes
        self,
        function: Callable[..., T],
        /,
        *,
        id: str | None,
        title: str | None = None,
        note: str | None = None,
        **arguments: Any,
    ) -> T: ...

    def add(  # type: ignore[misc]  # the names of what P holds are not known
        self,
        function: Callable[..., Any],
        /,
        *args: Any,
        id: str | None = None,
        title: str | None = None,
        note: str | None = None,
        **arguments: Any,
    ) -> Any:
        """Add a node.

        Type checkers take what it returns for what the function returns, so they check links as they check calls.

        Args:
            function: A node function.
            id: Its id; by default its type, with a number where that is taken.
            title: What to call it in lists.
            note: A remark.
            *args: None: inputs are given by name.
            **arguments: Its inputs: a literal (also a path or a number of numpy's), a Ref, or a list of Refs.

        Returns:
            A Ref, its primary output; the others are attributes.

        Raises:
            NodeDefinitionError: ``function`` is no node.
            WorkflowError: An argument is unknown or nothing that JSON can hold, or the id is taken or malformed.
        """
        spec = spec_of(function)
        node_id = id if id is not None else self._free_id(spec.type)
        problems = self._taken(node_id)
        if args:
            problems.append(
                Problem(
                    f"nodes.{node_id}",
                    "inputs are given by name",
                    "write " + ", ".join(f"{name}=" for name in list(spec.inputs)[: len(args)]),
                )
            )
        params: dict[str, Any] = {}
        links: dict[str, str | list[str]] = {}
        for name, value in arguments.items():
            if name not in spec.inputs:
                near = nearest(name, spec.inputs)
                advice = f"did you mean {near!r}?" if near else "it has " + ", ".join(spec.inputs)
                problems.append(Problem(f"nodes.{node_id}.{name}", f"{spec.type} has no input {name!r}", advice))
            elif isinstance(value, LINKS):
                links[name] = value.address
            elif isinstance(value, list | tuple) and value and all(isinstance(part, LINKS) for part in value):
                links[name] = [part.address for part in value]
            elif value is not None or not spec.inputs[name].linked:
                params[name] = plain(value)
                problems += _unlike_json(f"nodes.{node_id}.params.{name}", params[name])
        if problems:
            raise WorkflowError(problems)
        data = {"type": spec.type, "params": params, "links": links, "version": spec.version}
        data |= {key: value for key, value in (("title", title), ("note", note)) if value is not None}
        self.document.nodes[node_id] = _checked(nodes={node_id: data}).nodes[node_id]
        self._own.update((node_id, name) for name in params)
        return Ref[Any](node_id, spec, spec.primary)

    def expose(
        self, name: str, *targets: str | tuple[Any, str], description: str | None = None, default: Any = None
    ) -> None:
        """Make parameters a knob that a caller may turn.

        Args:
            name: Name of the knob.
            *targets: ``"node.parameter"``, or (Ref, parameter).
            description: What it does.
            default: Its value where the caller gives none; None leaves what the nodes say.

        Raises:
            WorkflowError: The name is malformed, or there is no target.
        """
        addresses = [target if isinstance(target, str) else f"{target[0].node}.{target[1]}" for target in targets]
        default = plain(default)
        if problems := _unlike_json(f"inputs.{name}.default", default):
            raise WorkflowError(problems)
        exposed = {"to": addresses, "description": description, "default": default}
        self.document.inputs[name] = _checked(inputs={name: exposed}).inputs[name]

    def output(self, name: str, ref: Any) -> None:
        """Name the value of a Ref, HostRef or Link, which a run then returns.

        Raises:
            WorkflowError: The name is malformed.
        """
        self.document.outputs |= _checked(outputs={name: ref.address}).outputs

    def embed(self, name: str, inner: Workflow) -> None:
        """Put a workflow inside this one, for nodes of type ``workflow:NAME``.

        Raises:
            WorkflowError: The name is malformed.
        """
        _checked(workflows={name: {}})
        self.document.workflows[name] = inner.document
        self._embedded[name] = inner

    def use(self, name: str, /, *, id: str | None = None, **arguments: Any) -> HostRef:
        """Add a node that runs an embedded workflow.

        Raises:
            WorkflowError: There is no such inner workflow, it has no such input, an argument is nothing that JSON can
                hold, or the id is taken or malformed.
        """
        inner = self.document.workflows.get(name)
        if inner is None:
            near = nearest(name, self.document.workflows)
            raise WorkflowError(
                [
                    Problem(
                        "workflows",
                        f"there is no inner workflow {name!r}",
                        f"did you mean {near!r}?" if near else "embed() it first",
                    )
                ]
            )
        node_id = id or self._free_id(name)
        known = ", ".join(inner.inputs) or "no inputs"
        problems = self._taken(node_id)
        problems += [
            Problem(f"nodes.{node_id}.{argument}", f"{name!r} has no input {argument!r}", f"it has {known}")
            for argument in arguments
            if argument not in inner.inputs
        ]
        params = {key: plain(value) for key, value in arguments.items() if not isinstance(value, LINKS)}
        for key, value in params.items():
            problems += _unlike_json(f"nodes.{node_id}.params.{key}", value)
        if problems:
            raise WorkflowError(problems)
        links = {key: value.address for key, value in arguments.items() if isinstance(value, LINKS)}
        data = {"type": f"{PREFIX}{name}", "params": params, "links": links}
        self.document.nodes[node_id] = _checked(nodes={node_id: data}).nodes[node_id]
        self._own.update((node_id, key) for key in params)
        return HostRef(node_id, tuple(inner.outputs))

    def _taken(self, node_id: str) -> list[Problem]:
        if node_id not in self.document.nodes:
            return []
        return [Problem(f"nodes.{node_id}", "the id is taken", "give another one with id=")]

    def _free_id(self, base: str) -> str:
        if base not in self.document.nodes:
            return base
        number = 2
        while f"{base}_{number}" in self.document.nodes:
            number += 1
        return f"{base}_{number}"

    # ------------------------------------------------------------------------------- loading and saving

    @classmethod
    def from_document(cls, document: Document) -> Workflow:
        """Wrap a document."""
        result = cls()
        result.document = document
        return result

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | str) -> Workflow:
        """Read a workflow from JSON, parsed or as text.

        Raises:
            WorkflowError: With every problem of its shape.
        """
        parsed = jsontools.loads(data, source="workflow") if isinstance(data, str) else dict(data)
        return cls.from_document(workflow.parse(parsed))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Workflow:
        """Read a workflow from a JSON file or a PNG that carries one.

        Raises:
            InvalidInputError: The file cannot be read, or holds no workflow.
        """
        return cls.from_document(workflow.read(Path(path)))

    def to_json(self) -> dict[str, Any]:
        """Return the document as plain JSON."""
        return self.document.to_json()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the document, as readable JSON, whole or not at all.

        Raises:
            OSError: The file cannot be written.
        """
        target = Path(path)
        atomic.write_bytes(target, (json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n").encode())
        return target

    # ------------------------------------------------------------------------------------------- running

    def run(
        self,
        inputs: Mapping[str, Any] | None = None,
        *,
        session: Session | None = None,
        **options: Unpack[RunOptions],
    ) -> Result:
        """Run it; see :func:`graphflow.run`."""
        from graphflow.session import run

        return run(self, inputs, session=session, **options)

    def plan(self, inputs: Mapping[str, Any] | None = None, **options: Unpack[PlanOptions]) -> Plan:
        """Plan it with a session of the settings; see :meth:`graphflow.session.Session.plan`."""
        from graphflow.session import Session

        return Session().plan(self, inputs, **options)


def _checked(**parts: Any) -> Document:
    """Return a document of these parts.

    Raises:
        WorkflowError: With every problem of their shape.
    """
    return workflow.parse({"graphflow": workflow.FORMAT_VERSION, **parts})


def _unlike_json(place: str, value: Any) -> list[Problem]:
    """Return the problem with a literal that JSON cannot hold, if it is one."""
    try:
        jsontools.canonical(value)
    except (TypeError, ValueError):
        return [Problem(place, f"{shorten(value)} is nothing that JSON can hold", "give a number, a text, a list …")]
    return []
