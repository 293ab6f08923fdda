"""What the service and the worker cost, and what they save.

The worker: ``graphflow run`` cold against a second ``run --worker``, to the first step and to the end. The service, in a process of
its own: requests a second and latencies with 1, 10 and 100 clients that ask one after the other; from a submission to its first
event; a submission where 10,000 jobs wait. Jobs, in this process: what one costs against ``session.run``, and the memory that
50,000 take. ``python -m benchmarks.service [worker|http|jobs]``.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graphflow.basics.allocator import keep_freed_memory
from graphflow.jobs.ordering import make_order
from graphflow.jobs.queue import Bounds, Jobs
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.decorator import node
from graphflow.spec.registry import Registry

CLIENTS = (1, 10, 100)
ASKED = 300
QUEUED = 10_000
JOBS = (10_000, 50_000)
SMALL = {"workflow": "txt2img", "inputs": {"seed": 3}}


@node("bench_source")
def source(value: int = 0) -> int:
    """Return a number."""
    return value


@node("bench_add")
def add(x: int, by: int = 1) -> int:
    """Add two numbers."""
    return x + by


TRIVIAL = {
    "graphflow": 2,
    "inputs": {"by": {"to": ["b.by"]}},
    "nodes": {"a": {"type": "bench_source"}, "b": {"type": "bench_add", "links": {"x": "a"}}},
    "outputs": {"sum": "b"},
}


# -------------------------------------------------------------------------------------------------------- worker


def timed_run(folder: Path, seed: int, *options: str) -> tuple[float, float]:
    """Run a picture of the packaged model; returns seconds to its first step and to the end."""
    command = [sys.executable, "-m", "graphflow.cli", "run", "txt2img", "-i", f"seed={seed}", "--json", *options]
    began, first = time.perf_counter(), 0.0
    with subprocess.Popen(
        [*command, "--out", str(folder / "out")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if not first and json.loads(line)["event"] == "progress":
                first = time.perf_counter() - began
    assert process.returncode == 0
    return first, time.perf_counter() - began


def worker(folder: Path) -> None:
    """Print what the worker saves."""
    os.environ |= {"GRAPHFLOW_CACHE_DIR": str(folder / "cache"), "XDG_RUNTIME_DIR": str(folder)}
    graphflow = [sys.executable, "-m", "graphflow.cli"]
    timed_run(folder, 0)  # compiles and fills the disk's cache
    cold = [timed_run(folder, seed) for seed in range(1, 4)]
    subprocess.run([*graphflow, "worker", "start"], check=True, stdout=subprocess.DEVNULL)
    try:
        timed_run(folder, 4, "--worker")
        warm = [timed_run(folder, seed, "--worker") for seed in range(5, 8)]
    finally:
        subprocess.run([*graphflow, "worker", "stop"], check=True, stdout=subprocess.DEVNULL)
    print("| shapes, 128 px, 20 steps | cold run, s | second run --worker, s | ratio |\n|---|---|---|---|")
    for name, index in (("to the first step", 0), ("to the end", 1)):
        one, other = (statistics.median(run[index] for run in runs) for runs in (cold, warm))
        print(f"| {name} | {one:.2f} | {other:.2f} | {other / one:.3f} |")


# ---------------------------------------------------------------------------------------------------------- http


class Connection:
    """One client that keeps its connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: object = None) -> bytes:
        """Ask and return the body of the answer."""
        if self._streams is None or self._streams[0].at_eof():
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        told = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert told.split(b" ", 2)[1][:1] == b"2", told
        length = int(told.split(b"content-length: ")[1].split(b"\r\n")[0])
        return await reader.readexactly(length)


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """Start a service without bounds on the rate; yields its port."""
    code = (
        "import sys; from pathlib import Path; from graphflow.session import Session\n"
        "from graphflow.service.app import Service, make_app; from graphflow.service.native import native_router\n"
        "from graphflow.service.options import ServiceOptions; from graphflow.service.serving import listen, serve\n"
        "from benchmarks import service as b\n"
        "service = Service(Session(functions=[b.source, b.add]), Path(sys.argv[1]), ServiceOptions(rate=0))\n"
        "listening = listen('127.0.0.1', 0)\n"
        "print(listening.getsockname()[1], flush=True)\n"
        "serve(make_app(service, [native_router(service)]), listening, lambda _: None)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(folder / "service")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


async def asked(port: int, clients: int, request: Callable[[int], tuple[str, str, Any]]) -> tuple[float, list[float]]:
    """Ask many times; returns the seconds that all took, and those of each."""
    latencies: list[float] = []

    async def client(numbers: range) -> None:
        connection = Connection(port)
        for number in numbers:
            began = time.perf_counter()
            await connection.ask(*request(number))
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(client(range(index, ASKED, clients)) for index in range(clients)))
    return time.perf_counter() - began, latencies


