"""Graphs in Python: ``Workflow`` builds the same document that JSON holds.

>>> g = Workflow("text to image")
>>> ckpt = g.add(load_checkpoint, model="shapes", id="checkpoint")
>>> positive = g.add(encode_prompt, text_encoder=ckpt.text_encoder, text="a red circle on a blue background")
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload

from graphflow.basics import atomic, jsontools
from graphflow.basics.arguments import require
from graphflow.basics.wording import nearest, plain, shorten
from graphflow.building.refs import ANY, LINKS, HostRef, Ref
from graphflow.document import document as workflow
from graphflow.document.document import Document
from graphflow.document.drawing import draw
from graphflow.document.flatten import PREFIX, reached
from graphflow.document.format_1 import Keep
from graphflow.document.opening import Opened, opened
from graphflow.errors import Problem, WorkflowError
from graphflow.execution.options import PlanOptions, RunOptions
from graphflow.spec.decorator import spec_of

if TYPE_CHECKING:
    from graphflow.execution.result import Result
    from graphflow.planning.checked import Checked
    from graphflow.planning.steps import Plan
    from graphflow.session import Session
    from graphflow.sweeps.results import Swept

_numbers = count(1)

P = ParamSpec("P")
T = TypeVar("T")


class Workflow:
    """A workflow that is built in Python, or loaded, and can be saved, checked, planned and run.

    Args:
        name: What to call it.
        description: What it does.

    Attributes:
        document: The document.
        folder: The folder in which its file names resolve, where it was loaded from one.
        notices: What it says otherwise than the file of another program that it was loaded from.
    """

    def __init__(self, name: str | None = None, *, description: str | None = None) -> None:
        require(
            name, (str, type(None)), "Workflow(name)", "a text", "Workflow.load reads a file, from_json parsed JSON"
        )
        self._document = Document(name=name, description=description)
        self._number = next(_numbers)
        self._defaults: dict[str, Any] = {}
        self.folder: Path | None = None
        self.notices: tuple[str, ...] = ()
        self._own: set[tuple[str, str]] = set()
        self._embedded: dict[str, Workflow] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Workflow) and self.document == other.document

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Workflow({self.document.name!r}, nodes={list(self.document.nodes)})"

    def _repr_html_(self) -> str:
        """Show the graph in a notebook."""
        return draw(self.document)

    @property
    def document(self) -> Document:
        """The document."""
        self._take_defaults("defaults")
        return self._document

    def _take_defaults(self, keep: Keep) -> None:
        """Put the defaults that code of version 0.1 gives to :meth:`expose` where documents of format 1 have them."""
        if self._defaults:
            data = self._document.to_json() | {"graphflow": 1}
            for name, default in self._defaults.items():
                data["inputs"][name]["default"] = default
            self._document, self._defaults = workflow.parse(data, keep=keep), {}

    @property
    def own(self) -> frozenset[tuple[str, str]]:
        """(node, parameter) pairs whose values the Python code gave: such a file name may lead anywhere.

        Those of a document that was loaded lead into its folder, the input folder and the model folders only. Nodes of
        inner workflows have unfolded ids.
        """
        own = set(self._own)
        for host, entry in self.document.nodes.items():
            embedded = self._embedded.get(entry.type.removeprefix(PREFIX)) if entry.type.startswith(PREFIX) else None
            if embedded is not None:
                given = {name for name in entry.params if (host, name) not in self._own}
                covered = {pair for name in given for pair in reached(self.document, host, name)}
                own |= {(f"{host}:{node}", parameter) for node, parameter in embedded.own} - covered
        return frozenset(own)

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
            id: Its id; by default its type, `_` for a dot, with a number where that is taken.
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
        node_id = id if id is not None else self._free_id(spec.type.replace(".", "_"))
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
                problems += self._foreign(f"nodes.{node_id}.links.{name}", value)
            elif isinstance(value, list | tuple) and value and all(isinstance(part, LINKS) for part in value):
                links[name] = [part.address for part in value]
                problems += self._foreign(f"nodes.{node_id}.links.{name}", *value)
            elif value is not None or not spec.inputs[name].linked:
                params[name] = plain(value)
                problems += _unlike_json(f"nodes.{node_id}.params.{name}", params[name])
        if problems:
            raise WorkflowError(problems)
        data = {"type": spec.type, "params": params, "links": links, "version": spec.version}
        data |= {key: value for key, value in (("title", title), ("note", note)) if value is not None}
        self._document.nodes[node_id] = _checked(nodes={node_id: data}).nodes[node_id]
        self._own.update((node_id, name) for name in params)
        return Ref[Any](node_id, spec, spec.primary, self._number)

    def expose(self, name: str, *targets: str | tuple[Any, str], description: str | None = None, **of_0_1: Any) -> None:
        """Make parameters a knob that a caller may turn. Where nobody does, they are what their nodes say.

        Args:
            name: Name of the knob.
            *targets: ``"node.parameter"``, or (Ref, parameter).
            description: What it does.
            **of_0_1: ``default``, which code that version 0.1 exported gives; new code gives values to :meth:`add`.

        Raises:
            WorkflowError: The name is malformed, or there is no target.
        """
        if unknown := of_0_1.keys() - {"default"}:
            raise TypeError(f"expose() has no argument {min(unknown)!r}")
        addresses = [_target(name, target) for target in targets]
        default = plain(of_0_1.get("default"))
        problems = _unlike_json(f"inputs.{name}.default", default)
        problems += self._foreign(f"inputs.{name}.to", *(target[0] for target in targets if isinstance(target, tuple)))
        if problems:
            raise WorkflowError(problems)
        exposed = {"to": addresses, "description": description}
        self._document.inputs[name] = _checked(inputs={name: exposed}).inputs[name]
        if default is not None:
            self._defaults[name] = default

    def output(self, name: str, ref: Any) -> None:
        """Name the value of a Ref, HostRef or Link, which a run then returns.

        Raises:
            WorkflowError: The name is malformed.
        """
        require(
            ref, LINKS, f"outputs.{name}", "what add() returned, or one of its outputs", "Link('NODE') names a node"
        )
        if problems := self._foreign(f"outputs.{name}", ref):
            raise WorkflowError(problems)
        self._document.outputs |= _checked(outputs={name: ref.address}).outputs

    def embed(self, name: str, inner: Workflow) -> None:
        """Put a workflow inside this one, for nodes of type ``workflow:NAME``.

        Raises:
            WorkflowError: The name is malformed.
        """
        require(inner, Workflow, f"workflows.{name}", "a Workflow", "Workflow.load reads one from a file")
        _checked(workflows={name: {}})
        inner._take_defaults("nodes")
        self._document.workflows[name] = inner.document
        self._embedded[name] = inner

    def use(self, name: str, /, *, id: str | None = None, **arguments: Any) -> HostRef:
        """Add a node that runs an embedded workflow.

        Raises:
            WorkflowError: There is no such inner workflow, it has no such input, an argument is nothing that JSON can
                hold, or the id is taken or malformed.
        """
        inner = self._document.workflows.get(name)
        if inner is None:
            near = nearest(name, self._document.workflows)
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
        given = {key: value for key, value in arguments.items() if isinstance(value, LINKS)}
        for key, value in given.items():
            problems += self._foreign(f"nodes.{node_id}.links.{key}", value)
        if problems:
            raise WorkflowError(problems)
        links = {key: value.address for key, value in given.items()}
        data = {"type": f"{PREFIX}{name}", "params": params, "links": links}
        self._document.nodes[node_id] = _checked(nodes={node_id: data}).nodes[node_id]
        self._own.update((node_id, key) for key in params)
        return HostRef(node_id, tuple(inner.outputs), self._number)

    def _taken(self, node_id: str) -> list[Problem]:
        if node_id not in self._document.nodes:
            return []
        return [Problem(f"nodes.{node_id}", "the id is taken", "give another one with id=")]

    def _foreign(self, place: str, *links: Any) -> list[Problem]:
        """Return the problem with a link into another graph, where its address may well be that of another node."""
        return [
            Problem(place, f"{link.address!r} is of another workflow", "add its node to this one, too")
            for link in links
            if link.graph not in (ANY, self._number)
        ]

    def _free_id(self, base: str) -> str:
        if base not in self._document.nodes:
            return base
        number = 2
        while f"{base}_{number}" in self._document.nodes:
            number += 1
        return f"{base}_{number}"

    # ------------------------------------------------------------------------------- loading and saving

    @classmethod
    def from_document(cls, document: Document) -> Workflow:
        """Wrap a document."""
        require(document, Document, "Workflow.from_document", "a Document", "Workflow.from_json takes parsed JSON")
        return cls._of(opened(document))

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | str, *, keep: Keep | None = None) -> Workflow:
        """Read a workflow from JSON, parsed or as text.

        Args:
            data: The JSON.
            keep: ``"nodes"`` or ``"defaults"``: what counts in a document of format 1 where they differ.

        Raises:
            WorkflowError: With every problem of its shape.
        """
        parsed = jsontools.loads(data, source="workflow") if isinstance(data, str) else data
        require(parsed, Mapping, "workflow", "a JSON object")
        return cls._of(opened(parsed, keep=keep))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, keep: Keep | None = None) -> Workflow:
        """Read a workflow by the path of a JSON file or picture (native or ComfyUI's), or by packaged name.

        Args:
            path: The file.
            keep: See :meth:`from_json`.

        Raises:
            InvalidInputError: The file cannot be read, or holds no workflow.
        """
        require(path, (str, os.PathLike), "workflow", "a path or a name", "Workflow.from_json takes parsed JSON")
        return cls._of(opened(path, keep=keep))

    @classmethod
    def _of(cls, found: Opened) -> Workflow:
        result = cls()
        result._document, result.folder, result.notices = found.document, found.folder, found.notices
        return result

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

    def sweep(
        self,
        vary: Mapping[str, str | Iterable[Any]] | None = None,
        *,
        rows: Path | str | Iterable[Mapping[str, Any]] | None = None,
        zip: bool = False,
        inputs: Mapping[str, Any] | None = None,
        session: Session | None = None,
        **options: Unpack[RunOptions],
    ) -> Swept:
        """Run it once for each combination of values; see :func:`graphflow.sweep`."""
        from graphflow.sweeps.sweep import sweep

        return sweep(self, vary, rows=rows, zip=zip, inputs=inputs, session=session, **options)

    def plan(
        self,
        inputs: Mapping[str, Any] | None = None,
        *,
        session: Session | None = None,
        **options: Unpack[PlanOptions],
    ) -> Plan:
        """Plan it, in a session of the settings by default; see :meth:`graphflow.session.Session.plan`."""
        return _session(session).plan(self, inputs, **options)

    def validate(self, inputs: Mapping[str, Any] | None = None, *, session: Session | None = None) -> Checked:
        """Check it; see :meth:`graphflow.session.Session.validate`."""
        return _session(session).validate(self, inputs)


def _session(given: Session | None) -> Session:
    from graphflow.session import Session

    if given is not None:
        require(given, Session, "session", "a graphflow.Session")
    return given or Session()


def _target(name: str, target: object) -> str:
    """Return the address of a parameter, ``"node.parameter"`` or (Ref, parameter)."""
    match target:
        case (Ref() as ref, str() as parameter):
            return f"{ref.node}.{parameter}"
    require(target, str, f"inputs.{name}.to", "'node.parameter' or (Ref, parameter)")
    return str(target)


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
