"""The page that a run writes."""

from __future__ import annotations

from collections.abc import Mapping

from tools.gpu_check.rows import Report

HOW = """`python -m tools.gpu_check` in a clone, after `make install-test`, with that environment's Python (`.venv/bin/python`),
on a machine with a CUDA device: eight minutes, 10 GB of disk, no network. With `--write` it writes this page, otherwise
`build/gpu.md`; `--device cpu` goes through the same checks with tiny models, and says which of them need CUDA."""

ABOUT = """Weights are the packaged model's, or random ones of the full sizes of Stable Diffusion 1.5 and SDXL (their text encoders
have two layers). Errors are relative, |a − b| / |b|, against the CPU in float32 unless a row says otherwise. A row that
the time did not suffice for says so: it has not passed."""

SPEEDS = """The packaged `txt2img` against a plain pipeline of the same files in float16 with torch's own attention, Euler steps with
guidance; runs take turns in one process, medians. Sampling is the loop alone, where the pipeline's includes the
prompt's encoding. Ratios are graphflow / Diffusers. Nothing here passes or fails."""


def page(report: Report, facts: Mapping[str, str] | None, date: str) -> str:
    """The page in Markdown.

    Args:
        report: What was found.
        facts: What the machine is; None where nothing has run.
        date: The day of the run.
    """
    lines = ["# On a CUDA device", "", HOW, ""]
    if facts is None:
        lines += ["Not run yet on a CUDA device: the checks below wait for one.", ""]
    else:
        lines += [f"Run on {date}.", "", "| machine | |", "|---|---|"]
        lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in facts.items()]
        lines += [""]
    lines += [ABOUT, "", "| check | what | found | bound | result |", "|---|---|---|---|---|"]
    for check in report.checks:
        for row in report.rows(check):
            lines.append(f"| {check.name} | {' | '.join(map(_cell, (row.what, row.figure, row.bound, row.state)))} |")
    if report.speeds():
        lines += [
            "",
            "## Speed",
            "",
            SPEEDS,
            "",
            "| model | what | graphflow | Diffusers | ratio |",
            "|---|---|---|---|---|",
        ]
        for speed in report.speeds():
            ratio = speed.ours / speed.theirs if speed.theirs else float("nan")
            lines.append(
                f"| {_cell(speed.model)} | {_cell(speed.what)} | {speed.ours:.4g} | {speed.theirs:.4g} | {ratio:.2f} |"
            )
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
