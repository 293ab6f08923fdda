"""What `pip install` of the built wheel gives, without a clone: the package, whole, and a first picture."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.shapes_judge import judge

NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "out")
"""What a checkout has and a fresh clone has not."""

FOLDERS = {"graphflow": "", "nodes": "graphflow/", "converters": "graphflow/", "workflows": "graphflow/"}
"""The folders that are installed, and what stands before their names in the wheel."""

FOR_DEVELOPMENT = {
    "graphflow/converters/comfyui/data/make_template_nodes.py",
    "graphflow/converters/diffusers_script/helpers/ruff.toml",
    "graphflow/loading/codes/ruff.toml",
    "graphflow/pixels/ruff.toml",
    "graphflow/sampling/samplers/ruff.toml",
}
"""Files of these folders that nothing needs once it is installed."""


def run(*command: object, cwd: Path) -> str:
    """Run a command that knows nothing of this checkout, and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    process = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def build(what: str, source: Path, folder: Path) -> Path:
    """Build a "wheel", an "editable" wheel or an "sdist" with the backend itself, which needs no network."""
    folder.mkdir()
    code = f"from setuptools import build_meta; build_meta.build_{what}({str(folder)!r})"
    run(sys.executable, "-P", "-c", code, cwd=source)
    (built,) = folder.iterdir()
    return built


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    scripts: Path
    site: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("with a space")


@pytest.fixture(scope="module")
def source(place: Path) -> Path:
    """Copy the checkout: building leaves folders where it is done."""
    shutil.copytree(ROOT, place / "checkout", ignore=NOT_COPIED)
    return place / "checkout"


@pytest.fixture(scope="module")
def wheel(source: Path, place: Path) -> Path:
    return build("wheel", source, place / "wheel")


@pytest.fixture(scope="module")
def installed(wheel: Path, place: Path) -> Environment:
    """Install the wheel where the packages that the tests have are seen, but not the graphflow that they have."""
    folder = place / "environment"
    run(sys.executable, "-m", "venv", folder, cwd=place)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    run(scripts / "python", "-m", "pip", "install", "--no-index", "--no-deps", wheel, cwd=place)
    (site,) = folder.glob("Lib/site-packages" if os.name == "nt" else "lib/*/site-packages")
    packages = [entry for entry in sys.path if Path(entry).name in {"site-packages", "dist-packages"}]
    # Folders that a .pth file adds have their own .pth files ignored, such as that of an editable install.
    (site / "packages_of_the_tests.pth").write_text("\n".join(packages), "utf-8")
    return Environment(scripts, site)


def names(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_only_graphflow_lands_at_the_top(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in names(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"graphflow"}


def test_every_module_and_data_file_is_in_it(wheel: Path, source: Path) -> None:
    files = {
        prefix + path.relative_to(source).as_posix()
        for folder, prefix in FOLDERS.items()
        for path in (source / folder).rglob("*")
        if path.is_file()
    }
    assert {name for name in names(wheel) if ".dist-info/" not in name} == files - FOR_DEVELOPMENT


def test_the_licence_is_named_and_in_it(wheel: Path) -> None:
    described = metadata(wheel)
    assert described["License-Expression"] == "Apache-2.0"
    (name,) = (name for name in names(wheel) if name.endswith(".dist-info/licenses/LICENSE"))
    with ZipFile(wheel) as archive:
        assert archive.read(name) == (ROOT / "LICENSE").read_bytes()


def test_the_archive_of_sources_gives_the_same_wheel(source: Path, wheel: Path, place: Path) -> None:
    archive = build("sdist", source, place / "sdist")
    shutil.unpack_archive(archive, place / "unpacked", filter="data")
    (unpacked,) = (place / "unpacked").iterdir()
    assert names(build("wheel", unpacked, place / "again")) == names(wheel)


def test_an_editable_install_is_a_path_that_type_checkers_follow(source: Path, place: Path) -> None:
    with ZipFile(build("editable", source, place / "editable")) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".pth"))
        assert archive.read(name).decode().strip() == str(source)
    for folder in FOLDERS.keys() - {"graphflow"}:
        assert (ROOT / "graphflow" / folder).samefile(ROOT / folder)


def test_a_checkout_without_links_gives_the_same_wheel(source: Path, wheel: Path, place: Path) -> None:
    plain = place / "plain"
    shutil.copytree(source, plain)
    for folder in FOLDERS.keys() - {"graphflow"}:
        shutil.rmtree(plain / "graphflow" / folder)
        (plain / "graphflow" / folder).write_text(f"../{folder}", "utf-8")
    assert names(build("wheel", plain, place / "mapped")) == names(wheel)


