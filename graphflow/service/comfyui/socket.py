"""ComfyUI's websocket: who is connected, and what each is told."""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from starlette.concurrency import run_in_threadpool

from graphflow.basics.jsontools import loads
from graphflow.errors import GraphflowError
from graphflow.events import Event
from graphflow.jobs.job import Job
from graphflow.jobs.previews import jpeg
from graphflow.service.comfyui.desk import ORIGIN, Desk, Prompted
from graphflow.service.comfyui.history import messages, outputs_of, shown
from graphflow.service.comfyui.messages import Message, Preview, Shows, Telling, status
from graphflow.service.comfyui.names import Place

_MANY = 32
"""Messages that wait for a client before newer ones take the place of those that they outdate."""
_BEHIND = 10_000
"""Messages that wait for a client that does not read them before it is let go."""
_SID = 128


class Client:
    """One connection.

    Args:
        sid: What it is called.
        loop: Where it is answered.
    """

    def __init__(self, sid: str, loop: asyncio.AbstractEventLoop) -> None:
        self.sid = sid
        self.metadata = False
        self._loop = loop
        self.lost = asyncio.Event()
        self._waiting: deque[list[Message]] = deque()
        self._newest: dict[tuple[str, str] | None, list[Message]] = {}
        self._news = asyncio.Event()

    def tell(self, messages: Sequence[Message]) -> None:
        """Have messages sent; callable from any thread."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._put, messages)

    def _put(self, messages: Sequence[Message]) -> None:
        for message in messages:
            one = [message]
            kind = _outdated(message)
            if kind is not None:
                if len(self._waiting) > _MANY and kind in self._newest:
                    self._newest[kind].clear()
                self._newest[kind] = one
            self._waiting.append(one)
        if len(self._waiting) > _BEHIND:
            self._waiting.clear()
            self.lost.set()
        self._news.set()

    async def send(self, websocket: WebSocket) -> None:
        """Send what it is told."""
        while True:
            if not self._waiting:
                self._news.clear()
                await self._news.wait()
            for message in self._waiting.popleft() if self._waiting else ():
                self._newest.pop(_outdated(message), None)
                await self._send(websocket, message)

    async def _send(self, websocket: WebSocket, message: Message) -> None:
        if isinstance(message, Preview):
            picture = await run_in_threadpool(jpeg, message.picture)
            await websocket.send_bytes(message.frame(picture, metadata=self.metadata))
        elif isinstance(message, bytes):
            await websocket.send_bytes(message)
        else:
            await websocket.send_text(json.dumps(message, ensure_ascii=False))


def _outdated(message: Message) -> tuple[str, str] | None:
    """Return what a message outdates that was told before it and not read yet: how far a prompt is, and its picture."""
    if isinstance(message, Preview):
        return "preview", message.prompt_id
    if isinstance(message, dict) and message["type"] == "progress_state":
        return "progress_state", message["data"]["prompt_id"]
    return None


class Clients:
    """Everyone who is connected, and what runs of what they asked for.

    Args:
        desk: What the interface shares.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lock = threading.Lock()
        self._clients: dict[str, Client] = {}
        self._running: dict[str, tuple[str | None, Telling]] = {}
        desk.jobs.listen(self._hear)

    def _hear(self, job: Job, event: Event | None) -> None:
        """Tell what happens to a job."""
        with self._lock:
            sid, telling = self._running.get(job.id, (None, None))
            if event is not None:
                self._tell(sid, [] if telling is None else telling.take(event))
            elif job.state == "running" and telling is None and job.origin == ORIGIN:
                asked = Prompted.of(job)
                telling = Telling(job.id, asked.prompt, asked.outputs, asked.origins, self._shows(job, asked))
                self._running[job.id] = asked.client_id, telling
                self._tell_all()
                self._tell(asked.client_id, telling.begin())
            elif job.state != "running" and telling is not None:
                del self._running[job.id]
                self._tell(sid, self._ended(job, telling))
                self._tell_all()
                self._tell(sid, [telling.executing()])
            else:
                self._tell_all()

    def _ended(self, job: Job, telling: Telling) -> list[Message]:
        """Return what is told at the end of a job."""
        if not job.final:
            return telling.end({}, None)
        outputs = outputs_of(self._desk, job)
        type, data = messages(self._desk, job)[-1]
        last = self._desk.service.told({"type": type, "data": data})
        asked = Prompted.of(job)
        return telling.end(outputs, last, {id: self._pictures(asked, id, given) for id, given in outputs.items()})

    def _shows(self, job: Job, asked: Prompted) -> Shows:
        """Return what tells what a node of a job that runs gave to be seen."""

        def shows(
            id: str, files: Mapping[str, Sequence[str]], texts: Mapping[str, Sequence[str]]
        ) -> tuple[Mapping[str, Any], Sequence[bytes]]:
            if not files and not texts:
                return {}, ()
            nodes = self._desk.jobs.order(job.id).document["nodes"]
            types = {native: nodes[native]["type"] for native in (*files, *texts) if native in nodes}
            named = self._desk.named(job, [(native, name) for native, names in files.items() for name in names])
            given = shown(asked, named, texts, types).get(id, {})
            return given, self._pictures(asked, id, given)

        return shows

    def _pictures(self, asked: Prompted, id: str, shown: Mapping[str, Any]) -> list[bytes]:
        """Return the files that a node gave to be seen, if it sends them."""
        if asked.type(id) != "SaveImageWebsocket":
            return []
        paths = [self._desk.path(Place(**place)) for place in shown.get("images", ())]
        return [path.read_bytes() for path in paths if path is not None]

    def _tell(self, sid: str | None, messages: Sequence[Message]) -> None:
        if messages and sid is not None and (client := self._clients.get(sid)) is not None:
            client.tell(messages)

    def _tell_all(self) -> None:
        """Tell everyone how long the queue is."""
        if self._clients:
            told = [status(self._desk.remaining())]
            for client in self._clients.values():
                client.tell(told)

    def enter(self, sid: str, loop: asyncio.AbstractEventLoop) -> Client:
        """Take in a client; one of the same ``sid`` is told nothing more, and the new one what is executed for it."""
        client = Client(sid, loop)
        with self._lock:
            self._clients[sid] = client
            client.tell([status(self._desk.remaining(), sid)])
            for wanted, telling in self._running.values():
                if wanted == sid and telling.current is not None:
                    client.tell([telling.executing()])
        return client

    def leave(self, client: Client) -> None:
        """Let a client go."""
        with self._lock:
            if self._clients.get(client.sid) is client:
                del self._clients[client.sid]

    async def serve(self, websocket: WebSocket, sid: str) -> None:
        """Tell a client what happens until it leaves."""
        await websocket.accept()
        client = await run_in_threadpool(self.enter, sid, asyncio.get_running_loop())
        parts = (client.send(websocket), self._read(client, websocket), client.lost.wait())
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.leave(client)
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                    await task
        with suppress(RuntimeError, WebSocketDisconnect):  # it has gone by itself
            await websocket.close()

    async def _read(self, client: Client, websocket: WebSocket) -> None:
        """Read what a client says: its first message may tell what it understands."""
        while (message := await websocket.receive())["type"] != "websocket.disconnect":
            with suppress(GraphflowError):
                told = loads((message.get("text") or "{}").encode(), source="the message")
                if isinstance(told, dict) and told.get("type") == "feature_flags":
                    flags = told.get("data")
                    client.metadata = isinstance(flags, dict) and bool(flags.get("supports_preview_metadata"))
                    client.tell([{"type": "feature_flags", "data": self._desk.features}])


def socket_routes(router: APIRouter, desk: Desk) -> None:
    """Add the websocket to a router; both of its names are of the same clients."""
    clients = Clients(desk)

    @router.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        """Tell a client what happens to what it asked for."""
        sid = websocket.query_params.get("clientId", "")[:_SID]
        await clients.serve(websocket, sid or secrets.token_hex(16))
