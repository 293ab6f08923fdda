"""Fetching models: repositories of the Hugging Face Hub into its local cache, single files into the model folders.

What was interrupted goes on where it was. Nothing appears under its name before it is whole and its SHA-256 is right.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from graphflow.errors import InvalidInputError, ModelFormatError, ModelNotFoundError
from graphflow.library.hub import HubId, parse_hub_id

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

_TEXT = (".json", ".txt", ".model")
_WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|model)(?:\.(?P<variant>[\w-]+?))?(?:-\d+-of-\d+)?\.safetensors"
    r"(?:\.index(?:\.(?P<index_variant>[\w-]+))?\.json)?"
)
_PREFERRED = ("fp16", "")


def download(name: str, cache: Path) -> None:
    """Fetch a model of the Hub: its configs, its tokenizers and one set of its weights.

    Args:
        name: `org/name` or `org/name@revision`.
        cache: The Hub's cache folder.

    Raises:
        ModelNotFoundError: The Hub cannot be reached or has no such model.
    """
    from huggingface_hub import HfApi, snapshot_download

    hub_id = parse_hub_id(name)
    if hub_id is None:
        raise ModelNotFoundError("is no Hub id", where=name)
    try:
        listed = HfApi().list_repo_files(hub_id.repository, revision=hub_id.revision)
        # In one round the commit might move between the listing and the files; then a file is missing, and is named.
        snapshot_download(
            hub_id.repository, revision=hub_id.revision, cache_dir=cache, allow_patterns=sorted(wanted_files(listed))
        )
    except Exception as error:
        raise _unreachable(name, error) from error


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file to fetch.

    Attributes:
        url: Where it is published.
        size: In bytes; None where its host does not say.
        sha256: Its SHA-256; empty where nobody says.
        hub: The repository at its commit, where the Hub has it.
        path: Its path in the repository.
        mark: What its host calls this state of it; empty where it does not say.
    """

    url: str
    size: int | None
    sha256: str = ""
    hub: HubId | None = None
    path: str = ""
    mark: str = ""


def hub_repository(hub_id: HubId) -> dict[str, RemoteFile]:
    """Return the files of a repository by path, with sizes and digests, at the commit that it is at.

    Raises:
        ModelNotFoundError: The Hub cannot be reached or has no such repository.
    """
    from huggingface_hub import HfApi

    try:
        found = HfApi().model_info(hub_id.repository, revision=hub_id.revision, files_metadata=True)
    except Exception as error:
        raise _unreachable(str(hub_id), error) from error
    at = HubId(hub_id.repository, found.sha or hub_id.revision)
    return {
        item.rfilename: RemoteFile(
            f"{hub_id}/{item.rfilename}", item.size, item.lfs.sha256 if item.lfs else "", at, item.rfilename
        )
        for item in found.siblings or ()
    }


def on_hub(url: str) -> tuple[HubId, str] | None:
    """Read the address of a file on the Hub, ``https://huggingface.co/org/name/resolve/REVISION/PATH``; None for others."""
    parts = urlsplit(url)
    match = re.fullmatch(r"/([^/]+/[^/]+)/(?:resolve|blob)/([^/]+)/(.+)", unquote(parts.path))
    hub_id = parse_hub_id(f"{match[1]}@{match[2]}") if match else None
    return (hub_id, match[3]) if match and hub_id and parts.hostname in ("huggingface.co", "hf.co") else None


def remote_file(url: str, allowed: Collection[str]) -> RemoteFile:
    """Ask another host than the Hub for a file's size.

    Args:
        url: The address.
        allowed: Hosts that the user allows, also those that the address leads on to.

    Raises:
        InvalidInputError: A host is not allowed.
        ModelNotFoundError: It cannot be reached or has no such file.
    """
    with _answer(url, allowed, {"Range": "bytes=0-0"}) as answer:  # signed addresses often refuse HEAD
        told = "Content-Range" if answer.status == 206 else "Content-Length"
        size = answer.headers.get(told, "").rpartition("/")[2]
        return RemoteFile(url, int(size) if size.isdecimal() else None, mark=answer.headers.get("ETag", ""))