async def http(port: int) -> None:
    """Print what requests cost."""
    one = Connection(port)
    await one.ask("POST", "/v1/validate", SMALL)
    job = json.loads(await one.ask("POST", "/v1/jobs", {**SMALL, "paused": True}))["id"]
    kinds: Mapping[str, Callable[[int], tuple[str, str, Any]]] = {
        "validate": lambda _: ("POST", "/v1/validate", SMALL),
        "plan": lambda number: ("POST", "/v1/plan", {**SMALL, "inputs": {"seed": number}}),
        "submit": lambda _: ("POST", "/v1/jobs", {**SMALL, "paused": True}),
        "status": lambda _: ("GET", f"/v1/jobs/{job}", None),
    }
    print("| request | clients | requests/s | p50, ms | p99, ms |\n|---|---|---|---|---|")
    for name, request in kinds.items():
        for clients in CLIENTS:
            seconds, latencies = await asked(port, clients, request)
            cuts = statistics.quantiles(latencies, n=100)
            print(f"| {name} | {clients} | {ASKED / seconds:.0f} | {cuts[49] * 1e3:.1f} | {cuts[98] * 1e3:.1f} |")
    first = [await first_event(port, one, number) for number in range(50)]
    print(f"\nFrom a submission to its first event: median {statistics.median(first) * 1e3:.1f} ms.")
    waiting = json.loads(await one.ask("GET", "/v1/health"))["jobs"]["queued"]
    trivial = {"workflow": TRIVIAL, "paused": True}
    for _ in range(QUEUED - waiting):
        await one.ask("POST", "/v1/jobs", trivial)
    _, latencies = await asked(port, 1, lambda _: ("POST", "/v1/jobs", trivial))
    print(f"A submission where {QUEUED:,} jobs wait: median {statistics.median(latencies) * 1e3:.2f} ms.")


async def first_event(port: int, connection: Connection, number: int) -> float:
    """Return the seconds from a submission to the first event of its run."""
    began = time.perf_counter()
    asked = {"workflow": TRIVIAL, "inputs": {"by": number}, "priority": 1}
    job = json.loads(await connection.ask("POST", "/v1/jobs", asked))["id"]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /v1/jobs/{job}/events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
    while b"run_started" not in (line := await reader.readline()) and line:
        if b'"done"' in line:
            break  # the run was over before its events were asked for
    seconds = time.perf_counter() - began
    writer.close()
    return seconds


# ---------------------------------------------------------------------------------------------------------- jobs


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def jobs(folder: Path) -> None:
    """Print what a job costs, and what many leave in memory."""
    settings = Settings.model_validate({"models": (), "cache_dir": folder / "cache", "cache_bytes": 0})
    with Session(settings, known=Registry().with_nodes([source, add], pack="bench")) as session:
        plain: list[float] = []
        single: list[float] = []
        with Jobs(session, folder / "jobs", bounds=Bounds(jobs=1000)) as queue:
            for number in range(1000):
                began = time.perf_counter()
                session.run(TRIVIAL, {"by": number}, out=folder / "out")
                between = time.perf_counter()
                job, _ = queue.submit(make_order(session, TRIVIAL, {"by": -1 - number}))
                queue.wait(job.id)
                plain.append(between - began)
                single.append(time.perf_counter() - between)
            one, other = statistics.median(plain), statistics.median(single)
            print(
                f"`session.run` of two trivial nodes {one * 1e3:.2f} ms, as a job {other * 1e3:.2f} ms ({other / one:.2f})."
            )
            held = []
            done = 0
            for count in JOBS:
                while done < count:
                    job, _ = queue.submit(make_order(session, TRIVIAL, {"by": done % 100}))
                    done += 1
                    if done % 500 == 0:
                        queue.wait(job.id)
                held.append(resident())
            print(
                f"Memory after {JOBS[0]:,} jobs {held[0] / 2**20:.1f} MiB, after {JOBS[1]:,} {held[1] / 2**20:.1f} MiB"
                f" ({held[1] / held[0] - 1:+.2%})."
            )


def main() -> None:
    """Print what was asked for on the command line, or all of it."""
    wanted = sys.argv[1:] or ["worker", "http", "jobs"]
    keep_freed_memory()  # as `graphflow serve` does
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ["GRAPHFLOW_CACHE_DIR"] = str(place / "cache")
        if "worker" in wanted:
            worker(place)
            print()
        if "http" in wanted:
            with serving(place) as port:
                asyncio.run(http(port))
            print()
        if "jobs" in wanted:
            jobs(place)


if __name__ == "__main__":
    main()
