"""The model families that are installed, found through the entry point group ``graphflow.families``."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING

from graphflow.errors import ModelFormatError

if TYPE_CHECKING:
    from graphflow.modelfiles.description import Config, Guess, Kind, Part
    from graphflow.modelfiles.family import Family, Match, Variant
    from graphflow.modelfiles.inferred import Shapes

ENTRY_POINTS = "graphflow.families"


@cache
def installed() -> Mapping[str, Family]:
    """Return the families by name, in the order of their entry points' names.

    Raises:
        ModelFormatError: A package's family cannot be imported.
    """
    found = sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda point: point.name)
    families = [_loaded(point) for point in found]
    return {family.name: family for family in families}


def _loaded(point: importlib.metadata.EntryPoint) -> Family:
    try:
        family: Family = point.load()
    except Exception as error:  # whatever a stranger's module raises
        package = point.dist.name if point.dist is not None else point.value
        raise ModelFormatError(
            f"the model family cannot be imported: {type(error).__name__}: {error}",
            where=f"{point.name} of {package}",
            advice=f"mend or uninstall {package}",
        ) from error
    return family


def family_named(name: str) -> Family:
    """Return a family.

    Raises:
        ModelFormatError: There is none of this name.
    """
    if name not in installed():
        raise ModelFormatError(
            f"there is no model family {name!r}", advice=f"there are {', '.join(installed()) or 'none at all'}"
        )
    return installed()[name]


def family_of_variant(variant: str) -> str | None:
    """Return the family that a variant belongs to; a variant of none is its own family."""
    owners = (name for name, family in installed().items() if variant in {known.name for known in family.variants})
    return next(owners, variant or None)


def variant_named(name: str) -> Variant | None:
    """Return a variant; None where no family has it."""
    variants = (variant for family in installed().values() for variant in family.variants)
    return next((variant for variant in variants if variant.name == name), None)


def family_of_pipeline(class_name: str) -> str | None:
    """Return the family of a Diffusers pipeline class; None where it is not known."""
    return next((name for name, family in installed().items() if family.makes(class_name)), None)


def variant_names() -> tuple[str, ...]:
    """Return the names of all variants."""
    return tuple(variant.name for family in installed().values() for variant in family.variants)


def architectures() -> Iterator[tuple[str, str, str]]:
    """Yield beginnings of `modelspec.architecture` with the variant and prediction type that they mean, the longest first."""
    found = [
        (start, variant.name, prediction)
        for family in installed().values()
        for variant in family.variants
        for start, prediction in variant.architectures
    ]
    yield from sorted(found, key=lambda item: (-len(item[0]), item[0]))


def recognise(
    shapes: Shapes, metadata: Mapping[str, str], *, stated: Guess | None = None
) -> tuple[Family, Match] | None:
    """Return the family that recognises a weight file best, and what it says of it."""
    found = [
        (family, match)
        for family in installed().values()
        if (match := family.recognise(shapes, metadata, stated=stated)) is not None
    ]
    return max(found, key=lambda item: item[1].rank, default=None)


def recognise_part(class_name: str, config: Config) -> tuple[Family, Match] | None:
    """Return the family that recognises a component of a Diffusers folder best, and what it says of it."""
    found = [
        (family, match)
        for family in installed().values()
        if (match := family.recognise_part(class_name, config)) is not None
    ]
    return max(found, key=lambda item: item[1].rank, default=None)


def family_of_adapter(kind: Kind, shapes: Shapes, metadata: Mapping[str, str]) -> tuple[str | None, str]:
    """Return the family and variant that an adapter is for; (None, "") where its tensors do not tell."""
    found = [
        (match, name)
        for name, family in installed().items()
        if (match := family.fits_adapter(kind, shapes, metadata)) is not None
    ]
    if not found:
        return None, ""
    match, name = max(found, key=lambda item: item[0].rank)
    return name, match.variant


def family_of_encoders(classes: Collection[str]) -> Family:
    """Return the family with the fewest encoders that has a role for each of these classes, of several the choosiest.

    Raises:
        ModelFormatError: No family reads them together.
    """
    fitting = [family for family in installed().values() if _takes(family, classes)]
    if not fitting:
        raise ModelFormatError(
            f"no model family reads {', '.join(sorted(classes))} together", advice="load the text encoders of one model"
        )
    return min(
        fitting, key=lambda family: (len(family.encoders()), sum(len(role.classes) for role in family.encoders()))
    )


def families_with_encoders(count: int) -> tuple[str, ...]:
    """Return the families whose models read so many text encoders."""
    return tuple(name for name, family in installed().items() if len(family.encoders()) == count)


def _takes(family: Family, classes: Collection[str]) -> bool:
    """Tell whether each of these classes fits a role of its own."""
    free = [role for role in family.encoders() if not role.named]
    for name in classes:
        roles = [role for role in free if name in role.classes]
        if not roles:
            return False
        free.remove(min(roles, key=lambda role: len(role.classes)))
    return True


def maker_of(part: Part) -> Family:
    """Return the family whose code loads a part.

    Raises:
        ModelFormatError: No family does.
    """
    if not part.maker:
        raise ModelFormatError(
            f"models of the class {part.class_name} cannot be loaded as a part",
            advice="run the whole pipeline with run_pipeline",
        )
    return family_named(part.maker)
