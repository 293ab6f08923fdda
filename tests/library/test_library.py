from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphflow.errors import ModelFormatError, ModelNotFoundError
from graphflow.library import roots
from graphflow.library.library import Library
from graphflow.library.listing import list_models, show_model
from tests.models.weight_shapes import UNETS, checkpoint, clip, ldm_unet, ldm_vae, write_header

LORA = {"lora_unet_a.lora_down.weight": (4, 8), "lora_unet_a.lora_up.weight": (8, 4)}
TINY = {**UNETS["sd1"], "widths": (32, 64), "depths": (1, 1), "layers": 1}
MakeLibrary = Callable[..., Library]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("loras/style.safetensors", "style.safetensors"),
        ("loras/style.safetensors", "style"),
        ("loras/people/ann.safetensors", "people/ann"),
        ("loras/people/ann.safetensors", "people\\ann.safetensors"),
        ("loras/people/ann.safetensors", "./people//ann"),
        ("loras/style.safetensors", "loras/style"),
        ("style.safetensors", "style"),
        ("loras/v1.5 (ünï).safetensors", "v1.5 (ünï)"),
    ],
)
def test_names(root: Path, library: Library, file: str, name: str) -> None:
    path = write_header(root / file, LORA)
    assert library.resolve(name, "lora").path == path


@pytest.mark.parametrize("folder", ["unet", "diffusion_models"])
def test_both_names_of_a_kind_folder_work(root: Path, library: Library, folder: str) -> None:
    path = write_header(root / folder / "a.safetensors", ldm_unet(**TINY))
    assert library.describe("a", "diffusion_model").path == path


def test_the_first_root_wins(tmp_path: Path, make_library: MakeLibrary) -> None:
    write_header(tmp_path / "two/loras/a.safetensors", LORA)
    library = make_library(tmp_path / "one", tmp_path / "two")
    assert library.resolve("a", "lora").path == tmp_path / "two/loras/a.safetensors"
    first = write_header(tmp_path / "one/loras/a.safetensors", LORA)
    assert library.resolve("a", "lora").path == first


def test_the_exact_name_comes_before_the_stem_and_safetensors_before_pickle(root: Path, library: Library) -> None:
    write_header(root / "loras/a.safetensors", LORA)
    (root / "loras/a.ckpt").write_bytes(b"x")
    exact = write_header(root / "loras/a.safetensors.safetensors", LORA)
    assert library.resolve("a", "lora").path == root / "loras/a.safetensors"
    assert library.resolve("a.ckpt", "lora").path == root / "loras/a.ckpt"
    assert library.resolve("a.safetensors", "lora").path == root / "loras/a.safetensors"
    assert library.resolve("a.safetensors.safetensors", "lora").path == exact


@pytest.mark.parametrize(
    "name",
    [
        "../outside", "a/../../outside", "..\\outside", "loras/../../outside.safetensors", "/etc/passwd", "\\\\host\\x",
        "C:\\models\\x", "c:x", "~/x", "~root", "a\0b", "a\nb", "", " ", ".", "./", "x" * 2000, "//x",
    ],
)  # fmt: skip
def test_names_that_lead_out_are_refused(tmp_path: Path, root: Path, library: Library, name: str) -> None:
    write_header(tmp_path / "outside.safetensors", LORA)
    with pytest.raises(ModelNotFoundError) as caught:
        library.resolve(name, "lora")
    assert caught.value.where
    assert "there is no lora" not in caught.value.message


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.sampled_from(["..", ".", "", "loras", "a", "C:", "~", "a.safetensors", "outside"]) | st.text(max_size=4), max_size=6), separator=st.sampled_from(["/", "\\"]))  # fmt: skip
def test_no_name_finds_anything_outside(
    tmp_path: Path, root: Path, library: Library, parts: list[str], separator: str
) -> None:
    write_header(tmp_path / "outside.safetensors", LORA)
    write_header(root / "loras/a.safetensors", LORA)
    try:
        path = library.resolve(separator.join(parts), "lora").path
    except ModelNotFoundError:
        return
    assert path == root / "loras/a.safetensors"


