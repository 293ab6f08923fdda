"""Import, run and export every official template that is not tied to a paid API, and count what comes of it, by family."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from graphflow.converters.comfyui import Flattened, Report, to_native, to_prompt
from graphflow.converters.comfyui.catalogue import interfaces
from graphflow.converters.comfyui.rules import RULES
from graphflow.converters.comfyui.rules.needs import need_of
from graphflow.converters.comfyui.rules.rule import AnyRule, Rule
from graphflow.errors import GraphflowError
from graphflow.spec.registry import Registry, installed

from .fuzz import template
from .trying import attempt

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
class Template:
    """What became of one template.

    Attributes:
        lacks: ComfyUI types on the way to an output that no native node says; none where it imports whole.
        waits: Whether a node of it waits for its family.
        runs: Why it does not run; empty where it does, None where nobody tried.
        exports: Why it is no Diffusers script; the same.
        quantised: Names of the quantised files that it loads.
    """

    lacks: tuple[str, ...] = ()
    waits: bool = False
    runs: str | None = None
    exports: str | None = None
    quantised: tuple[str, ...] = ()


COUNTERS = ("count", "notes", "problems", "missing")


@dataclass
class Survey:
    """What became of all templates, by their names."""

    templates: dict[str, Template] = field(default_factory=dict)
    count: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)

    def add(self, name: str, flat: Flattened, report: Report) -> Template:
        self.count["nodes"] += len(flat.prompt)
        self.count["nodes that run"] += len(flat.live)
        self.notes.update(note.code for note in flat.notes)
        self.problems.update(problem.code for problem in flat.problems)
        self.count["files without a problem"] += not flat.problems
        self.count["nodes that wait for a family"] += sum(map(len, report.waiting.values()))
        lacks = tuple(sorted({entry.type for entry in report.unsupported}))
        self.missing.update(lacks)
        self.said.extend(f"{name}: {problem}" for problem in flat.problems)
        self.templates[name] = Template(lacks, waits=not report.ready)
        return self.templates[name]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        counters = {name: dict(getattr(self, name)) for name in COUNTERS}
        found = {name: asdict(template) for name, template in self.templates.items()}
        return {"templates": found, **counters, "said": self.said}

    @classmethod
    def of(cls, parts: Iterable[Mapping[str, Any]]) -> Survey:
        """Return what several surveys of different templates, as plain JSON, found together."""
        found = cls()
        for part in parts:
            for name, one in part["templates"].items():
                found.templates[name] = Template(**one)
            for name in COUNTERS:
                getattr(found, name).update(part[name])
            found.said.extend(part["said"])
        return found

    def families(self) -> dict[str, dict[str, Template]]:
        """Return the templates of each family, in the order of the table."""
        found: dict[str, dict[str, Template]] = {}
        for name, one in self.templates.items():
            found.setdefault(family_of(name), {})[name] = one
        order = [*dict.fromkeys(FAMILIES.values())]
        return dict(sorted(found.items(), key=lambda item: (*_place(item[0], order), item[0])))

    def share(self) -> tuple[int, int]:
        """Return how many image templates of families that Diffusers has import whole, of how many."""
        found = [family for name, family in self.families().items() if name in FAMILIES.values()]
        return sum(not one.lacks for family in found for one in family.values()), sum(map(len, found))


def _place(name: str, order: list[str]) -> tuple[int]:
    return (order.index(name) if name in order else len(order),)


@cache
def _registry() -> Registry:
    return installed()


@cache
def _index() -> dict[str, dict[str, Any]]:
    """Return what the index says of each template."""
    text = (resources.files("comfyui_workflow_templates_json") / "templates" / "index.json").read_text("utf-8")
    return {
        entry["name"]: {"kind": category.get("type"), **entry}
        for category in json.loads(text)
        for entry in category["templates"]
    }


def family_of(name: str) -> str:
    """Return the family of a template: for pictures by model, else by what it makes."""
    entry = _index().get(name.removesuffix(".json"), {"kind": "unlisted"})
    if entry["kind"] != "image":
        return entry["kind"] or "unlisted"
    return next((FAMILIES[model] for model in entry.get("models") or () if model in FAMILIES), OTHER)


def usage(name: str) -> int:
    """Return how often a template is used, as far as the index tells."""
    return int(_index().get(name.removesuffix(".json"), {}).get("usage") or 0)


def survey(names: Iterable[str], *, tried: bool = False) -> Survey:
    """Import templates.

    Args:
        names: Their names.
        tried: Whether those that import whole are run and exported, too.
    """
    result, registry = Survey(), _registry()
    for name in names:
        try:
            flat = to_prompt(template(name))
        except GraphflowError as error:
            result.count["failed"] += 1
            print(f"{name}: {error}")
            continue
        try:
            imported = to_native(flat, registry=registry)
        except GraphflowError as error:
            result.templates[name] = Template((str(error),))
            continue
        found = result.add(name, flat, imported.report)
        if tried and not found.lacks:
            found.runs, found.exports, found.quantised = attempt(imported.document)
    return result


def family_table(found: Survey) -> str:
    """Return shares by family as Markdown."""
    lines = [
        "| family | templates | import | run | of these of quantised files | export | usage that runs |",
        "|---|---|---|---|---|---|---|",
    ]
    families = found.families()
    lines += [_row(name, family) for name, family in families.items()]
    known = [family for name, family in families.items() if name in FAMILIES.values()]
    together = {name: template for family in known for name, template in family.items()}
    return "\n".join([*lines, _row("**image families that Diffusers has**", together)])


def _row(name: str, family: Mapping[str, Template]) -> str:
    run = {name: template for name, template in family.items() if template.runs == ""}
    used, of = sum(map(usage, run)), sum(map(usage, family))
    cells = (
        name,
        len(family),
        sum(not template.lacks for template in family.values()),
        len(run),
        sum(bool(template.quantised) for template in run.values()),
        sum(template.exports == "" for template in family.values()),
        f"{used / of:.0%} of {of:,}" if of else "",
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def waits_of(rule: AnyRule) -> str:
    """Return what all native nodes of a rule wait for, or the one that it is a part of; empty where one of them runs."""
    known = _registry().specs
    natives = rule.natives or tuple(word for word in re.findall(r"\w+", getattr(rule, "says", "")) if word in known)
    fixed = rule.fixed if isinstance(rule, Rule) else rule.gives
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
