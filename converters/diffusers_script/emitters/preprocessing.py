"""What ControlNets read, drawn by controlnet-aux."""

from __future__ import annotations

from graphflow.vision.annotators import ANNOTATORS

from ..handles import Pixels
from ..layout import Expression, call, flat, literal, quoted
from ..script import UnsupportedError
from .base import Emission, Emitter


def preprocess(emission: Emission) -> Pixels:
    """A detector, and what it draws."""
    method = ANNOTATORS[emission.fixed("method")]
    if method.random:
        raise UnsupportedError("a detector that draws random numbers cannot be written in scripts")
    pixels = emission.pixels("image")
    emission.begin()
    emission.script.use("controlnet_aux", method.class_name)
    emission.script.need("annotate")
    loading = {name: flat(literal(value)) for name, value in method.loading.items()}
    made: Expression = call(method.class_name)
    if method.files:
        made = call(f"{method.class_name}.from_pretrained", quoted(method.repository), **loading)
    detector = emission.script.assign("detector", made)
    if method.pick is not None:
        detector = f"lambda *given, **options: {detector}(*given, **options)[{method.pick}]"
    options: dict[str, Expression] = {name: literal(value) for name, value in method.calling.items()}
    if method.module not in ("teed", "lineart_standard"):
        options["image_resolution"] = emission.value("resolution")
    emission.inputs["seed"]
    drawn = call("annotate", detector, pixels.variable, emission.value("resolution"), **options)
    return Pixels(emission.assign(drawn))


EMITTERS: dict[str, Emitter] = {"preprocess": preprocess}
