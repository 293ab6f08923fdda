"""Modules are made without weights in one thread, while others make theirs with weights."""

from __future__ import annotations

import threading

import torch
from torch import nn

from graphflow.loading.weightless import Weightless


def test_parameters_take_no_memory_and_buffers_are_in_place() -> None:
    before = torch.get_rng_state()
    with Weightless():
        layer = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    assert torch.get_rng_state().equal(before), "no random numbers are drawn for weights that are not there"
    assert {parameter.device.type for parameter in layer.parameters()} == {"meta"}
    assert {buffer.device.type for buffer in layer.buffers()} == {"cpu"}
    assert nn.Linear(2, 2).weight.device.type == "cpu"


def test_other_threads_keep_their_weights() -> None:
    inside, made = threading.Event(), threading.Event()
    found: list[str] = []

    def other() -> None:
        inside.wait(60)
        found.append(nn.Linear(2, 2).weight.device.type)
        made.set()

    thread = threading.Thread(target=other)
    thread.start()
    with Weightless():
        inside.set()
        assert made.wait(60)
    thread.join(60)
    assert found == ["cpu"]
