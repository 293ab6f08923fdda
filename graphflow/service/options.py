"""How a service is set up."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from graphflow.limits import LIMITS

TOKEN_VARIABLE = "GRAPHFLOW_TOKEN"
DEFAULT_PORT = 8189
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class ServiceOptions:
    """What a service allows.

    Attributes:
        host: The address that it listens on.
        port: The port; 0 takes a free one.
        token: What a client must show; None asks for nothing, which only a loopback address may.
        hosts: Names by which it may be called beside its own address.
        origins: Web pages of other origins that may call it, such as ``https://app.example``.
        document_bytes: The most bytes of a request.
        upload_bytes: The most bytes of one uploaded file.
        uploads_bytes: The most bytes of all uploaded files.
        pixels: The most pixels of a picture that is uploaded or made: its width times its height times its batch.
        rate: Requests a second from one address, on average; 0 sets no bound.
        burst: How many of them may come at once.
        previews: Whether clients of ComfyUI's interface are sent pictures of what is sampled.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    token: str | None = None
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    document_bytes: int = LIMITS.document_bytes
    upload_bytes: int = 2**28
    uploads_bytes: int = 20 * 10**9
    pixels: int = 2**26
    rate: float = 100.0
    burst: int = 1_000
    previews: bool = True

    @property
    def local(self) -> bool:
        """Whether nobody but this machine reaches it."""
        return self.host in LOCAL or is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Tell whether an address is one that leads to this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
