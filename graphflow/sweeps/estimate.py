"""What a sweep would do, before anything runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from graphflow.planning.batches import back, computes_at_once, told_singly
from graphflow.planning.steps import Constant, Plan, Step
from graphflow.planning.together import variant_of
from graphflow.planning.weights import needed_files


@dataclass
class Estimate:
    """What a sweep would do.

    Attributes:
        variants: How many variants there are.
        run: Nodes to run, each once.
        cached: Nodes whose values are stored.
        write: Effects to carry out.
        stored: Effects among them whose files are stored: they are copied where they are not there, and nothing has to run.
        sampling_steps: Steps of all samplers together, as far as planning knows them.
        batches: By node: how many variants it computes at once, and how often.
        alone: What is not merged, and why, with the number of variants.
        weights: Bytes of weights to load, by model.
    """

    variants: int
    run: int = 0
    cached: int = 0
    write: int = 0
    stored: int = 0
    sampling_steps: int = 0
    batches: dict[str, Counter[int]] = field(default_factory=dict)
    alone: Counter[str] = field(default_factory=Counter)
    weights: dict[str, int] = field(default_factory=dict)
    _notices: dict[str, None] = field(default_factory=dict)
    _counted: set[str] = field(default_factory=set)

    @property
    def notices(self) -> list[str]:
        """What the user should know."""
        return [*self._notices, *told_singly(self.alone)]

    def add(self, plan: Plan) -> None:
        """Add a plan; what an earlier one has, too, is not counted again."""
        for step in plan.steps.values():
            if step.action == "write":
                self.write += 1
                self.stored += step.artifact_stored
            if step.action not in ("run", "cached") or step.key in self._counted:
                continue
            self._counted.update(filter(None, [step.key]))
            self.cached += step.action == "cached"
            if step.action == "run":
                self.run += 1
                self.sampling_steps += _sampling_steps(step, plan) if step.spec.generates else 0
                if several := computes_at_once(step):
                    self.batches.setdefault(variant_of(several[0])[1], Counter())[several[1]] += 1
        for use, sizes, _ in needed_files(plan):
            if sizes:
                self.weights[use.need.name] = max(self.weights.get(use.need.name, 0), sum(sizes.values()))
        self._notices.update(dict.fromkeys(plan.notices))


def _sampling_steps(step: Step, plan: Plan) -> int:
    """Return how many steps a sampler takes, or several at once: what it says itself, or the nearest node before it."""
    for at in back(step, plan):
        told = [
            at.arguments.get(name, Constant(spec.default))
            for name, spec in at.spec.inputs.items()
            if name.rpartition(".")[2] == "steps"
        ]
        if told:
            several = computes_at_once(step)
            steps = sum(part.value for part in told if isinstance(part, Constant) and isinstance(part.value, int))
            return steps if at is step else steps * several[1] if several else steps
    return 0
