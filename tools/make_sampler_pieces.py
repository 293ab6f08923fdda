"""Writes converters/diffusers_script/pieces/d_samplers.py from graphflow.sampling.samplers.

Exported scripts carry the sampler that they need. Its code is this package's own, without what scripts do not have:
callbacks, flow models, type annotations of arguments. Run with --check to see whether the file is up to date.
"""

from __future__ import annotations

import ast

from tools.pieces import PIECES, ROOT, formatted, without_annotations, write_or_check

SOURCES = ROOT / "graphflow/sampling/samplers"
TARGET = PIECES / "d_samplers.py"
FILES = (
    "base", "euler", "second_order", "multistep", "dpm_solver", "dpmpp", "dpmpp_sde", "er_sde", "res", "sa_solver",
    "seeds", "uni_pc",
)  # fmt: skip
LEFT_OUT = {"Denoiser", "Step", "SamplerFunction", "NoiseKind", "StepNoise", "Callback", "Weights", "NEARLY_PURE_NOISE"}
SAMPLING = {"sampling", "model_sampling"}
HEAD = '''"""Samplers, made by tools/make_sampler_pieces.py from graphflow.sampling.samplers."""

# mypy: ignore-errors

'''


class _ForScripts(ast.NodeTransformer):
    """Takes out callbacks, annotations and the parameterisation: scripts know alpha = 1 only."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        taken = node.args
        without_annotations(node)
        kept = [
            (argument, default)
            for argument, default in zip(taken.kwonlyargs, taken.kw_defaults, strict=True)
            if argument.arg not in ("callback", "noise")
        ]
        had_noise = any(argument.arg == "noise" for argument in taken.kwonlyargs)
        taken.args = [argument for argument in taken.args if argument.arg not in ("callback", *SAMPLING)]
        if had_noise:
            taken.args.append(ast.arg("noise"))
            taken.defaults.append(ast.Constant(None))
        taken.kwonlyargs = [argument for argument, _ in kept]
        taken.kw_defaults = [default for _, default in kept]
        self.generic_visit(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = [part if isinstance(part, ast.AnnAssign) else self.visit(part) for part in node.body]
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "callback":
            return None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.generic_visit(node)
        if node.value is None or not isinstance(node.target, ast.Name):
            return node
        return ast.Assign([node.target], node.value, lineno=node.lineno)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        match node:
            case ast.Assign(targets=[ast.Name(id="sampling")]):
                return None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt] | None:
        if "is_flow" in ast.unparse(node.test):
            return [self.visit(part) for part in node.orelse] or None
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        node.args = [part for part in node.args if not _is_sampling(part) and getattr(part, "id", "") != "callback"]
        match node:
            case ast.Call(func=ast.Attribute(value=owner, attr=name)) if _is_sampling(owner):
                return _without_sampling(name, node)
        return node

    def visit_For(self, node: ast.For) -> ast.AST:
        self.generic_visit(node)
        used = {part.id for child in node.body for part in ast.walk(child) if isinstance(part, ast.Name)}
        for name in node.target.elts if isinstance(node.target, ast.Tuple) else []:
            if isinstance(name, ast.Name) and name.id not in used:
                name.id = "_"
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            node.exc = ast.Call(ast.Name("ValueError"), node.exc.args, [])
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Mult) and isinstance(node.left, ast.Constant) and node.left.value == 1.0:
            return node.right
        return node


def _is_sampling(node: ast.AST) -> bool:
    return (isinstance(node, ast.Name) and node.id in SAMPLING) or (
        isinstance(node, ast.Attribute) and node.attr == "model_sampling"
    )


def _without_sampling(name: str, call: ast.Call) -> ast.AST:
    """What a method of the parameterisation is for alpha = 1."""
    match name:
        case "alpha":
            return ast.Constant(1.0)
        case "half_log_snr":
            return ast.Call(ast.Name("negative_log"), call.args, [])
        case "sigma_at_half_log_snr":
            return ast.parse(f"({ast.unparse(call.args[0])}).neg().exp()", mode="eval").body
        case "noise_latent":
            sigma, noise, latent = map(ast.unparse, call.args)
            return ast.parse(f"{noise} * {sigma} + {latent}", mode="eval").body
        case "percent_to_sigma":
            return ast.Call(ast.Attribute(ast.Name("denoise"), "percent_to_sigma"), call.args, [])
    raise SystemExit(f"make_sampler_pieces.py does not know ModelSampling.{name}")


def make() -> str:
    """Return the file's text, formatted."""
    body: list[str] = []
    for name in FILES:
        for statement in ast.parse((SOURCES / f"{name}.py").read_text("utf-8")).body:
            match statement:
                case ast.FunctionDef(name=defined) | ast.ClassDef(name=defined):
                    pass
                case ast.Assign(targets=[ast.Name(id=defined)]):
                    pass
                case _:
                    continue
            if defined not in LEFT_OUT:
                body.append(ast.unparse(ast.fix_missing_locations(_ForScripts().visit(statement))))
    imports = (
        "import functools\nimport math\nfrom collections.abc import Sequence\nfrom dataclasses import dataclass, field\n"
        "from itertools import pairwise\nfrom typing import Literal\n\nimport torch\nfrom torch import Tensor\n"
        "from c_denoiser import Denoiser\n"
    )
    text = HEAD + imports + "\n\n" + "\n\n\n".join(body) + "\n"
    return formatted(text, TARGET)


if __name__ == "__main__":
    write_or_check(TARGET, make)
