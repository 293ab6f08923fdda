"""Import every official template that is not tied to a paid API, and print what comes of it, by family.

    python -m tests.comfyui.survey [--all] [--problems] [--missing] [--write]

``--write`` puts the tables into docs/comfyui.md. Exit code 1 if any file does not flatten, or if fewer templates import
whole than is promised.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

from graphflow.converters.comfyui import Flattened, Report, to_native, to_prompt
from graphflow.converters.comfyui.catalogue import interfaces
from graphflow.converters.comfyui.rules import RULES
from graphflow.converters.comfyui.rules.needs import need_of
from graphflow.converters.comfyui.rules.rule import AnyRule, Rule
from graphflow.errors import GraphflowError
from graphflow.spec.registry import Registry, installed

from .fuzz import template, templates

DOCS = Path(__file__).parents[2] / "docs" / "comfyui.md"
SHARE = 0.6
"""Promised share of image templates whose family has a class in Diffusers."""

STABLE_DIFFUSION = ("SD1.5", "SDXL")

FAMILIES: Mapping[str, str] = {
    "SD1.5": "SD1.5",
    "SDXL": "SDXL",
    "SD3.5": "SD3.5",
    "FLUX.1": "Flux.1",
    "FLUX.1 Krea": "Flux.1",
    "FLUX.1 Kontext": "Flux.1",
    "FLUX.2 Dev": "Flux.2",
    "FLUX.2 Klein": "Flux.2",
    "FLUX 3 Image": "Flux 3",
    "Qwen-Image": "Qwen-Image",
    "Qwen-Image-Edit": "Qwen-Image",
    "Qwen-Image 2512": "Qwen-Image",
    "Qwen Image Edit 2511": "Qwen-Image",
    "Qwen-Image-Layered": "Qwen-Image",
    "FireRed Image Edit 1.1": "Qwen-Image",
    "Qwen Image 2.1": "Qwen-Image 2.1",
    "Z-Image": "Z-Image",
    "Z-Image-Turbo": "Z-Image",
    "HiDream": "HiDream",
    "Chroma": "Chroma",
    "OmniGen": "OmniGen, Lumina 2",
    "NewBie": "OmniGen, Lumina 2",
    "Ovis-Image": "Ovis-Image",
    "LongCat": "LongCat-Image",
    "LongCat Image Edit": "LongCat-Image",
    "Kandinsky": "Kandinsky 5",
    "ChronoEdit": "ChronoEdit",
    "ERNIE-Image": "ERNIE-Image",
    "Krea 2": "Krea 2",
    "Ideogram": "Ideogram 4",
    "JoyAI Image Edit": "JoyImage",
    "Fibo 2.0": "Fibo 2",
    "Anima": "Anima",
}
"""Families with a class in Diffusers, by the names that the templates' index gives models; the first that is named counts."""

OTHER = "other image"


@dataclass
class Family:
    """What became of one family's templates."""

    whole: list[str] = field(default_factory=list)
    ready: list[str] = field(default_factory=list)
    partly: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def files(self) -> int:
        return len(self.whole) + len(self.partly)


@dataclass
class Survey:
    """What became of all templates."""

    families: dict[str, Family] = field(default_factory=dict)
    count: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)

    def add(self, name: str, flat: Flattened, report: Report) -> None:
        self.count["nodes"] += len(flat.prompt)
        self.count["nodes that run"] += len(flat.live)
        self.notes.update(note.code for note in flat.notes)
        self.problems.update(problem.code for problem in flat.problems)
        self.count["files without a problem"] += not flat.problems
        self.count["files that import whole"] += report.complete
        self.count["files that import whole, and no node waits"] += report.ready
        self.count["nodes that wait for a family"] += sum(map(len, report.waiting.values()))
        types = tuple(sorted({entry.type for entry in report.unsupported}))
        self.missing.update(types)
        family = self.families.setdefault(family_of(name), Family())
        if types:
            family.partly[name] = types
        else:
            family.whole.append(name)
        if report.ready:
            family.ready.append(name)
        self.said.extend(f"{name}: {problem}" for problem in flat.problems)

    def share(self) -> tuple[int, int]:
        """Return how many image templates of families that Diffusers has import whole, of how many."""
        found = [family for name, family in self.families.items() if name in FAMILIES.values()]
        return sum(len(family.whole) for family in found), sum(family.files for family in found)


@cache
def _registry() -> Registry:
    return installed()


