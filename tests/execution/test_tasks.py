"""Tasks are plain data, and all that a worker needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from graphflow.execution.environment import Environment
from graphflow.execution.task import Item, Literal, Ref, Series, Task, TaskFile
from graphflow.execution.worker import Computed, Effect, Worker
from graphflow.planning.steps import output_key
from graphflow.runtime import Runtime
from graphflow.store import DiskTier, MemoryTier, Store
from tests.conftest import TOYS, NoModels

names = st.text("abc$", min_size=1, max_size=5) | st.sampled_from(["$tuple", "$map"])
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(names, inner, max_size=3)
    ),
    max_leaves=8,
)
inputs = (
    st.builds(Ref, names)
    | st.builds(Item, names, st.integers(0, 9))
    | st.builds(Series, st.lists(names, max_size=3).map(tuple))
)
tasks = st.builds(
    Task,
    step=names,
    type=names,
    version=st.integers(1, 9),
    key=st.none() | names,
    constants=st.dictionaries(names, plain, max_size=3),
    inputs=st.dictionaries(
        names, inputs | st.lists(inputs | st.builds(Literal, plain), max_size=3).map(tuple), max_size=3
    ),
    files=st.lists(st.builds(TaskFile, names, st.none() | names, st.booleans()), max_size=2).map(tuple),
    record=st.none() | st.dictionaries(names, plain, max_size=3),
    needed=st.lists(names, max_size=3).map(tuple),
    stored=st.booleans(),
    element=st.none() | st.integers(0, 9),
    elements=st.none() | st.integers(1, 10),
)


@given(tasks)
def test_a_task_goes_through_json(task: Task) -> None:
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task


def elsewhere(folder: Path) -> tuple[Worker, Store]:
    """A worker that has nothing but the store, the node types and a runtime."""
    store = Store(MemoryTier(2**20), DiskTier(folder / "store", max_bytes=2**24))
    environment = Environment(
        store=store,
        out=folder / "out",
        scratch=folder / "scratch",
        runtime=Runtime(models=NoModels()),  # type: ignore[arg-type]
    )

    def fetch(address: str) -> Any:
        value = store.get(address, lambda encoded: encoded.data)
        assert value is not None
        return value

    return Worker(environment, TOYS.specs, fetch), store


def test_a_worker_turns_a_task_from_json_into_a_stored_value(tmp_path: Path) -> None:
    worker, store = elsewhere(tmp_path)
    first = Task("a", "toy_sample", 1, "a" * 64, {"model": 2.0, "seed": 5}, needed=("value",))
    second = Task(
        "b",
        "toy_sum",
        1,
        "b" * 64,
        inputs={"parts": (Ref(output_key("a" * 64, "value")), Literal(1))},
        needed=("value",),
    )
    for task in (first, second):
        result = worker.work(Task.from_json(json.loads(json.dumps(task.to_json()))))
        assert isinstance(result, Computed)
    assert store.get(output_key("a" * 64, "value"), lambda encoded: encoded.data) == 2005.003
    assert store.get(output_key("b" * 64, "value"), lambda encoded: encoded.data) == 2006.003
    again, _ = elsewhere(tmp_path)
    result = again.work(first)
    assert isinstance(result, Computed)
    assert result.tier == "disk", "what somebody else has stored is not computed again"


def test_a_worker_writes_the_files_of_a_task(tmp_path: Path) -> None:
    worker, _ = elsewhere(tmp_path)
    task = Task("save", "toy_write", 1, "c" * 64, {"x": (1, 2)}, record={})
    written = worker.work(Task.from_json(json.loads(json.dumps(task.to_json()))))
    assert isinstance(written, Effect)
    assert [(file.path.name, file.how) for file in written.files] == [("toy_00001.txt", "written")]
    assert written.files[0].path.read_text() == "(1, 2)"
    written.files[0].path.unlink()
    brought = worker.work(Task("save", "toy_write", 1, "c" * 64, stored=True))
    assert isinstance(brought, Effect)
    assert [file.how for file in brought.files] == ["copied"]
