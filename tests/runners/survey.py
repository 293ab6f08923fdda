"""Imports, runs and exports every official ComfyUI template that is not tied to a paid API; writes tables in docs/comfyui.md.

Parts: templates below their families, e.g. sdxl, flux-1 and video. Those that import whole run with random weights in place
of their models. A part is good where its file flattens; how many import whole, tests/comfyui/test_survey.py holds.
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


def by_part() -> dict[str, str]:
    """Return the template of each part."""
    parts = {f"{_slug(family_of(name))}/{name.removesuffix('.json')}": name for name in templates()}
    return dict(sorted(parts.items()))


def run(parts: Sequence[str], given: Given) -> Iterator[tuple[str, Any]]:
    """Import the template of each part, run and export it."""
    names = by_part()
    for part in parts:
        yield part, survey([names[part]], tried=True).to_json()


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--problems", action="store_true", help="print every problem, once all parts are there")
    parser.add_argument("--missing", action="store_true", help="print what each file lacks, once all parts are there")


def _ok(result: Any) -> bool:
    return not result["count"].get("failed")


def _line(result: Any) -> str:
    (template,) = Survey.of([result]).templates.values()
    if template.lacks:
        return f"lacks {', '.join(template.lacks)}"
    said = {"runs": template.runs, "exports": template.exports}
    return "; ".join(f"{verb} not: {why[:200]}" if why else verb for verb, why in said.items())


def _write(results: Results, given: Given) -> None:
    found = Survey.of(results.values())
    for label in found.count:
        print(f"  {label:<42}{found.count[label]:>7,}")
    for title, counter in (("notes", found.notes), ("problems", found.problems), ("not supported", found.missing)):
        print(f"{title}: " + (", ".join(f"{code} {number}" for code, number in counter.most_common(40)) or "none"))
    if given.problems:
        print("\n".join(found.said))
    if given.missing:
        for name, template in found.templates.items():
            if template.lacks:
                print(f"{name}: {', '.join(template.lacks)}")
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
