"""``graphflow models quantise``: the file runs as the weights that it holds, patched ones too, and is explained."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from graphflow.loading.mapped import MappedFiles
from graphflow.values import LoraPatch
from tests.cli.commands import Command
from tests.closeness import assert_close
from tests.models.lora_files import pair, write
from tests.models.tiny import make_tiny_sd_file
from tests.models.tiny_manager import make_manager, model, running

QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


def checkpoint(home: Path) -> Path:
    path = home / "models" / "checkpoints" / "small.safetensors"
    path.parent.mkdir(exist_ok=True)
    return make_tiny_sd_file(path)


@pytest.mark.parametrize("target", ["int8_convrot", "nvfp4"])
def test_a_quantised_checkpoint_computes_with_what_it_holds(graphflow: Command, home: Path, target: str) -> None:
    path = checkpoint(home)
    ran = graphflow("models", "quantise", "small", "--to", target, "--no-evaluate")
    assert ran.code == 0, ran.err
    assert "one evaluation" not in ran.out
    assert f"small-{target}.safetensors: " in ran.out
    files = MappedFiles([path.with_name(f"small-{target}.safetensors")], target)
    # What the file stands for, in a file that nothing is packed in.
    dense = {name: files.dense(name).contiguous() for name in files.names}
    save_file(dense, path.with_name("dense.safetensors"), files.weights.metadata)
    down, up = pair(32, 32)
    write(home / "models", "lora", {f"unet.{QUERY}.lora_A.weight": down, f"unet.{QUERY}.lora_B.weight": up})
    manager = make_manager(home / "models")
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    text = torch.randn(1, 7, 32, generator=torch.Generator().manual_seed(2))
    sizes = {}
    with running(manager):
        found = {}
        patch = LoraPatch(file=manager.find("lora", "lora", part=""), strength=0.5)
        for name in (f"small-{target}", "dense"):
            plain = model(manager, name)
            for patched in (False, True):
                recipe = plain.patched(patch) if patched else plain
                with recipe.use() as loaded, torch.inference_mode():
                    found[name, patched] = loaded.module(x, torch.tensor([500]), text).sample
            sizes[name] = next(size for file, _, size in manager.loaded() if file == name)
    for patched in (False, True):
        assert_close(found[f"small-{target}", patched], found["dense", patched])
    assert not torch.equal(found["dense", False], found["dense", True])
    assert sizes[f"small-{target}"] < sizes["dense"]


def test_the_format_is_explained_and_errors_are_listed(graphflow: Command, home: Path) -> None:
    checkpoint(home)
    ran = graphflow("models", "quantise", "small", "--to", "int8", "-o", home / "models" / "new.safetensors", "--json")
    report = json.loads(ran.out)
    assert report["path"].endswith("new.safetensors")
    assert all(0 < error < 0.01 for error in report["errors"].values())
    assert 0 < report["evaluation"] < 0.05
    shown = graphflow("models", home / "models" / "new.safetensors")
    assert "int8" in shown.out
    assert "F32 (not quantised)" in shown.out


def test_a_script_reads_what_the_file_holds(graphflow: Command, home: Path) -> None:
    target = "nvfp4"
    checkpoint(home)
    graphflow("models", "quantise", "small", "--to", target, "--no-evaluate")
    exported = graphflow("export", "txt2img", "-i", f"model=small-{target}", "-o", "script.py")
    assert exported.code == 0, exported.err
    script = runpy.run_path("script.py", run_name="script")
    (call,) = re.findall(r"= (dequantised\(.*\))", Path("script.py").read_text("utf-8"))
    found = load_file(eval(call, script | {"args": SimpleNamespace(model=script["MODEL"])}))
    files = MappedFiles([Path(script["MODEL"])], target)
    assert set(found) == set(files.names)
    for name, tensor in found.items():
        assert_close(tensor.float(), files.dense(name).float())


def test_a_check_without_what_diffusers_takes_from_the_hub_says_so(
    graphflow: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint(home)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(home / "hub"))
    ran = graphflow("export", "txt2img", "-i", "model=small", "--check", "-o", "script.py")
    assert ran.code == 2
    assert "configs or tokenizers that Diffusers takes from the Hub" in " ".join(ran.err.split())


def test_a_script_that_cannot_read_a_file_is_refused(graphflow: Command, home: Path) -> None:
    path = checkpoint(home)
    dense = load_file(path)
    (name,) = (name for name in dense if name.endswith("middle_block.1.transformer_blocks.0.attn2.to_q.weight"))
    layer, (rows, columns) = name.removesuffix(".weight"), dense[name].shape
    dense[name] = torch.zeros(rows, columns // 2, dtype=torch.uint8)
    dense[f"{layer}.weight_scale"] = torch.ones(rows, columns // 16).to(torch.float8_e4m3fn)
    dense |= {f"{layer}.{leaf}": torch.tensor(1.0) for leaf in ("weight_scale_2", "input_scale")}
    save_file(dense, path.with_name("plain.safetensors"), MappedFiles([path], "small").weights.metadata)
    ran = graphflow("export", "txt2img", "-i", "model=plain", "-o", "script.py")
    assert ran.code == 2
    assert "plain.safetensors is quantised (nvfp4_plain), which scripts cannot read" in " ".join(ran.err.split())
    assert not Path("script.py").exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("small", "--to", "q4"), "'q4' is no format; there are fp8, fp8_scaled,"),
        (("shapes", "--to", "q4"), "'q4' is no format; there are fp8, fp8_scaled,"),
        (("small", "--to", "gguf:IQ2_XS"), "gguf:IQ2_XS is not written: its types need an importance matrix"),
        (("small", "--to", "gguf:Q8_0"), "no GGUF file is written of a checkpoint of sd1"),
        (("small", "--to", "int8", "-o", "taken"), "exists already"),
        (("lora", "--to", "int8"), "a lora in this form is not quantised"),
        (("nothing", "--to", "int8"), "nothing"),
    ],
)
def test_what_cannot_be_done_is_said(graphflow: Command, home: Path, arguments: tuple[str, ...], problem: str) -> None:
    checkpoint(home)
    Path("taken").touch()
    down, up = pair(32, 32)
    write(home / "models", "lora", {f"unet.{QUERY}.lora_A.weight": down, f"unet.{QUERY}.lora_B.weight": up})
    ran = graphflow("models", "quantise", *arguments)
    assert ran.code == 2
    assert problem in " ".join(ran.err.split())
