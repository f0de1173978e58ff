"""Reading a feed whole or not at all: its index, all shards, and the index once more.

Shards are kept on disk until all are read; only one at a time is in memory. Their content is not parsed here.
"""

import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cdp_platform.catalog.config import FeedLimits
from cdp_platform.catalog.errors import InvalidDocumentError, UnreadableError
from cdp_platform.catalog.indexes import FeedIndex, read_index
from cdp_platform.catalog.sources.contract import Fetched, NotModified, Source, Validators


@dataclass(frozen=True)
class Feed:
    """A feed that was read whole.

    Attributes:
        files: validators of the index and every shard, by path; they tell this version of the feed from the next.
        unchanged: every file is the known one; the shards were then not kept.
        size: bytes of the index and the shards that were read.
    """

    index: FeedIndex
    files: dict[str, Validators]
    unchanged: bool
    size: int
    _shards: list[Path]

    def shards(self) -> Iterator[tuple[str, bytes]]:
        """A name for each shard in messages, and its content, in the order of the index."""
        for number, path in enumerate(self._shards, start=1):
            yield f"Shard {number} of {len(self._shards)}", path.read_bytes()


@contextmanager
def read_feed(
    source: Source,
    index_path: str,
    *,
    organization_id: str,
    limits: FeedLimits,
    known: Mapping[str, Validators],
) -> Generator[Feed]:
    """Read a feed; its shards are on disk until the block ends.

    Args:
        source: of the ingestor.
        index_path: of the feed's index.
        organization_id: the organization that the registry lists the feed for.
        limits: of the ingestor.
        known: the files as they were last taken, by path; if empty, all files are read.

    Raises:
        UnreadableError: a file could not be read, or the index changed meanwhile.
        InvalidDocumentError: it is no index, belongs to another organization, or lists shards that cannot be.
    """
    fetched = _read(source, index_path, limits)
    index = read_index(fetched.content, "The index of the feed")
    if index.organization_urn not in {None, organization_id}:
        raise InvalidDocumentError(
            f"The index of the feed says that it is the feed of {index.organization_urn}, and the registry lists it as"
            f" that of {organization_id}. Ask its publisher to correct one of them; nothing was taken."
        )
    paths = _shard_paths(source, index, fetched.address, index_path, limits)
    known = known if known.keys() == {index_path, *paths} else {}
    with tempfile.TemporaryDirectory(prefix="feed-") as folder:
        spooled = {path: Path(folder, str(number)) for number, path in enumerate(paths)}
        files, size = _read_shards(source, spooled, limits, known)
        again = source.read(index_path, known=fetched.validators, max_bytes=limits.max_shard_bytes)
        if isinstance(again, Fetched):
            raise UnreadableError(
                "The feed was updated while it was read, so its shards may not belong together. Nothing was taken; "
                "the next round reads it again.",
                transient=True,
            )
        yield Feed(
            index,
            {index_path: fetched.validators, **files},
            unchanged=bool(known) and all(files[path].digest == known[path].digest for path in paths),
            size=size + len(fetched.content),
            _shards=list(spooled.values()),
        )


def _shard_paths(source: Source, index: FeedIndex, address: str, index_path: str, limits: FeedLimits) -> list[str]:
    if len(index.shards) > limits.max_shards:
        raise InvalidDocumentError(
            f"The feed has {len(index.shards)} shards; max_shards is {limits.max_shards}. Raise it if the number is"
            " right."
        )
    paths = [source.resolve(address, shard.reference) for shard in index.shards]
    if index_path in paths or source.resolve(address, address) in paths:
        raise InvalidDocumentError("The index of the feed lists itself as a shard. Ask its publisher to correct it.")
    if len(set(paths)) < len(paths):
        raise InvalidDocumentError("The index of the feed lists a shard twice. Ask its publisher to correct it.")
    return paths


def _read_shards(
    source: Source, spooled: Mapping[str, Path], limits: FeedLimits, known: Mapping[str, Validators]
) -> tuple[dict[str, Validators], int]:
    """Read all shards to disk; returns their validators and how many bytes were read.

    Shards that are as known are left out at first, and read too if any other shard changed.
    """
    files: dict[str, Validators] = {}
    sizes, unread = [], []
    for path, place in spooled.items():
        got = source.read(path, known=known.get(path), max_bytes=limits.max_shard_bytes)
        files[path] = got.validators
        if isinstance(got, Fetched):
            sizes.append(place.write_bytes(got.content))
        else:
            unread.append(path)
    if sizes:
        for path in unread:
            got = _read(source, path, limits)
            files[path] = got.validators
            sizes.append(spooled[path].write_bytes(got.content))
    return files, sum(sizes)


def _read(source: Source, path: str, limits: FeedLimits) -> Fetched:
    """Read a file whatever version it has."""
    got = source.read(path, max_bytes=limits.max_shard_bytes)
    if isinstance(got, NotModified):
        raise UnreadableError("The server answered that a file is not modified, without being asked.", transient=True)
    return got
