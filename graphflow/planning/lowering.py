"""The one way from an expanded document to nodes whose inputs, files and keys are known; planning and export start here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graphflow.basics.wording import nearest
from graphflow.document.document import split_address
from graphflow.errors import Problem, WorkflowError
from graphflow.planning.checked import Checked, CheckedNode, Source
from graphflow.planning.expand import Expanded
from graphflow.planning.families import family_problems
from graphflow.planning.keys import Keying
from graphflow.planning.reach import ancestors
from graphflow.planning.safety import Guarded, Policy, guard
from graphflow.planning.validate import validate
from graphflow.planning.waiting import waiting_problems, waiting_problems_of_plan
from graphflow.spec.registry import Registry


@dataclass(frozen=True)
class Lowered:
    """A document without a problem.

    Attributes:
        checked: The nodes as they stand in the document.
        guarded: The nodes with the safety filters that were put in.
        keying: What the inputs of the needed nodes get, which files they read, and their keys.
        ends: What is to be computed, as its addresses stand in the document.
        ancestors: Ids of the nodes that the ends need, themselves included.
    """

    checked: Checked
    guarded: Guarded
    keying: Keying
    ends: tuple[Source, ...]
    ancestors: frozenset[str]

    @property
    def nodes(self) -> Mapping[str, CheckedNode]:
        """The nodes in topological order, safety filters among them."""
        return self.guarded.nodes

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user should know."""
        return tuple(dict.fromkeys([*self.keying.notices, *self.guarded.notices]))


def lower(
    expanded: Expanded,
    registry: Registry,
    keying: Keying,
    *,
    safety: Policy = "auto",
    checker: str | None = None,
    targets: Iterable[str] | None = None,
    writes_only: bool = False,
) -> Lowered:
    """Check a document, guard what it writes, and key what its targets need.

    Args:
        expanded: The document.
        registry: The known node types.
        keying: Keys the nodes; new, of this document.
        safety: The safety policy.
        checker: Name of the configured safety checker.
        targets: Node ids or addresses to compute; None is every node with an effect and the document's outputs.
        writes_only: Leave the outputs out where a node has an effect.

    Raises:
        WorkflowError: With every problem of the document.
    """
    checked = validate(expanded.flat, registry)
    keying.notices.extend((*expanded.notices, *checked.notices))
    problems = [*expanded.problems, *checked.problems]
    ends = _ends(targets, checked, expanded, problems, writes_only=writes_only)
    if problems:
        waiting = waiting_problems(ends, checked.nodes, problems)
        raise WorkflowError([*problems, *waiting, *keying.missing_files(checked.nodes.values(), problems)])
    guarded = guard(
        checked.nodes, checked.types, registry, policy=safety, checker=checker, has_checker=keying.has_checker
    )
    wanted = ancestors((source.node for source in ends), guarded.nodes)
    for node_id, node in guarded.nodes.items():
        if node_id in wanted:
            keying.key(node)
    keying.problems[:0] = waiting_problems_of_plan(ends, guarded.nodes, keying)
    keying.problems.extend(family_problems(guarded.nodes.values(), keying.uses, keying.arguments))
    if guarded.problems or keying.problems:
        raise WorkflowError([*guarded.problems, *keying.problems])
    return Lowered(checked, guarded, keying, ends, frozenset(wanted))


def _ends(
    targets: Iterable[str] | None, checked: Checked, expanded: Expanded, problems: list[Problem], *, writes_only: bool
) -> tuple[Source, ...]:
    if targets is None:
        found = checked.targets(expanded.flat)
        writing = [end for end in found if checked.nodes[end.node].spec.effect]
        return tuple(writing if writes_only and writing else found)
    found = []
    for address in targets:
        node = split_address(address)[0]
        if node in expanded.flat.nodes and node not in checked.nodes:  # what is wrong with it is told
            continue
        source = checked.source(address)
        if source is None or source.output not in checked.nodes[source.node].spec.output_types:
            problems.append(Problem(f"target {address!r}", "there is no such node or output", _hint(address, checked)))
        else:
            found.append(source)
    return tuple(found)


def _hint(address: str, checked: Checked) -> str:
    """Return what the address may have meant."""
    node, _, output = address.partition(".")
    if node in checked.nodes:
        outputs = checked.nodes[node].spec.output_types
        near = nearest(output, outputs)
        return f"did you mean '{node}.{near}'?" if near else f"{node} has {', '.join(outputs)}"
    near = nearest(node, checked.nodes)
    return f"did you mean {near!r}?" if near else f"it has {', '.join(checked.nodes)}"
