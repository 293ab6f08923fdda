"""Imports every official ComfyUI template that is not tied to a paid API, and writes the tables in docs/comfyui.md.

Parts: families of templates, e.g. sdxl, flux-1 and video. A part is good where all its files flatten, and those of Stable
Diffusion import whole; how many of the others do, tests/comfyui/test_survey.py holds.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from tests.comfyui.fuzz import templates
from tests.comfyui.survey import (
    DOCS,
    STABLE_DIFFUSION,
    Survey,
    core_table,
    family_of,
    family_table,
    rule_table,
    survey,
    with_tables,
)
from tests.runners.parts import Given, Results, Runner, main


def _slug(family: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", family.lower())


def by_part() -> dict[str, list[str]]:
    """Return the templates of each part."""
    found: dict[str, list[str]] = {}
    for name in templates():
        found.setdefault(_slug(family_of(name)), []).append(name)
    return dict(sorted(found.items()))


def run(parts: Sequence[str], given: Given) -> Iterator[tuple[str, Any]]:
    """Import the templates of each part."""
    names = by_part()
    for part in parts:
        yield part, survey(names[part]).to_json()


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--problems", action="store_true", help="print every problem, once all parts are there")
    parser.add_argument("--missing", action="store_true", help="print what each file lacks, once all parts are there")


def _ok(result: Any) -> bool:
    families = result["families"]
    partly = any(families[name]["partly"] for name in STABLE_DIFFUSION if name in families)
    return not result["count"].get("failed") and not partly


def _line(result: Any) -> str:
    count = result["count"]
    whole, ready = count.get("files that import whole", 0), count.get("files that import whole, and no node waits", 0)
    files = sum(len(family["whole"]) + len(family["partly"]) for family in result["families"].values())
    return f"{whole} of {files} import whole, {ready} of them with no node that waits"


def _write(results: Results, given: Given) -> None:
    found = Survey.of(results.values())
    for label in found.count:
        print(f"  {label:<42}{found.count[label]:>7,}")
    for title, counter in (("notes", found.notes), ("problems", found.problems), ("not supported", found.missing)):
        print(f"{title}: " + (", ".join(f"{code} {number}" for code, number in counter.most_common(40)) or "none"))
    if given.problems:
        print("\n".join(found.said))
    if given.missing:
        for family in found.families.values():
            for name, types in family.partly.items():
                print(f"{name}: {', '.join(types)}")
    tables = {"families": family_table(found), "core": core_table(), "rules": rule_table()}
    DOCS.write_text(with_tables(DOCS.read_text("utf-8"), tables), "utf-8")
    print(f"wrote the tables in docs/{DOCS.name}")


RUNNER = Runner(
    name="survey",
    about=__doc__,
    parts=tuple(by_part()),
    run=run,
    ok=_ok,
    line=_line,
    report=_write,
    options=_options,
)

if __name__ == "__main__":
    sys.exit(main(RUNNER))