def test_links_out_of_a_root_need_the_users_word(tmp_path: Path, root: Path, make_library: MakeLibrary) -> None:
    outside = write_header(tmp_path / "elsewhere/a.safetensors", LORA)
    (root / "loras").mkdir()
    (root / "loras/file.safetensors").symlink_to(outside)
    (root / "loras/folder").symlink_to(outside.parent)
    strict = make_library()
    for name in ("file", "folder/a"):
        with pytest.raises(ModelNotFoundError, match=r"link that leads out.*follow_symlinks"):
            strict.resolve(name, "lora")
    assert list_names(strict) == []
    for library in (make_library({"path": root, "follow_symlinks": True}), make_library(follow_symlinks=True)):
        assert library.resolve("folder/a", "lora").path == outside
        assert "folder/a.safetensors" in list_names(library)


def test_links_inside_a_root_and_a_linked_root_work(tmp_path: Path, root: Path, make_library: MakeLibrary) -> None:
    inside = write_header(root / "store/a.safetensors", LORA)
    (root / "loras").symlink_to(root / "store")
    (tmp_path / "link").symlink_to(root)
    assert make_library(tmp_path / "link").resolve("a", "lora").path == inside


def test_a_link_inside_a_diffusers_folder_may_not_lead_out(tmp_path: Path, root: Path, library: Library) -> None:
    outside = write_header(tmp_path / "x.safetensors", ldm_vae())
    folder = root / "vae/linked"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"_class_name": "AutoencoderKL"}', "utf-8")
    (folder / "diffusion_pytorch_model.safetensors").symlink_to(outside)
    with pytest.raises(ModelFormatError, match="leads out of the model folder"):
        library.describe("linked", "vae")


def test_a_loop_of_links_ends(root: Path, make_library: MakeLibrary) -> None:
    write_header(root / "loras/a.safetensors", LORA)
    (root / "loras/again").symlink_to(root)
    assert list_names(make_library({"path": root, "follow_symlinks": True})).count("a.safetensors") == 1


def list_names(library: Library) -> list[str]:
    return [entry.name for entry in library.entries() if not entry.root.only]


