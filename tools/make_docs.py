"""Write what documents say about the code from the code: the table in the README, docs/families.md, docs/nodes.md and docs/workflows.md.

``python -m tools.make_docs`` writes, ``python -m tools.make_docs --check`` exits with 1 where something is out of date.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from graphflow import workflows
from graphflow.converters.comfyui.rules import RULES
from graphflow.converters.diffusers_script import SUPPORTED
from graphflow.document.document import Document, read
from graphflow.document.published import published
from graphflow.modelfiles.families import installed
from graphflow.modelfiles.family import Family
from graphflow.modelfiles.quantised.gguf_names import FORMAT as GGUF
from graphflow.modelfiles.quantised.nunchaku import AWQ, SVDQUANT
from graphflow.modelfiles.quantised.registry import FORMATS
from graphflow.planning.expand import standing
from graphflow.sampling.names import SAMPLER_NAMES, SCHEDULE_NAMES
from graphflow.spec import registry
from graphflow.spec.decorator import InputSpec, NodeSpec

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- table made by tools/make_docs.py -->", "<!-- end of table -->"


def categories(known: registry.Registry) -> dict[str, list[NodeSpec]]:
    """Return the node types by category."""
    found: dict[str, list[NodeSpec]] = {}
    for spec in sorted(known.specs.values(), key=lambda spec: (spec.category, spec.type)):
        found.setdefault(spec.category, []).append(spec)
    return found


def support_table(known: registry.Registry) -> str:
    """Return the README's table of what is supported."""
    running = [spec for spec in known.specs.values() if spec.waits is None]
    rows = [
        (
            "model families",
            f"{', '.join(f'`{name}`' for name in by_components())}: [docs/families.md](docs/families.md); every other Diffusers"
            " pipeline through `run_pipeline`",
        ),
        (
            "quantised weights",
            f"{', '.join(f'`{name}`' for name in (*FORMATS, SVDQUANT.name, AWQ.name, GGUF))}: [docs/quantised.md](docs/quantised.md)",
        ),
        ("samplers", ", ".join(SAMPLER_NAMES)),
        ("schedules", ", ".join(SCHEDULE_NAMES)),
        (
            f"[{len(running)} nodes](docs/nodes.md), and {len(known.specs) - len(running)} that wait for a family",
            ", ".join(f"{category} ({len(specs)})" for category, specs in categories(known).items()),
        ),
        ("packaged workflows", ", ".join(workflows.names())),
        ("ComfyUI node types that are imported", f"{len(RULES)}, listed in [docs/comfyui.md](docs/comfyui.md)"),
        ("node types that are exported to Diffusers scripts", f"{len(SUPPORTED)} of {len(running)}"),
    ]
    return "\n".join(["| what | which |", "|---|---|", *(f"| {what} | {which} |" for what, which in rows)])


def by_components() -> dict[str, Family]:
    """Return the families that run by components: those with encoders."""
    return {name: family for name, family in installed().items() if family.encoders()}


def family_page() -> str:
    """Return docs/families.md."""
    running = by_components()
    lines = [
        "# Model families",
        "",
        "Made from the code by `python -m tools.make_docs`; how to add one: [model_families.md](model_families.md).",
        "",
        "These run by components: from a single file in the authors' layout, a transformer or UNet of its own, a whole",
        "checkpoint, or a Diffusers folder. What ComfyUI recorded of the newer ones comes out the same:",
        "[families_parity.md](families_parity.md).",
        "",
        "| family | variants | encoders | latents | half precision | steered by | exported scripts |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, family in running.items():
        roles = ", ".join(f"{role.part} ({' or '.join(role.classes)})" for role in family.encoders())
        latent = family.latent
        cells = (
            f"`{name}`",
            ", ".join(variant.name for variant in family.variants),
            roles,
            f"{latent.channels} channels, 1/{latent.downscale}" + (", video" if latent.axes == 3 else ""),
            family.half,
            "; ".join(family.steering) or "-",
            "yes" if family.scripts is not None else "no",
        )
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "ControlNets and IP-Adapters of the newer families do what Diffusers does with the same weights: the tests compare with",
        "its classes, pipelines and attention; the blockwise and Fun ControlNets of Qwen-Image, which Diffusers has not, follow",
        "DiffSynth-Studio and VideoX-Fun. ComfyUI was not recorded with them. FLUX.1 Redux is as recorded.",
    ]
    others = ", ".join(f"`{name}`" for name in installed() if name not in running)
    lines += [
        "",
        f"Known by name, so that files, LoRAs and pipelines are told apart, and run whole by `run_pipeline`: {others}.",
        "",
    ]
    return "\n".join(lines)