def fetch(file: RemoteFile, target: Path, allowed: Collection[str], progress: Callable[[int], None]) -> None:
    """Fetch one file to where it belongs.

    Args:
        file: The file.
        target: Its place; nothing is there yet.
        allowed: As in :func:`remote_file`.
        progress: Is told how many bytes are there.

    Raises:
        InvalidInputError: A host is not allowed.
        ModelNotFoundError: It cannot be reached, or breaks off.
        ModelFormatError: The SHA-256 is another one.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.hub is not None:
            folder = target.parent / ".graphflow-fetch"
            part = _from_hub(file, file.hub, folder)
        else:
            state = hashlib.sha256(f"{file.url} {file.size} {file.mark}".encode()).hexdigest()[:8]
            folder, part = None, target.with_name(f".{target.name}.{state}.part")
            _stream(file, part, allowed, progress)
        check_digest(file, part)
        part.replace(target)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidInputError(f"cannot write there: {reason.lower()}", where=str(target)) from error


def check_digest(file: RemoteFile, path: Path) -> None:
    """Remove a fetched file that is not what it should be.

    Raises:
        ModelFormatError: The SHA-256 is another one.
    """
    if not file.sha256:
        return
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != file.sha256:
        path.unlink()
        raise ModelFormatError(
            f"has the SHA-256 {digest}, not {file.sha256}, and was removed",
            where=file.url,
            advice="its publisher changed it, or somebody on the way did",
        )


def _from_hub(file: RemoteFile, hub: HubId, folder: Path) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(hub.repository, file.path, revision=hub.revision, local_dir=folder))
    except Exception as error:
        raise _unreachable(file.url, error) from error


def _stream(file: RemoteFile, part: Path, allowed: Collection[str], progress: Callable[[int], None]) -> None:
    there = part.stat().st_size if part.exists() and file.size is not None else 0
    if there and there == file.size:
        return
    with _answer(file.url, allowed, {"Range": f"bytes={there}-"} if there else {}) as answer:
        if there and answer.status != 206:  # it begins anew
            there = 0
        try:
            with part.open("ab" if there else "wb") as stream:
                while block := answer.read(1 << 20):
                    stream.write(block)
                    there += len(block)
                    progress(there)
        except (TimeoutError, ConnectionError) as error:
            raise _unreachable(file.url, error) from error
    if file.size is not None and there != file.size:
        raise _unreachable(file.url, f"it broke off after {there:,} of {file.size:,} bytes")


def _answer(url: str, allowed: Collection[str], headers: Mapping[str, str]) -> Any:
    from urllib.error import URLError
    from urllib.request import Request

    _check_host(url, allowed)
    try:
        return _opener(allowed).open(Request(url, headers=dict(headers)), timeout=60)
    except (URLError, TimeoutError, ConnectionError) as error:
        raise _unreachable(url, error) from error


def _opener(allowed: Collection[str]) -> OpenerDirector:
    from urllib.request import HTTPRedirectHandler, build_opener

    class Checked(HTTPRedirectHandler):
        def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
            _check_host(newurl, allowed)
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    return build_opener(Checked)


def _check_host(url: str, allowed: Collection[str]) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host not in allowed:
        raise InvalidInputError(
            f"the host {host!r} is not allowed", where=url, advice=f"--allow-host {host} allows it, if you trust it"
        )
    if parts.scheme != "https" and host not in ("127.0.0.1", "localhost", "::1"):
        raise InvalidInputError("models are fetched by https only", where=url)


def _unreachable(where: str, error: object) -> ModelNotFoundError:
    return ModelNotFoundError(
        f"cannot be downloaded: {error}",
        where=where,
        advice="check the name and the network, or use a local file; what is there already is not fetched again",
    )


def wanted_files(names: Iterable[str]) -> set[str]:
    """Choose the files of a repository that loading it needs.

    Of a pipeline that is its folders, without the single-file checkpoints that lie beside them; of several sets of
    weights in one folder the one that loading prefers (`fp16`, then the plain one). Pickle files are never fetched.

    Args:
        names: The repository's files, as paths with `/`.
    """
    listed = set(names)
    chosen: set[str] = set()
    sets: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name in listed:
        path = PurePosixPath(name)
        folder = str(path.parent)
        if folder == "." and "model_index.json" in listed and path.suffix == ".safetensors":
            continue
        match = _WEIGHTS.fullmatch(path.name)
        if match:
            sets[folder][match["variant"] or match["index_variant"] or ""].add(name)
        elif path.suffix in (*_TEXT, ".safetensors"):
            chosen.add(name)
    for variants in sets.values():
        best = next((variants[variant] for variant in _PREFERRED if variant in variants), None)
        chosen.update(best if best is not None else set().union(*variants.values()))
    return chosen
