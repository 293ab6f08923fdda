"""Who may ask: the first thing that sees a request.

A page of a stranger in the user's browser reaches a service on the user's machine. So a request must call the service by a
name that it knows (else a name of the stranger's leads here by DNS rebinding), and where a browser says which page it comes
from, that page must be the service's own or an allowed one. Whoever is not on this machine shows a token.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import time
from collections import OrderedDict
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from graphflow.service.options import LOCAL, ServiceOptions

Refusal = tuple[int, str, str]
"""Status, what is wrong, the way out."""

_UPLOADS = ("/v1/uploads", "/v1/images/edits", "/upload/", "/api/upload/")
"""Where the paths begin whose bodies are files."""
_OPEN = "/v1/health"
_ADDRESSES = 10_000
_HEADERS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
"""What an answer has where it does not say it otherwise: no browser runs any of it."""


class Guard:
    """Lets through what may ask, within its bounds.

    Args:
        app: What answers.
        options: What is allowed.
    """

    def __init__(self, app: ASGIApp, options: ServiceOptions) -> None:
        self._documents = RequestBodyLimitMiddleware(app, max_body_size=options.document_bytes)
        self._files = RequestBodyLimitMiddleware(app, max_body_size=options.upload_bytes)
        self._options = options
        self._names = {*LOCAL, *(name.lower() for name in (options.host, *options.hosts))}
        self._rate = _Rate(options.rate, options.burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a request."""
        if scope["type"] == "lifespan":
            await self._documents(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await _refuse(scope, send, refusal)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        inner = self._files if _is_upload(scope) else self._documents
        await inner(scope, receive, answer)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers = Headers(scope=scope)
        name = _host_of(headers.get("host", ""))
        if not self._knows(name):
            return 403, f"this service is not called {name!r}", "call it by its address, or start it with --allow-host"
        if not self._is_own(headers, name):
            return 403, "a page of another origin asks", "start the service with --allow-origin"
        if not self._shows_token(scope, headers):
            return 401, "a token is missing or wrong", "send the header Authorization: Bearer TOKEN"
        if not self._rate.takes((scope.get("client") or ("",))[0]):
            return 429, "too many requests", "wait a second"
        most = self._options.upload_bytes if _is_upload(scope) else self._options.document_bytes
        told = headers.get("content-length", "")
        if told.isdecimal() and int(told) > most:  # one that does not say its length is cut off while it is read
            return 413, f"the body has {int(told):,} bytes, which is more than {most:,}", "send files as uploads"
        return None

    def _knows(self, name: str) -> bool:
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return not self._options.local  # no name of a stranger's is an address

    def _is_own(self, headers: Headers, name: str) -> bool:
        origin = headers.get("origin")
        if origin is not None:
            return origin in self._options.origins or _authority(origin) == headers.get("host", "").lower()
        # Pictures, scripts and forms of another page may come without their origin; following a link changes nothing.
        return headers.get("sec-fetch-site") not in ("cross-site", "same-site") or (
            headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        )

    def _shows_token(self, scope: Scope, headers: Headers) -> bool:
        wanted = self._options.token
        if wanted is None or scope["path"] == _OPEN or scope.get("method") == "OPTIONS":
            return True
        kind, _, shown = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            shown = ""
        if not shown and scope["type"] == "websocket":  # to which a browser gives no header
            shown = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return hmac.compare_digest(shown.encode(), wanted.encode())


class _Rate:
    """Counts requests by address: each has a bucket that refills."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, float(burst)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def takes(self, address: str) -> bool:
        """Take one request of an address, if there may be one more."""
        if not self._rate:
            return True
        now = time.monotonic()
        left, last = self._left.pop(address, (self._burst, now))
        left = min(self._burst, left + (now - last) * self._rate)
        taken = left >= 1
        self._left[address] = (left - taken, now)
        if len(self._left) > _ADDRESSES:
            self._left.popitem(last=False)
        return taken


def _is_upload(scope: Scope) -> bool:
    return bool(scope["path"].startswith(_UPLOADS))


def _host_of(header: str) -> str:
    """Return the name in a Host header, without its port; empty where it is none."""
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""


def _authority(origin: str) -> str:
    """Return the host and port of an origin; empty where it has none."""
    scheme, _, rest = origin.lower().partition("://")
    return rest if scheme in ("http", "https") else ""


async def _refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    status, message, advice = refusal
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": message})
        return
    body = json.dumps({"message": message, "where": None, "advice": advice}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
    headers += {401: [(b"www-authenticate", b"Bearer")], 429: [(b"retry-after", b"1")]}.get(status, [])
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
