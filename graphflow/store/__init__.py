"""Results kept between nodes, runs and processes: a memory tier in front of a disk tier.

Policy
------
**Keys** are 64 lowercase hexadecimal digits (SHA-256). Equal keys mean equal values, so nothing is
ever updated in place: a key that is written twice is written with the same value.

**Memory tier** (`MemoryTier`): Python values under a budget of bytes, least recently used out first.

**Disk tier** (`DiskTier`): a folder that any number of processes may share::

    DIR/v1/ab/<key>.safetensors              one entry: kind, JSON and small tensors
    DIR/v1/objects/cd/<digest>.safetensors   one tensor of 16 KiB or more, stored once by content
    DIR/v1/objects/ef/<sha256>.bin           the bytes of a file (a picture that a node wrote)
    DIR/v1/tmp/  DIR/v1/locks/               files being written; claims

Everything is a plain safetensors file apart from ``.bin``. Nothing outside ``DIR/v1`` and no file
with another kind of name is ever touched.

*Integrity.* An entry carries its own key, a BLAKE2b-256 digest of its header and one of its small
tensors; an object is named by the digest of its bytes. A copy of one entry in the place of another is
a miss (those that the first version wrote carry no key); so is a pipe or a device in a file's place. `DiskTier.get` checks every byte that it returns (about
0.6 GB/s on a core without hash instructions, 5 ms for a float32 picture of 512 x 512), so an entry
that is cut off or has one bit flipped is a miss and is removed. `DiskTier.contains` reads and checks
the header of the entry and the sizes of all files that belong to it, not the tensors: a flipped bit
inside a tensor is found by `get` only, so whoever plans with ``contains`` must still be ready for a miss.

*Writes.* Temporary file, then `os.replace`: no reader sees half a file, and a process killed at any
moment leaves at most a temporary file, which is swept an hour later. There is no ``fsync`` (2.5 ms a
file against 0.04 ms): after a loss of power a torn entry fails its digest and is a miss. A folder that is
full or may not be written makes storing a no-op, reported once; a run never fails by it.

*Size.* Least recently used files go first (the modification time is set on every read), down to
90 % of the cap, when the cap is exceeded. The folder is listed at the first write and whenever
this process has written what was left below the cap, at the latest every 5 % of the cap, so that n
processes overshoot by at most 5 n %. Objects are files of their own in that order: an entry
whose object has gone is a miss. Reads copy, so evicting what somebody uses does no harm.

**Object store** (`MirroredTier`): the disk tier with the same files in an object store behind it, for machines that share no folder.

**Claims** (`Store.claim`) let a second thread or process wait for the first one's result. They only
save work: when a claim cannot be had the value is computed twice, which is never wrong.
"""

from graphflow.store.disk import DiskTier
from graphflow.store.encoded import Encoded, StoreStats
from graphflow.store.folder import is_key
from graphflow.store.memory import MemoryTier
from graphflow.store.mirror import MirroredTier
from graphflow.store.store import Store
from graphflow.store.stored_files import StoredFile, check_suffix
from graphflow.store.upkeep import VerifyReport

__all__ = [
    "DiskTier",
    "Encoded",
    "MemoryTier",
    "MirroredTier",
    "Store",
    "StoreStats",
    "StoredFile",
    "VerifyReport",
    "check_suffix",
    "is_key",
]