@cache
def _index() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return kind and models of each template that the index lists."""
    text = (resources.files("comfyui_workflow_templates_json") / "templates" / "index.json").read_text("utf-8")
    return {
        entry["name"]: (category.get("type") or "", tuple(entry.get("models") or ()))
        for category in json.loads(text)
        for entry in category["templates"]
    }


def family_of(name: str) -> str:
    """Return the family of a template: for pictures by model, else by what it makes."""
    kind, models = _index().get(name.removesuffix(".json"), ("unlisted", ()))
    if kind != "image":
        return kind or "unlisted"
    return next((FAMILIES[model] for model in models if model in FAMILIES), OTHER)


def survey(names: Iterable[str]) -> Survey:
    """Import templates."""
    result, registry = Survey(), _registry()
    for name in names:
        try:
            flat = to_prompt(template(name))
        except GraphflowError as error:
            result.count["failed"] += 1
            print(f"{name}: {error}")
            continue
        try:
            report = to_native(flat, registry=registry).report
        except GraphflowError as error:
            result.families.setdefault(family_of(name), Family()).partly[name] = (str(error),)
            continue
        result.add(name, flat, report)
    return result


def family_table(found: Survey) -> str:
    """Return shares by family as Markdown."""
    lines = ["| family | templates | import whole | … and no node waits |", "|---|---|---|---|"]
    names = [*dict.fromkeys(FAMILIES.values()), *sorted(set(found.families) - set(FAMILIES.values()))]
    for name in names:
        family = found.families.get(name)
        if family is not None:
            lines.append(f"| {name} | {family.files} | {len(family.whole)} | {len(family.ready)} |")
    whole, files = found.share()
    ready = sum(len(found.families[name].ready) for name in {*FAMILIES.values()} & found.families.keys())
    lines.append(
        f"| **image families that Diffusers has** | **{files}** | **{whole} ({whole / files:.0%})** | **{ready}** |"
    )
    return "\n".join(lines)


def waits_of(rule: AnyRule) -> str:
    """Return what all native nodes of a rule wait for, or the one that it is a part of; empty where one of them runs."""
    known = _registry().specs
    natives = rule.natives or tuple(word for word in re.findall(r"\w+", getattr(rule, "says", "")) if word in known)
    fixed = rule.fixed if isinstance(rule, Rule) else {}
    waits = [known[native].waiting(fixed, known[native].inputs.keys() - fixed.keys()) for native in natives]
    return ", ".join(dict.fromkeys(map(str, waits))) if waits and None not in waits else ""


def rule_table() -> str:
    """Return the supported ComfyUI types as Markdown, ComfyUI's own first."""
    lines = ["| ComfyUI type | pack | becomes | differs |", "|---|---|---|---|"]
    for rule in sorted(RULES.values(), key=lambda rule: (rule.pack.lower(), rule.comfy.lower())):
        says = getattr(rule, "says", "")
        natives = says if says else ", ".join(f"`{native}`" for native in rule.natives)
        waits = waits_of(rule)
        differs = "; ".join(part for part in (rule.differs, f"waits for {waits}" if waits else "") if part)
        cells = (f"`{rule.comfy}`", rule.pack, natives, differs)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def core_table() -> str:
    """Return as Markdown what becomes of ComfyUI's own types, and what those without a rule need."""
    core = sorted(type for type, known in interfaces().items() if known.core)
    ruled = {type: RULES.get(type) or RULES.get(type.strip()) for type in core}
    waiting = {type for type, rule in ruled.items() if rule is not None and waits_of(rule)}
    running = [rule for type, rule in ruled.items() if rule is not None and type not in waiting]
    exact = sum(not rule.differs for rule in running)
    near = sum(bool(rule.differs) for rule in running)
    missing: dict[str, dict[str, list[str]]] = {"family": {}, "node": {}}
    for type, rule in ruled.items():
        need = need_of(type)
        if rule is None and need is not None:
            missing[need.kind].setdefault(need.says, []).append(type)
    counts = {kind: sum(map(len, rows.values())) for kind, rows in missing.items()}
    lines = [
        "| verdict | types |",
        "|---|---|",
        f"| said in native nodes | {exact} |",
        f"| said in native nodes, with a difference that is always there | {near} |",
        f"| said in native nodes that wait for their family | {len(waiting)} |",
        f"| not supported: its family is not built | {counts['family']} |",
        f"| not supported: no native node does it | {counts['node']} |",
        f"| **all** | **{len(core)}** |",
    ]
    titles = {"family": "Their family would have to be built:", "node": "A native node would have to be written:"}
    for kind, rows in missing.items():
        lines += ["", titles[kind], "", "| needed | types |", "|---|---|"]
        lines += [f"| {says} | {', '.join(f'`{type}`' for type in types)} |" for says, types in sorted(rows.items())]
    return "\n".join(lines)


def with_tables(text: str, tables: Mapping[str, str]) -> str:
    """Return a document with tables put between ``<!-- name -->`` and ``<!-- /name -->``."""
    for name, table in tables.items():
        text = re.sub(
            f"(<!-- {name} -->\n).*?(<!-- /{name} -->)",
            lambda match, table=table: f"{match[1]}{table}\n{match[2]}",  # type: ignore[misc]
            text,
            flags=re.DOTALL,
        )
    return text


def main(arguments: list[str] | None = None) -> int:
    """Print counts of files, nodes, notes and problems."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="with the templates tied to paid APIs")
    parser.add_argument("--problems", action="store_true", help="print every problem")
    parser.add_argument("--missing", action="store_true", help="print what each file lacks")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/comfyui.md")
    options = parser.parse_args(arguments)
    names = templates(paid=options.all)
    start = time.perf_counter()
    found = survey(names)
    print(f"{len(names)} files in {time.perf_counter() - start:.1f} s")
    for label in found.count:
        print(f"  {label:<42}{found.count[label]:>7,}")
    for title, counter in (("notes", found.notes), ("problems", found.problems), ("not supported", found.missing)):
        print(f"{title}: " + (", ".join(f"{code} {number}" for code, number in counter.most_common(40)) or "none"))
    print(family_table(found))
    print(core_table())
    if options.problems:
        print("\n".join(found.said))
    if options.missing:
        for family in found.families.values():
            for name, types in family.partly.items():
                print(f"{name}: {', '.join(types)}")
    if options.write:
        tables = {"families": family_table(found), "core": core_table(), "rules": rule_table()}
        DOCS.write_text(with_tables(DOCS.read_text("utf-8"), tables), "utf-8")
    whole, files = found.share()
    kept = whole >= SHARE * files and not any(found.families[name].partly for name in STABLE_DIFFUSION)
    return 1 if found.count["failed"] or not kept else 0


if __name__ == "__main__":
    sys.exit(main())
