"""Jobs: each is carried out once, in order, and what becomes of it is remembered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graphflow.errors import InvalidInputError, StoreError, WorkflowError
from graphflow.events import Event, NodeStarted
from graphflow.jobs.database import Database
from graphflow.jobs.job import Job, JobConflictError, Order, QueueFullError, UnknownJobError
from graphflow.jobs.ordering import make_order
from graphflow.jobs.queue import Bounds, Jobs
from tests import toys as toy
from tests.conftest import ToySession

WAIT = 60.0


def document(*, seed: Any = 7, steps: int = 3, name: str = "toy", **nodes: Any) -> dict[str, Any]:
    return {
        "graphflow": 2,
        "name": "chain",
        "inputs": {"seed": {"to": ["sample.seed"]}},
        "nodes": {
            "model": {"type": "toy_load"},
            "sample": {"type": "toy_sample", "params": {"seed": seed, "steps": steps}, "links": {"model": "model"}},
            "save": {"type": "toy_write", "params": {"name": name}, "links": {"x": "sample"}},
            **nodes,
        },
        "outputs": {"number": "sample"},
    }


class Gate:
    """Holds the run of a node until it is opened."""

    def __init__(self, jobs: Jobs, node: str = "sample") -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self._node = node
        jobs.listen(self)

    def __call__(self, job: Job, event: Event | None) -> None:
        if isinstance(event, NodeStarted) and event.node == self._node and not self.opened.is_set():
            self.reached.set()
            assert self.opened.wait(WAIT)

    def hold(self) -> None:
        assert self.reached.wait(WAIT)


@pytest.fixture
def open_jobs(toys: ToySession, tmp_path: Path) -> Callable[..., Any]:
    @contextmanager
    def opened(**options: Any) -> Iterator[Jobs]:
        with toys.fresh() as session, Jobs(session, tmp_path / "jobs", **options) as jobs:
            yield jobs

    return opened


@pytest.fixture
def jobs(open_jobs: Callable[..., Any]) -> Iterator[Jobs]:
    with open_jobs() as jobs:
        yield jobs


def submit(jobs: Jobs, given: dict[str, Any] | None = None, **options: Any) -> str:
    return jobs.submit(make_order(jobs.session, given or document()), **options)[0].id


def test_a_job_is_carried_out_and_remembered(jobs: Jobs) -> None:
    job = jobs.wait(submit(jobs), WAIT)
    assert (job.state, job.attempt, job.name, job.error) == ("done", 1, "chain", None)
    assert job.result is not None and job.result["outputs"] == {"number": 1007.003}
    (file,) = jobs.files(job.id)
    assert (file.node, file.name, file.how) == ("save", "toy_00001.txt", "written")
    assert jobs.file(job.id, file.name).read_text("utf-8") == "1007.003"
    assert [attempt.outcome for attempt in jobs.attempts(job.id)] == ["done"]
    assert jobs.counts() == {"done": 1}


def test_a_seed_is_drawn_once_and_told(jobs: Jobs) -> None:
    order = make_order(jobs.session, document(seed="random"))
    job = jobs.wait(jobs.submit(order)[0].id, WAIT)
    assert job.result is not None and job.result["seeds"] == order.seeds != {}
    assert order.document["nodes"]["sample"]["params"]["seed"] == order.seeds["sample.seed"]


def test_what_cannot_run_is_refused_with_every_problem(jobs: Jobs) -> None:
    with pytest.raises(WorkflowError) as caught:
        make_order(jobs.session, document(steps=0), {"seeed": 1})
    assert {problem.path for problem in caught.value.problems} == {"inputs.seeed", "nodes.sample.params.steps"}


def test_a_strangers_input_names_no_file_outside(jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret", "utf-8")
    given = document(read={"type": "toy_read"}) | {"inputs": {"file": {"to": ["read.file"]}}, "outputs": {"t": "read"}}
    order = make_order(jobs.session, given, {"file": str(tmp_path / "secret.txt")})
    job = jobs.wait(jobs.submit(order)[0].id, WAIT)
    assert job.state == "failed" and job.error is not None
    assert "leads out of" in job.error["problems"][0]["message"]


@pytest.mark.parametrize(
    ("own", "asked", "counts"),
    [("auto", "off", "auto"), ("require", "off", "require"), ("off", "require", "require"), ("auto", None, "auto")],
)
def test_the_stricter_safety_policy_counts(toys: ToySession, tmp_path: Path, own: str, asked: Any, counts: str) -> None:
    with toys.fresh(safety=own) as session, Jobs(session, tmp_path / "jobs") as jobs:
        assert make_order(jobs.session, document(), safety=asked).safety == counts


def test_a_failed_job_tells_its_cause_and_is_retried(jobs: Jobs) -> None:
    toy.CALLS.clear()
    broken = {"type": "toy_fail", "links": {"x": "sample"}}
    id = submit(jobs, document(broken=broken) | {"outputs": {"number": "broken"}})
    job = jobs.wait(id, WAIT)
    assert job.state == "failed" and job.error is not None
    assert job.error["node"] == "broken" and "broken" in job.error["message"]
    assert not (jobs.folder / "files" / id / "1").exists()  # half of a result is none
    jobs.retry(id)
    assert jobs.wait(id, WAIT).attempt == 2
    assert [attempt.outcome for attempt in jobs.attempts(id)] == ["failed", "failed"]
    assert [name for name, _ in toy.CALLS].count("sample") == 1  # the second went on from what is stored
    with pytest.raises(JobConflictError):
        jobs.pause(id)


def test_priorities_and_the_order_of_coming_decide(jobs: Jobs) -> None:
    gate, ran = Gate(jobs), list[str]()
    jobs.listen(lambda job, event: ran.append(job.id) if event is None and job.state == "running" else None)
    first = submit(jobs)
    gate.hold()
    low, later, high, raised = (submit(jobs, priority=priority) for priority in (-1, 0, 5, 0))
    jobs.prioritise(raised, 9)
    assert [job.id for job in jobs.waiting()] == [raised, high, later, low]
    gate.opened.set()
    for id in (low, later, high, raised):
        jobs.wait(id, WAIT)
    assert ran == [first, raised, high, later, low]


def test_a_running_job_is_cancelled_between_steps(jobs: Jobs) -> None:
    gate = Gate(jobs)
    id, waits = submit(jobs, document(steps=1000)), submit(jobs)
    gate.hold()
    assert jobs.cancel(waits).state == "cancelled"
    assert jobs.cancel(id).stopping == "cancelled"
    gate.opened.set()
    assert jobs.wait(id, WAIT).state == "cancelled"
    assert jobs.cancel(id).state == "cancelled"
    assert jobs.files(id) == []
    assert jobs.retry(waits).state == "queued"
    assert jobs.wait(waits, WAIT).state == "done"


def test_a_paused_job_waits_and_goes_on(jobs: Jobs) -> None:
    gate = Gate(jobs)
    id, other = submit(jobs), submit(jobs, paused=True)
    gate.hold()
    jobs.pause(id)
    gate.opened.set()
    third = jobs.wait(submit(jobs), WAIT)
    assert third.state == "done"
    assert [(jobs.job(name).state, jobs.job(name).paused) for name in (id, other)] == [("queued", True)] * 2
    jobs.resume(id)
    assert jobs.wait(id, WAIT).state == "done"
    assert [attempt.outcome for attempt in jobs.attempts(id)] == ["paused", "done"]
    assert jobs.job(other).state == "queued"


def test_a_job_that_is_cut_off_goes_on_from_its_stored_values(open_jobs: Callable[..., Any]) -> None:
    toy.CALLS.clear()
    with open_jobs() as jobs:
        gate = Gate(jobs, "save")
        id = submit(jobs)
        gate.hold()
        closing = threading.Thread(target=jobs.close)
        closing.start()
        gate.opened.set()
        closing.join(WAIT)
    with open_jobs() as jobs:
        job = jobs.wait(id, WAIT)
        assert job.state == "done"
        outcomes = [attempt.outcome for attempt in jobs.attempts(id)]
        assert outcomes in (["interrupted", "done"], ["done"])  # it may have been too far to stop
        assert len(jobs.files(id)) == 1
    assert [name for name, _ in toy.CALLS].count("sample") == 1


def test_what_ends_the_service_again_and_again_is_given_up(open_jobs: Callable[..., Any], tmp_path: Path) -> None:
    with open_jobs(workers=0) as jobs:
        id = submit(jobs)
    for _ in range(3):  # as processes that die while it runs
        database = Database(tmp_path / "jobs" / "jobs.sqlite")
        claimed = database.claim()
        assert claimed is not None and claimed.id == id
        half = tmp_path / "jobs" / "files" / id / str(claimed.attempt)
        half.mkdir(parents=True)
        database.close()
        with open_jobs(workers=0):
            assert not half.exists()
    with open_jobs() as jobs:
        job = jobs.job(id)
        assert (job.state, job.paused, job.attempt) == ("interrupted", True, 3)
        jobs.retry(id)
        assert jobs.wait(id, WAIT).state == "done"


def test_an_idempotency_key_gives_the_same_job(jobs: Jobs) -> None:
    order = make_order(jobs.session, document())
    first, new = jobs.submit(order, key="k", asked={"a": 1})
    again, second = jobs.submit(order, key="k", asked={"a": 1})
    assert (first.id, new, second) == (again.id, True, False)
    with pytest.raises(JobConflictError, match="another request"):
        jobs.submit(order, key="k", asked={"a": 2})


def test_bounds(open_jobs: Callable[..., Any], tmp_path: Path) -> None:
    with open_jobs(workers=0, bounds=Bounds(waiting=1)) as jobs:
        submit(jobs)
        with pytest.raises(QueueFullError):
            submit(jobs)
        with pytest.raises(StoreError, match="another process"), open_jobs():
            pass
        for id in ("../x", "", "a" * 65, "a/b"):
            with pytest.raises(InvalidInputError, match="no id of a job"):
                submit(jobs, id=id)


def test_jobs_that_are_over_are_forgotten_with_their_files(open_jobs: Callable[..., Any], tmp_path: Path) -> None:
    with open_jobs() as jobs:
        ids = [submit(jobs) for _ in range(3)]
        for id in ids:
            jobs.wait(id, WAIT)
        jobs.remove(ids[0])
        with pytest.raises(UnknownJobError):
            jobs.job(ids[0])
    (tmp_path / "jobs" / "files" / "orphan").mkdir()
    with open_jobs(bounds=Bounds(jobs=1)) as jobs:
        assert [job.id for job in jobs.jobs()] == [ids[2]]
        assert [place.name for place in (jobs.folder / "files").iterdir()] == [ids[2]]


def test_lists_are_read_in_pages(open_jobs: Callable[..., Any]) -> None:
    with open_jobs(workers=0) as jobs:
        ids = [submit(jobs, origin="a" if number % 2 else "b") for number in range(5)]
        page = jobs.jobs(limit=2)
        assert [job.id for job in page] == ids[:2:-1]
        assert [job.id for job in jobs.jobs(limit=9, before=page[-1].id)] == ids[2::-1]
        assert [job.id for job in jobs.jobs(["queued"], origin="a")] == [ids[3], ids[1]]
        assert jobs.jobs(["done"]) == []


def test_events_are_followed_from_any_number(jobs: Jobs) -> None:
    id = submit(jobs, paused=True)
    feed = jobs.feed(id)
    jobs.resume(id)
    assert feed.wait(WAIT)
    told, over = feed.since(0)
    assert over and [number for number, _ in told] == list(range(1, len(told) + 1))
    names = [what["event"] for _, what in told]
    assert names[0] == "state" and "run_started" in names and "written" in names and names[-1] == "state"
    assert feed.since(len(told) - 1) == (told[-1:], True)
    assert told[-1][1]["state"] == "done"


def test_orders_are_kept_as_they_were(open_jobs: Callable[..., Any]) -> None:
    with open_jobs(workers=0) as jobs:
        order: Order = replace(make_order(jobs.session, document()), targets=["sample"], previews=True)
        assert jobs.order(jobs.submit(order)[0].id) == order
