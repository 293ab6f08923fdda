"""What stands in scripts: any text is harmless, the code is formatted and compiles, everything unsupported is named."""

from __future__ import annotations

import ast
import builtins
import json
import shutil
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from graphflow import Workflow, nodes, workflows
from graphflow.basics.prompt_syntax import pieces
from graphflow.converters.builder_code import to_python
from graphflow.converters.diffusers_script import export, to_script
from graphflow.converters.diffusers_script.layout import docstring, lay_out, literal, quoted
from graphflow.converters.diffusers_script.notebook import to_notebook
from graphflow.document.document import Document, ExposedInput, parse, read
from graphflow.errors import ConversionError, WorkflowError
from graphflow.planning.expand import expand
from graphflow.session import Session
from graphflow.settings import Settings
from tests.export.texts import JSON, NASTY, TEXTS

ROOT = Path(__file__).resolve().parents[2]
LOCAL = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def txt2img(**inputs: Any) -> Document:
    return session().expand(read(workflows.path("txt2img")), inputs).document


@given(TEXTS)
def test_a_quoted_text_is_itself(text: str) -> None:
    shown = quoted(text)
    assert ast.literal_eval(shown) == text
    assert "\n" not in shown and shown.isprintable()


@given(st.lists(TEXTS, max_size=3))
def test_a_docstring_holds_any_text(paragraphs: list[str]) -> None:
    lines = list(docstring(["A title.", *paragraphs]))
    tree = ast.parse("\n".join(lines) + "\nx = 1\n")
    assert len(tree.body) == 2 and ast.get_docstring(tree) is not None


@given(JSON)
def test_a_literal_is_itself_however_it_is_laid_out(value: Any) -> None:
    code = "\n".join(lay_out("value = ", literal(value)))
    space: dict[str, Any] = {}
    exec(code, space)
    assert space["value"] == value and type(space["value"]) is type(value)


def texts_of(tree: ast.AST) -> list[str]:
    """Every text literal."""
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [value for value in constants if isinstance(value, str)]


def imported(tree: ast.AST) -> set[str]:
    """Packages that code imports."""
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


