"""What a sweep would do, before anything runs."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from graphflow.planning.steps import Constant, Plan, Step
from graphflow.planning.weights import needed_files


@dataclass
class Estimate:
    """What a sweep would do.

    Attributes:
        variants: How many variants there are.
        run: Nodes to run, each once.
        cached: Nodes whose values are stored.
        write: Effects to carry out.
        done: Effects among them whose files are stored, so that nothing has to run for them.
        sampling_steps: Steps of all samplers together, as far as planning knows them.
        weights: Bytes of weights to load, by model.
        notices: What the user should know.
    """

    variants: int
    run: int = 0
    cached: int = 0
    write: int = 0
    done: int = 0
    sampling_steps: int = 0
    weights: dict[str, int] = field(default_factory=dict)
    notices: dict[str, None] = field(default_factory=dict)
    _counted: set[str] = field(default_factory=set)

    def add(self, plan: Plan) -> None:
        """Add a plan; what an earlier one has, too, is not counted again."""
        for step in plan.steps.values():
            if step.action == "write":
                self.write += 1
                self.done += step.artifact_stored
            if step.action not in ("run", "cached") or step.key in self._counted:
                continue
            self._counted.update(filter(None, [step.key]))
            self.cached += step.action == "cached"
            if step.action == "run":
                self.run += 1
                self.sampling_steps += _sampling_steps(step, plan) if step.spec.generates else 0
        for use, sizes, _ in needed_files(plan):
            if sizes:
                self.weights[use.need.name] = max(self.weights.get(use.need.name, 0), sum(sizes.values()))
        self.notices.update(dict.fromkeys(plan.notices))


def _sampling_steps(step: Step, plan: Plan) -> int:
    """Return how many steps a sampler takes: what it says itself, or the nearest node before it."""
    waiting, seen = deque([step]), {step.id}
    while waiting:
        at = waiting.popleft()
        if "steps" in at.spec.inputs:
            told = at.arguments.get("steps", Constant(at.spec.inputs["steps"].default))
            return told.value if isinstance(told, Constant) and isinstance(told.value, int) else 0
        before = [plan.steps[source.node] for source in at.sources if source.node not in seen]
        seen.update(other.id for other in before)
        waiting.extend(before)
    return 0
