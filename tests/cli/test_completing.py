"""What the shells are told when Tab is pressed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import Command


@pytest.fixture
def offered(graphflow: Command, monkeypatch: pytest.MonkeyPatch, chain: Path) -> Command:
    """Complete a line as fish asks; returns what it is offered."""
    monkeypatch.setenv("_GRAPHFLOW_COMPLETE", "complete_fish")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")

    def complete(line: str) -> list[str]:
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", f"graphflow {line}")
        ran = graphflow()
        assert (ran.code, ran.err) == (0, "")
        return [item.partition("\t")[0] for item in ran.out.splitlines() if item]

    return complete  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("workf", ["workflows"]),
        ("run hires", ["hires_fix", "hires_fix_latent"]),
        ("fetch sdxl", ["sdxl_base_refiner"]),
        ("workflows inp", ["inpaint"]),
        ("run chain", ["chain.json"]),
        ("run txt2img -i se", ["seed="]),
        ("plan txt2img -i seed=3 --input sam", ["sampler="]),
        ("run txt2img -i schedule=k", ["schedule=karras", "schedule=kl_optimal"]),
        ("run txt2img -i model=shapes-", []),  # no checkpoint
        ("run lora_stack --set style.lora=sh", ["style.lora=shapes-outline"]),
        ("run inner_workflow --set first.s", ["first.seed=", "first.steps="]),
        ("run chain.json --target a", ["add"]),
        ("run nowhere.json -i s", []),
        ("run - -i s", []),
        ("nodes vae_dec", ["vae_decode"]),
        ("nodes --category imag", ["images"]),
        ("models shapes-o", ["shapes-outline"]),
        ("models conv", ["convert"]),
    ],
)
def test_names_complete(line: str, wanted: list[str], offered: Command) -> None:
    assert offered(line) == wanted


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["run", "txt2img", "-i", "seed", "=", "7", "-i", "sampler", "=", "heun"], ["heun", "heunpp2"]),
        (["run", "txt2img", "-i", "schedule", "="], ["simple", "sgm_uniform"]),
        (["run", "txt2img", "-i", "st"], ["steps="]),
        (["run", "txt2img", "--set", "prompt", "=", "--set", "sample.st"], ["sample.steps=", "sample.strength="]),
    ],
)
def test_bash_breaks_words_at_equals_signs(
    words: list[str], wanted: list[str], graphflow: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_GRAPHFLOW_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "\n".join(["graphflow", *words, "further"]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    ran = graphflow()
    assert ran.code == 0
    assert ran.out.splitlines()[: len(wanted)] == wanted


def test_the_scripts_are_for_every_shell(graphflow: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for shell in ("bash", "zsh", "fish", "powershell"):
        monkeypatch.setenv("_GRAPHFLOW_COMPLETE", f"source_{shell}")
        assert "_GRAPHFLOW_COMPLETE" in graphflow().out