SCRIPT = """
from graphflow import Link, Ref, Session, Workflow
from graphflow.nodes import (
    encode_prompt, image_list, load_checkpoint, load_image, sample, save_image, switch, text_lines, vae_decode, encode_image
)
from graphflow.values import Image

g = Workflow()
checkpoint = g.add(load_checkpoint, model="shapes", id="checkpoint")
prompts = g.add(text_lines, text="a star\\na circle")
positive = g.add(encode_prompt, text_encoder=checkpoint.text_encoder, text=prompts)
photo = g.add(load_image, file="photo.png")
latent = g.add(encode_image, vae=checkpoint.vae, images=photo.image)
sampled = g.add(sample, model=checkpoint.model, positive=positive, latent=latent, seed=7, sampler="euler")
drawn: Ref[Image] = g.add(vae_decode, vae=checkpoint.vae, latent=sampled)
chosen = g.add(switch, select=True, on_true=drawn, on_false=photo.image)
g.add(save_image, images=g.add(image_list, images=[chosen, drawn]), title="all", id=None)
g.add(save_image, images=g.use("inner").image)
g.add(save_image, images=Link("elsewhere.image"))
g.expose("seed", (sampled, "seed"))
g.output("picture", drawn)
result = Session().run(g, {"seed": 3}, out="pictures")

reveal_type(checkpoint)
reveal_type(checkpoint.vae)
reveal_type(positive)
reveal_type(latent)
reveal_type(drawn)
reveal_type(chosen)
reveal_type(photo.mask)
reveal_type(result)
reveal_type(result.paths)
reveal_type(g.plan())

checkpoint.vea  # wrong
g.add(encode_prompt, text_encoder=checkpoint.text_encoder, txt="")  # wrong
g.add(encode_prompt, text_encoder=checkpoint.vae, text="")  # wrong
g.add(sample, model=checkpoint.model, positive=positive, latent=latent, steps="many")  # wrong
g.add(vae_decode, vae=checkpoint.vae)  # wrong
"""
"""What a user of the installed package writes, and what a type checker is to find wrong with it."""

CONFIG = """
[mypy]
strict = true
[mypy-torch.*,diffusers.*,transformers.*,numpy.*,PIL.*,pydantic_core.*]
ignore_missing_imports = true
follow_imports = skip
"""
"""Types of tensors are no part of the test, and take long."""


def test_a_user_s_script_is_typed(installed: Environment, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, "utf-8")
    shutil.copy(ROOT / "docs" / "examples" / "film_pack.py", tmp_path)
    for page, block in (("README.md", 1), ("docs/node_packs.md", -1)):
        code = (ROOT / page).read_text("utf-8").split("```python\n")[block].partition("```")[0]
        (tmp_path / f"{Path(page).stem}_page.py").write_text(code, "utf-8")
    (tmp_path / "mypy.ini").write_text(CONFIG, "utf-8")
    command = [installed.scripts / "python", "-m", "mypy", *sorted(path.name for path in tmp_path.glob("*.py"))]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    found = [line.partition(": ")[::2] for line in done.stdout.splitlines()]
    wrong = {f"script.py:{number}" for number, line in enumerate(SCRIPT.splitlines(), 1) if line.endswith("# wrong")}
    assert {place for place, said in found if said.startswith("error")} == wrong, done.stdout + done.stderr
    revealed = [said for _, said in found if "Revealed type" in said]
    assert len(revealed) == SCRIPT.count("reveal_type(")
    assert [said for said in revealed if "Any" in said] == []


def test_an_installed_wheel_draws_the_first_picture(installed: Environment, tmp_path: Path) -> None:
    code = "import graphflow, graphflow.nodes, graphflow.converters, graphflow.workflows, sys\n" + (
        "print(*(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'graphflow'), sep='\\n')"
    )
    found = run(installed.scripts / "python", "-c", code, cwd=tmp_path).splitlines()
    assert len(found) > 10
    assert [path for path in found if not Path(path).is_relative_to(installed.site)] == []

    run(installed.scripts / "graphflow", "demo", "--out", tmp_path / "pictures", cwd=tmp_path)
    (path,) = (tmp_path / "pictures").iterdir()
    with Image.open(path) as picture:
        assert judge(np.asarray(picture.convert("RGB"))).shows("star", "green", "black")
