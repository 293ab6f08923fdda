"""A script as a Jupyter notebook: one cell for each stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .layout import Items, lay_out
from .render import about, defaults, frame, stage_lines

if TYPE_CHECKING:
    from . import Exported


def to_notebook(exported: Exported) -> str:
    """Return the JSON of a notebook, the same bytes for the same script.

    The arguments of the command line become a cell of plain values; each stage of the script is a cell.
    """
    import nbformat
    from nbformat import v4

    script = exported.script
    parts = {part.name: part.code for part in frame(script, argparse=False)}
    title, *rest = about(script)
    cells = [v4.new_markdown_cell("\n\n".join([f"# {title.rstrip('.')}", *rest]), id="title")]
    setup = [parts["imports"], parts["constants"], "torch.set_grad_enabled(False)"]
    sources = [("setup", "\n\n".join(setup))]
    if parts["helpers"]:
        sources.append(("helpers", parts["helpers"]))
    values = {**defaults(script), **({"offload": "False"} if script.places else {}), "out": 'Path("out")'}
    inputs = Items("SimpleNamespace(", tuple((f"{name}=", value) for name, value in values.items()), ")")
    sources.append(("inputs", "\n".join(lay_out("args = ", inputs))))
    stages = [stage for stage in script.stages if stage.lines]
    sources += [(f"stage-{index}", "\n".join(stage_lines(stage, 0))) for index, stage in enumerate(stages, 1)]
    cells += [v4.new_code_cell(source, id=name) for name, source in sources]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})
    nbformat.validate(notebook)
    text: str = nbformat.writes(notebook, version=4)
    return text + "\n"