def node_page(known: registry.Registry) -> str:
    """Return docs/nodes.md."""
    lines = [
        "# Nodes",
        "",
        "Made from the code by `python -m tools.make_docs`. `graphflow nodes NAME` shows the same.",
        "",
        *(
            f"- [{category}](#{category}): {', '.join(f'`{spec.type}`' for spec in specs)}"
            for category, specs in categories(known).items()
        ),
        "",
    ]
    for category, specs in categories(known).items():
        lines += [f"## {category}", ""]
        for spec in specs:
            marks = [
                word
                for word, holds in (
                    ("writes files", spec.effect),
                    ("generates", spec.generates),
                    ("runs once per element of a sequence", spec.map),
                )
                if holds
            ]
            if spec.waits is not None:
                marks.append(f"cannot run yet: waits for {spec.waits_for}")
            lines += [f"### `{spec.type}`", "", spec.summary + (f" *({', '.join(marks)})*" if marks else ""), ""]
            if spec.inputs:
                lines += ["| input | type | default | what |", "|---|---|---|---|"]
                lines += [input_row(parameter) for parameter in spec.inputs.values()]
                lines += [""]
            outputs = ", ".join(f"`{output.name}` ({output.type})" for output in spec.outputs)
            lines += [f"Outputs: {outputs}.", ""]
    return "\n".join(lines)


def input_row(parameter: InputSpec) -> str:
    """Return one row of a node's table."""
    kind = ("link: " if parameter.linked else "") + str(parameter.type) + (", several" if parameter.many else "")
    if parameter.choices and len(parameter.choices) <= 12:
        kind += ": " + ", ".join(map(str, parameter.choices))
    default = "required" if parameter.required else f"`{parameter.default!r}`"
    return f"| `{parameter.name}` | {kind} | {default} | {parameter.description} |".replace("\n", " ")


def workflow_page(known: registry.Registry) -> str:
    """Return docs/workflows.md."""
    lines = [
        "# Packaged workflows",
        "",
        "`graphflow run NAME -i INPUT=VALUE`; `graphflow workflows` lists them, `graphflow workflows NAME` shows what stands"
        " here. Made from the files by `python -m tools.make_docs`.",
        "",
        "Where models are published stands in a document under `meta.models`, as a list of `{name, url, sha256?}`, for"
        " workflows of your own too: planning then tells where to get what is missing, and `graphflow fetch` downloads it.",
        "",
        "The pictures are what the workflows make by default with the packaged models (`python -m"
        " tools.make_workflow_pictures`). Where others are needed: `sdxl_base_refiner` was drawn with `shapes` in both"
        " places, `ip_adapter` on `shapes` with an adapter of random weights, `upscale` with a network that repeats pixels."
        " Workflows of large models have none; `graphflow run NAME --stand-in` tries them without their models.",
        "",
    ]
    for name in workflows.names():
        document: Document = read(workflows.path(name))
        lines += [
            f"## `{name}`",
            "",
            document.description or "",
            "",
        ]
        if workflows.picture(name).is_file():
            lines += [f"![{name}](../workflows/previews/{name}.jpg)", ""]
        if needed := published(document):
            models = ", ".join(f"[{model.name}]({model.url})" for model in needed)
            lines += [f"Needs {models}: `graphflow fetch {name}` downloads what is not here.", ""]
        lines += ["| input | value | what |", "|---|---|---|"]
        lines += [
            f"| `{knob}` | `{standing(document, known, knob)}` | {exposed.description or ''} |"
            for knob, exposed in document.inputs.items()
        ]
        lines += [""]
    return "\n".join(lines)


def pages() -> dict[Path, str]:
    """Return each file with what it should hold."""
    known = registry.installed()
    readme = ROOT / "README.md"
    text = readme.read_text("utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return {
        readme: f"{before}{BEGIN}\n{support_table(known)}\n{END}{after}",
        ROOT / "docs" / "families.md": family_page(),
        ROOT / "docs" / "nodes.md": node_page(known),
        ROOT / "docs" / "workflows.md": workflow_page(known),
    }


def main() -> int:
    """Write or check the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 where a page is out of date")
    options = parser.parse_args()
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text("utf-8") != text]
    if options.check:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: python -m tools.make_docs")
        return 1 if stale else 0
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
