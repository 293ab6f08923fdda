"""Runs and exports imported workflows without their models and pictures."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import PIL.Image
import PIL.ImageOps

from graphflow import Session, Settings
from graphflow.converters.diffusers_script import export
from graphflow.document.document import Document
from graphflow.errors import GraphflowError
from graphflow.settings import RootSetting
from tests.models.stand_in_files import write_stand_ins

STEPS = 2
"""Sampling steps of each picture, whatever the workflow says: more would show no more."""
QUANTISED = re.compile(r"fp8|int8|int4|fp4|[wa][468]a|gguf|(?<![a-z0-9])q[2-8](_|\b)", re.IGNORECASE)
"""In the published names of quantised files."""


def attempt(document: Document) -> tuple[str, str, tuple[str, ...]]:
    """Run and export a document, with stand-ins for its models and a picture for each that it reads.

    Those of networks and LoRAs that lie in files of their own are written, so that scripts have files to name and layers
    to read.

    Returns:
        Why it does not run and why it is no script, empty where it does and is, and the quantised files that it names.
    """
    with TemporaryDirectory() as made:
        folder = Path(made)
        models = RootSetting(path=folder / "models")
        settings = Settings(
            models=(models,),
            cache_dir=folder / "cache",
            cache_bytes=0,
            device="cpu",
            offline=True,
            safety="off",
            stand_in=True,
        )
        with Session(settings) as first:
            nodes = first.validate(document).nodes.values()
            needs = [need for node in nodes for need in node.spec.files(node.params)]
            for need in needs:
                if need.kind == "image" and not need.model:
                    make_picture(folder / need.name)
            with suppress(GraphflowError):  # running it says the same
                write_stand_ins(first, document, folder / "models", folder)
        with Session(settings) as session:
            fewer = dict.fromkeys((name for name in document.inputs if name.startswith("steps")), STEPS)
            runs = _said(lambda: session.run(document, fewer, folder=folder, out=folder / "out"))
            exports = _said(lambda: export(document, session=session, folder=folder))
    return runs, exports, tuple(sorted({need.name for need in needs if need.model and QUANTISED.search(need.name)}))


def make_picture(path: Path) -> None:
    """Write a picture that templates read: of several colours, and with something cut out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = PIL.Image.radial_gradient("L").resize((1536, 1024))
    bands = (picture, picture.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT), PIL.ImageOps.invert(picture))
    PIL.Image.merge("RGBA", (*bands, picture.point(lambda value: 255 * (value < 200)))).save(path, "PNG")


def _said(call: Callable[[], object]) -> str:
    """Return why a call fails, in one line; empty where it does not."""
    try:
        call()
    except GraphflowError as error:
        return re.sub(r"\s+", " ", str(error))
    return ""
