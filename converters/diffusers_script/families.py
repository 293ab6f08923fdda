"""What the exporter asks the family of a model."""

from __future__ import annotations

from graphflow.modelfiles.families import installed, variant_named
from graphflow.modelfiles.family import Family
from graphflow.modelfiles.scripts import FlowScripts, FlowSteering, ScriptTraits

from .models import Base
from .script import UnsupportedError


def family_of(base: Base) -> Family:
    """The family of a model.

    Raises:
        UnsupportedError: No script can run its models.
    """
    family = installed().get(base.family)
    if family is None or family.scripts is None:
        raise UnsupportedError(f"scripts cannot run models of the family {base.family!r}")
    return family


def traits_of(base: Base) -> ScriptTraits:
    """What sets the pipelines of a model's family apart.

    Raises:
        UnsupportedError: No script can run its models.
    """
    traits = family_of(base).scripts
    assert traits is not None
    return traits


def flow_of(base: Base) -> FlowScripts | None:
    """How scripts run a model on a flow; None where it is none.

    Raises:
        UnsupportedError: No script can run its models.
    """
    return traits_of(base).flow


def steering_of(base: Base) -> FlowSteering | None:
    """How ControlNets of a family steer models on a flow; None where they steer UNets, or nothing tells the family."""
    family = installed().get(base.family)
    flow = family.scripts.flow if family is not None and family.scripts is not None else None
    return flow.steering if flow is not None else None


def pipeline_class(base: Base, task: str) -> str:
    """The Diffusers class that does a task with a model.

    Raises:
        UnsupportedError: There is none.
    """
    variant = variant_named(base.description.variant)
    own = variant.pipeline if variant is not None and task == "text2img" else ""
    name = own or family_of(base).pipelines().get(task)
    if name is None:
        raise UnsupportedError(f"scripts cannot run models of the family {base.family!r}")
    return name


def text_parts(base: Base) -> tuple[str, ...]:
    """The names of a model's text encoders.

    Raises:
        UnsupportedError: No script can run its models.
    """
    return tuple(role.part for role in family_of(base).encoders() if role.kind == "text")
