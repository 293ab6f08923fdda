"""Writing a model in a quantised format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from graphflow.basics.atomic import write_new
from graphflow.errors import GraphflowError, InvalidInputError
from graphflow.modelfiles.description import DENOISERS, Description
from graphflow.modelfiles.families import variant_named
from graphflow.modelfiles.quantised.gguf_names import T5, is_t5
from graphflow.modelfiles.sources import find_sidecar

if TYPE_CHECKING:
    from graphflow.loading.quantising import Report
    from graphflow.session import Session

_KINDS = ("checkpoint", "diffusion_model", "text_encoder", "controlnet")


def write_quantised(
    session: Session, name: str, target: str, output: Path | None, *, evaluate: bool = True
) -> tuple[Path, Report]:
    """Quantise a model's file.

    Args:
        session: Knows the models.
        name: The model's name or path.
        target: The format.
        output: The file to write; None is beside the model, with the format in its name.
        evaluate: Whether both files are evaluated once.

    Returns:
        The file written, and what became of each layer.

    Raises:
        InvalidInputError: It is no model of one file, nothing of it can be quantised, or the output exists.
    """
    from graphflow.loading.mapped import MappedFiles
    from graphflow.loading.quantising import GGUF, is_chosen, quantised, require_target

    require_target(target)
    found = session.library.describe(name, trusted=True)
    if found.path is None or found.path.is_dir() or found.kind not in _KINDS:
        raise InvalidInputError(
            f"a {found.kind.replace('_', ' ')} in this form is not quantised",
            where=name,
            advice="name the weight file of a checkpoint, a diffusion model or a text encoder",
        )
    gguf = target.startswith(GGUF)
    ending = f"-{target.removeprefix(GGUF)}{'.gguf' if gguf else '.safetensors'}"
    path = output or found.path.with_name(found.path.stem + ending)
    files = MappedFiles(next(iter(found.parts.values())).files, found.path.name)
    architecture = _architecture(found, files.names) if gguf else ""
    inside = tuple(part.prefix for part in found.parts.values() if part.name in DENOISERS) or ("",)
    pieces, report = quantised(
        files,
        target,
        lambda key, shape: key.startswith(inside) and is_chosen(key, shape),
        architecture=architecture,
    )
    if not write_new(path, pieces):
        raise InvalidInputError("this file exists already", where=str(path), advice="name another one with -o")
    sidecar = find_sidecar(found.path)
    if sidecar is not None:  # what the file does not tell of itself, the new one does not either
        write_new(path.with_suffix(".json"), sidecar.read_bytes())
    if evaluate:
        _evaluate(session, found, path, report)
    return path, report


def _evaluate(session: Session, before: Description, path: Path, report: Report) -> None:
    from graphflow.loading.evaluating import evaluation_error

    try:
        after = session.library.describe(str(path), before.kind, trusted=True)
        report.evaluation = evaluation_error(session.library, session.settings, before, after)
    except GraphflowError as error:  # the file is written, and good
        report.evaluation_missing = str(error)


def _architecture(found: Description, names: tuple[str, ...]) -> str:
    """What a GGUF file says that it holds."""
    if found.kind == "text_encoder" and is_t5(names):
        return T5
    variant = variant_named(found.variant) if found.kind == "diffusion_model" else None
    if variant is None or not variant.gguf:
        raise InvalidInputError(
            f"no GGUF file is written of a {found.kind.replace('_', ' ')} of {found.variant or found.family or 'this family'}",
            where=found.name,
            advice="GGUF files hold one diffusion model, or T5's encoder; choose another format",
        )
    return variant.gguf