def test_trusted_names_may_be_any_path(tmp_path: Path, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_header(tmp_path / "x/a.safetensors", LORA)
    assert library.resolve(str(path), trusted=True).path == path
    monkeypatch.chdir(tmp_path)
    assert library.resolve("./x/a.safetensors", trusted=True).path == path
    assert library.resolve("x/a.safetensors", trusted=True).path == path
    for wrong, message in ((tmp_path / "x/b.safetensors", "no such file"), (tmp_path / "x", "neither a weight file")):
        with pytest.raises(ModelNotFoundError, match=message):
            library.resolve(str(wrong), trusted=True)
    for nobody in ("~nobody-of-this-name/b.safetensors", "/" + "x" * 300):
        with pytest.raises(ModelNotFoundError, match="no such file"):
            library.resolve(nobody, trusted=True)
    with pytest.raises(ModelNotFoundError, match=r"absolute path.*command line is accepted"):
        library.resolve(str(path))


def test_not_found_names_places_and_near_names(root: Path, library: Library) -> None:
    write_header(root / "loras/people/detail_tweaker.safetensors", LORA)
    with pytest.raises(ModelNotFoundError) as caught:
        library.resolve("detail-tweeker", "lora")
    text = str(caught.value)
    assert str(root) in text
    assert "loras" in text
    assert "did you mean 'people/detail_tweaker.safetensors'" in text


def test_not_found_says_where_a_model_of_the_name_stands(root: Path, library: Library) -> None:
    write_header(root / "diffusion_models/flux.safetensors", LORA)
    for name in ("flux", "flux.safetensors"):
        with pytest.raises(ModelNotFoundError, match="there is a diffusion model of this name"):
            library.resolve(name, "checkpoint")


def test_a_missing_root_is_said(tmp_path: Path, make_library: MakeLibrary) -> None:
    with pytest.raises(ModelNotFoundError, match="there is no such folder"):
        make_library(tmp_path / "nowhere").resolve("x")


def test_a_wrong_kind_is_said(root: Path, library: Library) -> None:
    write_header(root / "checkpoints/a.safetensors", LORA)
    with pytest.raises(ModelFormatError, match="is a lora, not a checkpoint"):
        library.describe("a", "checkpoint")


def test_a_checkpoint_stands_in_for_its_vae(root: Path, library: Library) -> None:
    write_header(root / "checkpoints/a.safetensors", checkpoint("sd1", widths=(32, 64), depths=(1, 1)))
    assert "vae" in library.describe("checkpoints/a", "vae").parts
    with pytest.raises(ModelFormatError, match="is a checkpoint, not a lora"):
        library.describe("checkpoints/a", "lora")


def test_pickles_are_refused_without_the_flag(root: Path, library: Library) -> None:
    path = root / "checkpoints/old.ckpt"
    path.parent.mkdir()
    path.write_bytes(b"\x80\x02" + bytes(100))
    with pytest.raises(ModelFormatError, match="graphflow models convert old"):
        library.describe("old", "checkpoint")
    found = library.describe("old", "checkpoint", allow_pickle=True)
    assert (found.layout, found.needs_conversion, found.bytes, found.kind) == ("pickle", True, 102, "checkpoint")


def test_sharded_single_files_have_one_name(root: Path, library: Library) -> None:
    shapes = list(ldm_vae().items())
    names = ("v-00001-of-00002.safetensors", "v-00002-of-00002.safetensors")
    halves = (dict(shapes[:50]), dict(shapes[50:]))
    for name, half in zip(names, halves, strict=True):
        write_header(root / "vae" / name, half)
    index = {key: name for name, half in zip(names, halves, strict=True) for key in half}
    (root / "vae/v.safetensors.index.json").write_text(json.dumps({"weight_map": index}), "utf-8")
    assert [file.name for file in library.describe("v", "vae").files] == list(names)
    assert list_names(library) == ["v.safetensors.index.json"]


def test_a_changed_file_is_described_again(root: Path, library: Library) -> None:
    path = write_header(root / "vae/v.safetensors", ldm_vae())
    before = library.describe("v", "vae")
    assert library.describe("v", "vae") is before
    write_header(path, ldm_vae(widths=(64, 128)))
    after = library.describe("v", "vae")
    assert after.parts["vae"].config["block_out_channels"] == [64, 128]
    assert after.fingerprint != before.fingerprint
    path.with_suffix(".json").write_text('{"scaling_factor": 0.5}', "utf-8")
    assert library.describe("v", "vae").parts["vae"].config["scaling_factor"] == 0.5


def test_packaged_models_have_names_and_kinds(
    tmp_path: Path, root: Path, make_library: MakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets = tmp_path / "assets"
    for folder in ("shapes", "other", "configs/sd1"):
        (assets / folder).mkdir(parents=True)
        (assets / folder / "model_index.json").write_text("{}", "utf-8")
    write_header(assets / "loras/shapes-outline.safetensors", LORA)
    packaged = roots.builtin_root()
    monkeypatch.setattr("graphflow.library.library.builtin_root", lambda: roots.Root(assets, only=packaged.only))
    library = make_library()
    assert library.resolve("shapes", "checkpoint").path == assets / "shapes"
    assert library.resolve("shapes-outline", "lora").path == assets / "loras/shapes-outline.safetensors"
    found = [(entry.name, entry.kind) for entry in library.entries() if entry.root.path == assets]
    assert found == [("shapes", "checkpoint"), ("shapes-outline", "lora")]
    for name in ("other", "configs/sd1", "loras/shapes-outline.safetensors"):
        with pytest.raises(ModelNotFoundError):
            library.resolve(name)
    own = root / "checkpoints/shapes.safetensors"
    write_header(own, LORA)
    assert library.resolve("shapes", "checkpoint").path == own


def snapshot(cache: Path, commit: str = "a" * 40, revision: str = "main") -> Path:
    repository = cache / "models--org--tiny"
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / revision).write_text(commit, "utf-8")
    blobs = repository / "blobs"
    blobs.mkdir(exist_ok=True)
    folder = repository / "snapshots" / commit
    folder.mkdir(parents=True)
    (blobs / "c").write_text('{"_class_name": "AutoencoderKL", "scaling_factor": 0.3}', "utf-8")
    write_header(blobs / "w.safetensors", ldm_vae()).rename(blobs / "w")
    (folder / "config.json").symlink_to("../../blobs/c")
    (folder / "diffusion_pytorch_model.safetensors").symlink_to("../../blobs/w")
    return folder


def test_hub_ids_resolve_in_the_cache(tmp_path: Path, make_library: MakeLibrary) -> None:
    folder = snapshot(tmp_path / "hub")
    snapshot(tmp_path / "hub", "b" * 40, "v2")
    library = make_library()
    found = library.describe("org/tiny", "vae")
    assert (found.path, found.fingerprint) == (folder, f"hub:org/tiny@{'a' * 40}")
    assert found.parts["vae"].config["scaling_factor"] == 0.3
    assert library.describe("org/tiny@v2").fingerprint == f"hub:org/tiny@{'b' * 40}"
    assert library.describe("org/tiny@" + "b" * 40).fingerprint == f"hub:org/tiny@{'b' * 40}"
    assert "org/tiny" in [row["name"] for row in list_models(library)]


def test_uncached_hub_ids(tmp_path: Path, make_library: MakeLibrary) -> None:
    found = make_library(offline=False).describe("org/other", "checkpoint", trusted=True)
    assert make_library(offline=False, download=True).describe("org/other", "checkpoint") == found
    assert (found.resolved, found.fingerprint, found.layout) == (False, None, "hub")
    with pytest.raises(ModelNotFoundError, match=r"the Hub cache .*offline"):
        make_library().describe("org/other", "checkpoint", trusted=True)
    with pytest.raises(ModelNotFoundError, match=r"--download, or the name given with -i or --set, while it runs"):
        make_library(offline=False).describe("org/other", "checkpoint")


def test_an_incomplete_snapshot_counts_as_uncached(tmp_path: Path, make_library: MakeLibrary) -> None:
    folder = snapshot(tmp_path / "hub")
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    found = make_library(offline=False).describe("org/tiny", "vae", trusted=True)
    assert (found.resolved, found.fingerprint) == (False, None)
    with pytest.raises(ModelFormatError, match="has no weights"):
        make_library().describe("org/tiny", "vae")


@pytest.mark.parametrize("name", ["org/x.safetensors", "org/../x", "org/x@../../../etc", "a/b/c", "org/x@"])
def test_what_is_no_hub_id_is_never_looked_up(make_library: MakeLibrary, name: str) -> None:
    with pytest.raises(ModelNotFoundError):
        make_library(offline=False).resolve(name)


def test_listing_and_showing(root: Path, library: Library) -> None:
    write_header(root / "checkpoints/sd.safetensors", checkpoint("sd1", widths=(32, 64), depths=(1, 1)))
    write_header(root / "text_encoders/clip_l.safetensors", clip())
    write_header(root / "loras/in_wrong_folder.safetensors", clip())
    (root / "vae").mkdir()
    (root / "vae/broken.safetensors").write_bytes(b"<html>")
    (root / "vae/old.pt").write_bytes(b"PK\x03\x04")
    (root / ".hidden").mkdir()
    (root / ".hidden/x.safetensors").write_bytes(b"")
    (root / "put_models_here").write_bytes(b"")
    rows = {row["name"]: row for row in list_models(library) if row["name"] not in roots.BUILTIN_NAMES}
    assert set(rows) == {
        "sd.safetensors", "clip_l.safetensors", "in_wrong_folder.safetensors", "broken.safetensors", "old.pt",
    }  # fmt: skip
    assert (rows["sd.safetensors"]["kind"], rows["sd.safetensors"]["family"]) == ("checkpoint", "sd")
    assert "web page" in rows["broken.safetensors"]["problem"]
    assert "not a lora" in rows["in_wrong_folder.safetensors"]["problem"]
    assert rows["old.pt"]["needs_conversion"]
    shown = show_model(library, "sd", "checkpoint")
    json.dumps(shown)
    assert {guess["source"] for guess in shown["guesses"]} == {"shapes", "default"}
    assert shown["parts"]["unet"]["class"] == "UNet2DConditionModel"


def test_an_unreadable_file_is_said(root: Path, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    write_header(root / "vae/locked.safetensors", ldm_vae())

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("graphflow.basics.regular.os.open", refuse)
    with pytest.raises(ModelFormatError, match=r"locked.safetensors: cannot be read: Permission denied"):
        library.describe("locked", "vae")


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    code = """
import sys
for name in ("torch", "diffusers", "transformers", "numpy", "huggingface_hub", "safetensors"):
    sys.modules[name] = None
import graphflow.library.listing, graphflow.library.library, graphflow.settings
library = graphflow.library.library.Library(graphflow.settings.Settings(models=[sys.argv[1]], offline=True))
print([row["kind"] for row in graphflow.library.listing.list_models(library) if row["name"] == "v.safetensors"])
"""
    write_header(tmp_path / "vae/v.safetensors", ldm_vae())
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "['vae']"), done.stderr
