"""``graphflow doctor``: what is installed, which device there is, where things are."""

from __future__ import annotations

import os
import platform
from collections import Counter
from typing import TYPE_CHECKING, Any

import typer

from graphflow.cli.failures import print_json
from graphflow.cli.options import AsJson, CacheDir, ModelDirs, Packs, make_session
from graphflow.cli.terminal import console, count, size, styled
from graphflow.errors import StoreError

if TYPE_CHECKING:
    from graphflow.session import Session

PACKAGES = (
    "graphflow-diffusers",
    "torch",
    "diffusers",
    "transformers",
    "accelerate",
    "peft",
    "safetensors",
    "pydantic",
    "networkx",
)


def doctor(packs: Packs = None, models: ModelDirs = None, cache_dir: CacheDir = None, as_json: AsJson = False) -> None:
    """Show versions, the device, the model folders and the store, and write down which device there is.

    Planning reads the device from there. Exits 1 where something is missing that runs need.
    """
    session = make_session(packs=packs, models=models, cache_dir=cache_dir)
    facts, problems = _facts(session)
    if as_json:
        print_json({**facts, "problems": problems}, indent=2)
    else:
        _show(facts, problems)
    if problems:
        raise typer.Exit(1)


def _facts(session: Session) -> tuple[dict[str, Any], list[str]]:
    from graphflow.planning import numerics
    from graphflow.settings import settings_file

    problems: list[str] = []
    versions = {"python": platform.python_version(), **{name: numerics.version_of(name) for name in PACKAGES}}
    problems += [f"{name} is not installed" for name, version in versions.items() if not version]
    device = _device(session, problems)
    models = Counter(entry.root.path for entry in session.library.entries())
    roots = [
        {"path": str(root.path), "exists": root.path.is_dir(), "models": models[root.path]}
        for root in session.library.roots
    ]
    try:
        disk = session.store.disk
    except StoreError as error:
        problems.append(str(error))
        disk = None
    stats = disk.stats() if disk is not None else None
    expanded = session.numerics
    facts = {
        "versions": versions,
        "device": device,
        "numerics": expanded.to_json(),
        "processors": os.cpu_count(),
        "settings": {"path": str(settings_file()), "exists": settings_file().is_file()},
        "packs": dict(session.registry.versions),
        "node_types": len(session.registry.specs),
        "model_folders": roots,
        "store": None
        if disk is None or stats is None
        else {"folder": str(session.store_folder), "bytes": stats.bytes, "max_bytes": stats.max_bytes},
        "safety": {"policy": session.settings.safety, "checker": session.settings.safety_checker},
    }
    return facts, problems


def _device(session: Session, problems: list[str]) -> dict[str, Any]:
    from graphflow.planning import numerics

    try:
        import torch
    except ImportError as error:
        problems.append(f"torch cannot be imported: {error}")
        return {"kind": "none", "parts": {}}
    kind = numerics.write_probe(session.probe_file)
    if numerics.read_probe(session.probe_file) != kind:
        problems.append(f"{session.probe_file} cannot be written, so planning guesses the device")
    found: dict[str, Any] = {
        "kind": kind,
        "setting": ",".join(session.settings.device_names),
        "parts": dict(session.settings.part_devices),
    }
    if kind == "cuda":
        found["gpus"] = [
            {"name": torch.cuda.get_device_name(index), "bytes": torch.cuda.get_device_properties(index).total_memory}
            for index in range(torch.cuda.device_count())
        ]
    return found


def _show(facts: dict[str, Any], problems: list[str]) -> None:
    target = console()

    def line(name: str, value: object, style: str = "") -> None:
        target.print(styled(f"{name:<20}", "bold"), styled(value, style), sep="", soft_wrap=True)

    for name, version in facts["versions"].items():
        line(name, version or "not installed", "" if version else "red")
    line("device", facts["device"]["kind"])
    for gpu in facts["device"].get("gpus", ()):
        line("", f"{gpu['name']}, {size(gpu['bytes'])}")
    places = "".join(f", {part} on {device}" for part, device in facts["device"]["parts"].items())
    line("computes in", f"{facts['numerics']['compute']} on {facts['numerics']['device']}{places}")
    line("node packs", ", ".join(f"{name} {version}".strip() for name, version in facts["packs"].items()) or "none")
    line("node types", facts["node_types"])
    line(
        "settings file",
        facts["settings"]["path"] + ("" if facts["settings"]["exists"] else " (not there; defaults are used)"),
    )
    for number, root in enumerate(facts["model_folders"]):
        state = count(root["models"], "model") if root["exists"] else "not there"
        line("" if number else "model folders", f"{root['path']} ({state})")
    store = facts["store"]
    line(
        "store",
        "none" if store is None else f"{store['folder']} ({size(store['bytes'])} of {size(store['max_bytes'])})",
    )
    checker = facts["safety"]["checker"]
    line(
        "safety",
        f"{facts['safety']['policy']}, "
        + (f"checker {checker}" if checker else "the checkpoint's own checker where it has one"),
    )
    for problem in problems:
        target.print(styled(f"problem: {problem}", "red"))
    if not problems:
        target.print(styled("all good", "green"))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: graphflow doctor --json")(doctor)
