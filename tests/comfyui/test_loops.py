"""Loops become their turns, one after another."""

from __future__ import annotations

from typing import Any

import pytest

from .prompts import imported, node, prompt, sound

PICTURES = {"8": node("VAEDecode", samples=["21", 0], vae=["4", 2])}


def redrawn(**sampler: Any) -> dict[str, Any]:
    """A sampler that goes on from a loop's value."""
    return node("KSampler", **{**prompt()["3"]["inputs"], "denoise": 0.5, **sampler})


def easy(total: Any) -> dict[str, Any]:
    """A latent that is drawn anew in each turn, with the turn's number for a seed."""
    return prompt(
        n20=node("easy forLoopStart", total=total, initial_value1=["5", 0]),
        n3=redrawn(latent_image=["20", 2], seed=["20", 1]),
        n21=node("easy forLoopEnd", flow=["20", 0], initial_value1=["3", 0]),
        **{f"n{id}": node for id, node in PICTURES.items()},
    )


def core(accumulate: bool = False, **mode: Any) -> dict[str, Any]:
    """The same with ComfyUI's own nodes; the last turn's prompt is another one."""
    told = {"mode": "simple", **{f"mode.{name}": value for name, value in mode.items()}}
    if "max_iteration" in mode:
        told["mode"] = "For"
    return prompt(
        n20=node("StartLoop", initial_iteration_value=["5", 0], **told),
        n22=node("ComfySwitchNode", switch=["20", 2], on_true=["7", 0], on_false=["6", 0]),
        n3=redrawn(latent_image=["20", 4], seed=["20", 0], positive=["22", 0]),
        n8=node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        n21=node("EndLoop", output_value=["8", 0], next_iteration_value=["3", 0], accumulate=accumulate),
        n9=node("SaveImage", images=["21", 0], filename_prefix="fox"),
    )


def samples(document: Any) -> list[Any]:
    return [entry for entry in document.nodes.values() if entry.type == "sample"]


def chain(document: Any, latent: str) -> list[int]:
    """The seeds of the samplers that lead to a latent, the first one first."""
    entry = document.nodes[latent]
    return [*chain(document, entry.links["latent"]), entry.params["seed"]] if entry.type == "sample" else []


def test_a_value_is_carried_from_turn_to_turn() -> None:
    result = sound(easy(total=3))
    assert chain(result.document, result.document.nodes["8"].links["latent"]) == [0, 1, 2]
    assert any("3 times" in remark for entry in result.report.entries for remark in entry.remarks)
    assert len(result.report.entries) == len(easy(total=3))


def test_a_loop_of_no_turns_gives_what_it_began_with() -> None:
    document = sound(easy(total=0)).document
    assert document.nodes["8"].links["latent"] == "5" and not samples(document)


def test_the_last_turn_knows_that_it_is() -> None:
    document = sound(core(start_iteration_index=2, max_iteration=7, step=2)).document
    latent = document.nodes[document.nodes["9"].links["images"]].links["latent"]
    assert chain(document, latent) == [2, 4, 6]
    assert [entry.links["positive"] for entry in samples(document)] == ["6", "6", "7"]


def test_the_pictures_of_all_turns_are_gathered() -> None:
    document = sound(core(accumulate=True, num_iterations=3)).document
    assert len(document.nodes[document.nodes["9"].links["images"]].links["images"]) == 3


def test_what_is_saved_in_a_loop_is_saved_in_each_turn_and_loops_stand_in_loops() -> None:
    inner = {
        "30": node("ForLoopOpen", remaining=2, initial_value1=["20", 2]),
        "3": redrawn(latent_image=["30", 2], seed=["30", 1]),
        "31": node("ForLoopClose", flow_control=["30", 0], initial_value1=["3", 0]),
        "32": node("VAEDecode", samples=["31", 0], vae=["4", 2]),
        "33": node("SaveImage", images=["32", 0], filename_prefix="turn"),
        "21": node("easy forLoopEnd", flow=["20", 0], initial_value1=["31", 0]),
    }
    document = sound({**easy(total=2), **inner}).document
    assert chain(document, document.nodes["8"].links["latent"]) == [2, 1, 2, 1]
    assert sum(entry.type == "save_image" for entry in document.nodes.values()) == 3


@pytest.mark.parametrize(
    "computed",
    [
        easy(total=["23", 0]) | {"23": node("StringLength", string="abc")},
        prompt(
            n20=node("easy whileLoopStart", condition=True, initial_value0=["5", 0]),
            n3=redrawn(latent_image=["20", 1]),
            n21=node("easy whileLoopEnd", flow=["20", 0], condition=False, initial_value0=["3", 0]),
            **{f"n{id}": node for id, node in PICTURES.items()},
        ),
        easy(total=1_000_000),
    ],
)
def test_loops_of_an_unknown_or_endless_length_are_refused(computed: dict[str, Any]) -> None:
    entries = {entry.id: entry for entry in imported(computed).report.unsupported}
    assert {"20", "21"} <= {*entries}
    assert all("number of turns" in entries[id].remarks[0] for id in ("20", "21"))
