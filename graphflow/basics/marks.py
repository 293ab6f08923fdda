"""Marks of synthetic media: how a file says that a model made it, and how that is read.

The mark is IPTC's ``DigitalSourceType`` in an XMP packet
(https://iptc.org/std/photometadata/documentation/userguide/#_digital_source_type), the same bytes every time.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path

GENERATED = "trainedAlgorithmicMedia"
COMPOSITE = "compositeWithTrainedAlgorithmicMedia"
SYNTHETIC = frozenset({GENERATED, COMPOSITE, "algorithmicMedia", "compositeSynthetic"})
"""The source types that something was made by an algorithm."""

_VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_SOURCE = re.compile(re.escape(_VOCABULARY.removeprefix("http://")).encode() + rb"(\w{1,60})")
_SIGNATURE = b"jumdc2pa\0\x11\0\x10\x80\0\0\xaa\x008\x9bq"
"""The start of a C2PA manifest store: its description box, with the type of its contents (C2PA specification, 11.1)."""


def packet(source_type: str) -> bytes:
    """Return the XMP packet that says a source type; nothing for an empty one."""
    if not source_type:
        return b""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        f' Iptc4xmpExt:DigitalSourceType="{_VOCABULARY}{source_type}"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def marks_of(path: Path) -> tuple[str, bool]:
    """Return the source type that a file says, empty where it says none, and whether it has a C2PA signature.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            return "", False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = _SOURCE.search(data)
            return found[1].decode() if found else "", data.find(_SIGNATURE) >= 0