def unbound(tree: ast.AST) -> set[str]:
    """Names that code reads and nothing in it defines."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    known = (
        {node.id for node in names if not isinstance(node.ctx, ast.Load)} | set(dir(builtins)) | {"__doc__", "__name__"}
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            known.add(node.name)
        elif isinstance(node, ast.arg):
            known.add(node.arg)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            known |= {alias.asname or alias.name for alias in node.names}
    return {node.id for node in names} - known


@cache
def session() -> Session:
    """A session with the packaged models alone."""
    return Session(Settings(device="cpu", dtype="float32", models=(), offline=True))


@LOCAL
@given(prompt=TEXTS, name=TEXTS, description=TEXTS)
@example(prompt=NASTY[1], name=NASTY[0], description=NASTY[2])
@example(prompt="\U00010000" * 30, name="long", description="of more tokens than one chunk holds")
def test_a_prompt_never_becomes_code(prompt: str, name: str, description: str) -> None:
    document = txt2img()
    document.nodes["positive"].params["text"] = prompt
    document.name, document.description = name, description
    document.inputs = {"prompt": document.inputs["prompt"].model_copy(update={"description": name})}
    code = to_script(document, session=session())
    tree = ast.parse(code, feature_version=(3, 11))
    assert imported(tree) <= {"argparse", "pathlib", "hashlib", "math", "torch", "diffusers", "safetensors"}
    assert unbound(tree) == set()
    shown = "".join(texts_of(tree))
    assert prompt in shown or all(part.text in shown for part in pieces(prompt, ()))


@LOCAL
@given(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_:~-]{0,12}", fullmatch=True))
def test_node_ids_need_be_no_identifiers(node_id: str) -> None:
    data = txt2img().to_json()
    assume(node_id not in data["nodes"])
    data["nodes"] = {node_id if name == "sample" else name: entry for name, entry in data["nodes"].items()}
    data["nodes"]["decode"]["links"]["latent"] = node_id
    data["inputs"] = {"seed": {"to": [f"{node_id}.seed"]}}
    document = parse(data)
    compile(to_script(document, session=session()), "script", "exec")
    compile(to_python(document), "builder", "exec")


def scripts() -> dict[str, str]:
    """Every packaged workflow as a script; those whose models are not packaged have none."""
    made: dict[str, str] = {}
    for name in workflows.names():
        with suppress(WorkflowError):
            made[name] = to_script(workflows.path(name), session=session())
    return made


def ruff(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ruff")), *arguments, "--isolated", str(folder)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_every_script_is_formatted_clean_and_deterministic(tmp_path: Path) -> None:
    made = scripts()
    for name, code in made.items():
        (tmp_path / f"{name}.py").write_text(code, "utf-8")
        (tmp_path / f"{name}_builder.py").write_text(to_python(read(workflows.path(name))), "utf-8")
        ast.parse(code, feature_version=(3, 11))
    assert ruff("format", "--diff", folder=tmp_path) == ""
    assert ruff("check", "--select", "E4,E7,E9,F,I,W,UP,B", "--target-version", "py311", folder=tmp_path) == ""
    assert scripts() == made


def test_txt2img_is_one_screen_and_a_single_call() -> None:
    code = to_script(workflows.path("txt2img"))
    assert code.count("\n") <= 85
    assert "DPMSolverMultistepScheduler" in code and "unet" not in code


def test_folders_of_file_names_are_made_and_tokens_are_told() -> None:
    document = txt2img()
    document.nodes["save"].params["filename_prefix"] = "stars/small/one"
    code = to_script(document)
    assert '(args.out / "stars/small").mkdir(parents=True, exist_ok=True)' in code
    assert 'args.out / f"stars/small/one-{number}.png"' in code
    document.nodes["save"].params["filename_prefix"] = "%seed%"
    assert "save: what stands between % in the file name stays as it is" in export(document).report


def test_what_cannot_be_exported_is_named_all_at_once() -> None:
    g = Workflow("none of it")
    loaded = g.add(nodes.load_checkpoint, model="shapes")
    model = g.add(nodes.set_continuous_sampling, model=loaded.model, id="damped")
    flow = g.add(nodes.set_flow_shift, model=loaded.model, id="shifted")
    prompt = g.add(nodes.encode_prompt, text_encoder=loaded.text_encoder, text="a")
    latent = g.add(nodes.empty_latent, width=64, height=64)
    both = g.add(nodes.sample, model=flow, positive=prompt, latent=latent)
    sampled = g.add(nodes.sample, model=model, positive=prompt, latent=both)
    g.add(nodes.save_image, images=g.add(nodes.vae_decode, vae=loaded.vae, latent=sampled))
    with pytest.raises(WorkflowError) as caught:
        to_script(g)
    assert {problem.path for problem in caught.value.problems} == {"nodes.damped", "nodes.shifted"}


def test_each_type_is_exported_or_has_a_reason() -> None:
    from graphflow.converters.diffusers_script import SUPPORTED
    from graphflow.converters.diffusers_script.reasons import REASONS
    from graphflow.spec.registry import installed

    assert set(installed().specs) == SUPPORTED | REASONS.keys()
    assert not SUPPORTED & REASONS.keys()


def test_the_table_of_types_is_up_to_date() -> None:
    tool = ROOT / "tools" / "make_export_table.py"
    done = subprocess.run(
        [sys.executable, str(tool), "--check"], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_setting_that_scripts_do_not_know_is_refused_not_ignored() -> None:
    document = txt2img()
    document.nodes["distilled"] = document.nodes["checkpoint"].model_copy(
        update={"type": "set_prediction", "params": {"prediction": "lcm"}, "links": {"model": "checkpoint.model"}}
    )
    document.nodes["sample"].links["model"] = "distilled"
    with pytest.raises(WorkflowError, match="lcm"):
        to_script(document)


def test_what_changes_nothing_for_a_controlnet_of_a_unet_changes_no_script(tmp_path: Path) -> None:
    source, path = workflows.path("controlnet"), tmp_path / "controlnet.json"
    shutil.copytree(source.parent / "pictures", tmp_path / "pictures")
    document = json.loads(source.read_text("utf-8"))
    nodes_of = document["nodes"]
    (applied,) = (entry for entry in nodes_of.values() if entry["type"] == "apply_control_net")
    codes = []
    for _ in range(2):
        path.write_text(json.dumps(document), "utf-8")
        codes.append(export(path).code)
        told = {"type": "set_union_control_type", "params": {"type": "depth"}}
        nodes_of["told"] = told | {"links": {"control_net": applied["links"]["control_net"]}}
        applied["links"] |= {"vae": "checkpoint.vae", "control_net": "told"}
    assert codes[0] == codes[1]


def test_a_missing_model_is_a_problem_with_its_place() -> None:
    with pytest.raises(WorkflowError, match=r"nodes\.checkpoint\.params\.model"):
        to_script(txt2img(model="nowhere.safetensors"))


def test_a_workflow_that_writes_nothing_is_refused() -> None:
    document = txt2img()
    del document.nodes["save"]
    with pytest.raises(ConversionError, match="writes nothing"):
        to_script(document)


def test_a_preview_is_left_out_and_said() -> None:
    document = txt2img()
    saves = document.nodes["save"]
    document.nodes["seen"] = saves.model_copy(update={"type": "preview", "params": {}})
    assert "seen: a preview is left out" in export(document).report
    del document.nodes["save"]
    with pytest.raises(ConversionError, match="writes nothing but previews"):
        to_script(document)


def test_inputs_that_decide_the_code_are_fixed_and_said() -> None:
    made = export(workflows.path("txt2img"))
    assert any("sampler" in note and "schedule" in note for note in made.report)
    assert "--sampler" not in made.code and "--prompt" in made.code


def test_a_notebook_has_a_cell_for_each_stage_and_the_same_bytes_again() -> None:
    import nbformat

    made = export(workflows.path("hires_fix"))
    text = to_notebook(made)
    assert text == to_notebook(export(workflows.path("hires_fix")))
    notebook = nbformat.reads(text, as_version=4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    stages = [stage for stage in made.script.stages if stage.lines]
    assert len(code) == 3 + len(stages)
    compile("\n".join(code), "notebook", "exec")


# ------------------------------------------------------------------------------------------ builder code


def test_a_settled_document_exports_like_its_workflow() -> None:
    from graphflow.spec.registry import installed

    document = txt2img()
    expanded = expand(document, installed())
    assert to_script(expanded) == to_script(document)


def test_the_pipeline_style_calls_a_pipeline_and_says_what_differs() -> None:
    document = txt2img(sampler="dpm_2", schedule="normal")
    exact = export(document, session=session())
    assert "class Denoiser" in exact.code and not any("near" in note for note in exact.report)
    near = export(document, session=session(), style="pipeline")
    assert "KDPM2DiscreteScheduler.from_config" in near.code and "class Denoiser" not in near.code
    assert any("KDPM2DiscreteScheduler is near dpm_2" in note for note in near.report)
    assert "KDPM2DiscreteScheduler is near dpm_2" in near.code


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("regional_prompts", "areas"),
        ("two_stage", "a part of its schedule"),
        ("freeu_pag", "guidance"),
        ("txt2img", ""),
    ],
)
def test_the_report_says_why_no_pipeline_fits(name: str, reason: str) -> None:
    made = export(workflows.path(name), session=session())
    reasons = [note for note in made.report if "a denoising loop, since" in note]
    assert all(reason in note for note in reasons) and bool(reasons) == bool(reason)


@pytest.mark.parametrize(("sampler", "exact"), [("dpm_adaptive", True), ("dpm_fast", False)])
def test_the_last_bits_of_prompts_are_kept_where_steps_hang_on_them(sampler: str, exact: bool) -> None:
    assert ('set_attn_implementation("eager")' in to_script(txt2img(sampler=sampler))) is exact


def test_a_pipeline_may_be_offloaded() -> None:
    code = to_script(workflows.path("txt2img"))
    assert '"--offload"' in code
    assert "pipe.enable_model_cpu_offload()" in code


def test_exposed_inputs_may_be_called_as_options_and_keywords_are() -> None:
    document = txt2img()
    names = {"prompt": "class", "seed": "out", "steps": "help", "width": "model_", "height": "offload", "model": "_"}
    document.inputs = {names.get(name, name): exposed for name, exposed in document.inputs.items()}
    document.inputs["class"].description = "50% of %(prog)s"
    document.description = "50% off %(prog)s"
    code = to_script(document, session=session())
    frame = (
        code[code.index("    parser = ") : code.index("    args = ")] + "    parser.format_help()\n    return parser\n"
    )
    space: dict[str, Any] = {"__doc__": ast.get_docstring(ast.parse(code))}
    exec(f"import argparse\nfrom pathlib import Path\nMODEL = ''\ndef make():\n{frame}", space)
    args = vars(space["make"]().parse_args(["--class", "a cat"]))
    assert args["class_"] == "a cat" and args["out"] == Path("out") and len(args) == len(document.inputs)
    nodes_read = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)]
    assert {node.attr for node in nodes_read if isinstance(node.value, ast.Name) and node.value.id == "args"} <= set(
        args
    )


def test_nodes_may_be_called_as_what_stands_at_the_top_of_a_script() -> None:
    data = txt2img().to_json()
    names = {"positive": "device", "negative": "dtype"}
    data["nodes"] = {names.get(name, name): entry for name, entry in data["nodes"].items()}
    data["nodes"]["sample"]["links"] |= names
    data["nodes"]["device"]["params"]["text"] = "a red circle " * 9
    data["nodes"]["dtype"]["params"]["text"] = "a (red:1.2) circle"
    data["inputs"] = {}
    code = to_script(parse(data), session=session())
    tree = ast.parse(code)
    assigned = [node.targets[0].id for node in tree.body if isinstance(node, ast.Assign)]  # type: ignore[attr-defined]
    assert len(assigned) == len(set(assigned)) and {"DEVICE_2", "DTYPE_2"} <= set(assigned)
    assert "encode_weighted(pipe, DTYPE_2)" in code and unbound(tree) == set()


def test_a_node_called_as_a_number_is_named_by_its_type_and_decoded_once() -> None:
    data = txt2img().to_json()
    data["nodes"] = {"8" if name == "decode" else name: entry for name, entry in data["nodes"].items()}
    data["nodes"]["save"]["links"]["images"] = "8"
    data["nodes"]["turned"] = {"type": "flip_image", "links": {"images": "8"}}
    data["nodes"]["second"] = {"type": "save_image", "links": {"images": "turned"}}
    data["outputs"] = {}
    code = to_script(parse(data), session=session())
    assert "    vae_decode = decode_latents(" in code and code.count("= decode_latents(") == 1


def test_an_input_whose_parameters_differ_is_fixed_and_said() -> None:
    document = txt2img(height=64)
    document.inputs = {"edge": ExposedInput(to=["latent.width", "latent.height"]), "steps": document.inputs["steps"]}
    made = export(document, session=session())
    assert "Fixed in this script: edge." in made.report
    assert "width=128" in made.code and "height=64" in made.code and '"--steps"' in made.code
    document.nodes["latent"].params["height"] = 128
    assert 'option("--edge", 128' in export(document, session=session()).code


def test_an_input_of_what_a_node_leaves_out_has_the_default_of_its_type() -> None:
    document = txt2img()
    del document.nodes["sample"].params["steps"]
    code = to_script(document, session=session())
    assert 'option("--steps", 20' in code and "num_inference_steps=args.steps" in code
