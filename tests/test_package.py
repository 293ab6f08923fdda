"""The package as installed: what is in it, what importing it costs, what its documents say."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import graphflow
from graphflow import errors
from tools import make_docs

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "diffusers", "transformers", "torchvision", "numpy", "PIL", "cv2")


def python(code: str) -> str:
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", cwd=ROOT, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_importing_graphflow_and_its_nodes_imports_nothing_heavy() -> None:
    code = f"""
import sys
for name in {HEAVY!r}:
    sys.modules[name] = None  # any import of it fails
import graphflow, graphflow.nodes, graphflow.workflows, graphflow.converters.comfyui, graphflow.cli
from graphflow import Workflow, Session, node, workflows
session = Session()
workflow = Workflow.load(workflows.path("txt2img"))
assert session.validate(workflow).problems == []
plan = session.plan(workflow)
print(plan.count("run"), plan.count("write"))
"""
    assert python(code).split() == ["7", "1"]


def test_every_package_folder_is_listed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    found = [
        "graphflow"
        if parts == ("graphflow",)
        else ".".join(parts if parts[0] == "graphflow" else ("graphflow", *parts))
        for top in ("graphflow", "nodes", "converters", "workflows")
        for init in (ROOT / top).rglob("__init__.py")
        if (parts := init.parent.relative_to(ROOT).parts)
    ]
    assert sorted(listed) == sorted(found)


def test_what_is_exported_is_there_and_documented() -> None:
    for name in graphflow.__all__:
        assert getattr(graphflow, name).__doc__, name


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    assert errors.__doc__ is not None
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__)) | {"GraphflowError"}
    real = {name for name in errors.__all__ if name != "Problem"}
    assert drawn == real
    for name in real:
        assert issubclass(getattr(errors, name), errors.GraphflowError)


def test_the_documents_made_from_the_code_are_up_to_date() -> None:
    stale = [str(path) for path, text in make_docs.pages().items() if path.read_text("utf-8") != text]
    assert stale == [], "run python -m tools.make_docs"


def test_every_link_in_the_readme_leads_somewhere() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    missing = [link for link in links if not link.startswith("http") and not (ROOT / link).exists()]
    assert missing == []


def test_no_test_imports_from_another_test_module() -> None:
    found = []
    paths = sorted((ROOT / "tests").rglob("*.py"))
    modules = {path.stem for path in paths if path.stem.startswith("test_")}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [part for alias in node.names for part in alias.name.split(".")]
            else:
                continue
            found += [f"{path.relative_to(ROOT)}: {name}" for name in names if name in modules]
    assert found == [], "move what is shared into a module beside them"
