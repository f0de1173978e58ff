"""Reading a feed whole or not at all: its index, all shards, and the index once more.

Shards are kept on disk until all are here, one at a time in memory. Nothing of what they say is understood here.
"""

import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cdp_platform.catalog.config import Limits
from cdp_platform.catalog.errors import SourceError, ValidationError
from cdp_platform.catalog.indexes import FeedIndex, read_index
from cdp_platform.catalog.sources.contract import Fetched, NotModified, Source, Validators, digest


@dataclass(frozen=True)
class Feed:
    """A feed that was read whole.

    Attributes:
        files: of the index and every shard, by path: what tells this version from the next.
        unchanged: every file is the known one; the shards were then not kept.
        size: bytes of the shards that were read.
    """

    index: FeedIndex
    files: dict[str, Validators]
    unchanged: bool
    size: int
    _shards: list[Path]

    def shards(self) -> Iterator[tuple[str, bytes]]:
        """What to call each shard, and what it holds, in the order of the index."""
        for number, path in enumerate(self._shards, start=1):
            yield f"Shard {number} of {len(self._shards)}", path.read_bytes()


@contextmanager
def read_feed(
    source: Source,
    index_path: str,
    *,
    organization_id: str,
    limits: Limits,
    known: Mapping[str, Validators],
) -> Generator[Feed]:
    """A feed, as long as the block lasts.

    Args:
        source: of the ingestor.
        index_path: of the feed's index.
        organization_id: whose feed it is to be.
        limits: of the ingestor.
        known: the files as they were last taken, by path; empty reads all of them whatever they are.

    Raises:
        SourceError: a file could not be read, or the index moved meanwhile.
        ValidationError: the index is none, is another organization's, or lists what cannot be.
    """
    fetched, stamp = _read(source, index_path, limits)
    index = read_index(fetched.content, "The index of the feed")
    if index.organization_urn not in {None, organization_id}:
        raise ValidationError(
            f"The index of the feed says that it is the feed of {index.organization_urn}, and the registry lists it as"
            f" that of {organization_id}. One of them has to be mended; nothing was taken."
        )
    paths = _shard_paths(source, index, fetched.address, index_path, limits)
    with tempfile.TemporaryDirectory(prefix="feed-") as folder:
        feed = _read_shards(source, paths, limits, known if known.keys() == {index_path, *paths} else {}, Path(folder))
        again = source.read(index_path, known=stamp, max_bytes=limits.max_shard_bytes)
        if isinstance(again, Fetched) and digest(again.content) != stamp.digest:
            raise SourceError(
                "The feed was updated while it was read, so its shards may not belong together. Nothing was taken; "
                "the next round reads it again.",
                transient=True,
            )
        yield replace(feed, index=index, files={index_path: stamp, **feed.files}, size=feed.size + len(fetched.content))


def _shard_paths(source: Source, index: FeedIndex, address: str, index_path: str, limits: Limits) -> list[str]:
    if len(index.shards) > limits.max_shards:
        raise ValidationError(
            f"The feed has {len(index.shards)} shards; max_shards is {limits.max_shards}. Raise it if that is right."
        )
    paths = [source.resolve(address, shard.reference) for shard in index.shards]
    if index_path in paths or source.resolve(address, address) in paths:
        raise ValidationError("The index of the feed lists itself as a shard. Whoever publishes it has to mend it.")
    if len(set(paths)) < len(paths):
        raise ValidationError("The index of the feed lists a shard twice. Whoever publishes it has to mend it.")
    return paths


def _read_shards(
    source: Source, paths: list[str], limits: Limits, known: Mapping[str, Validators], folder: Path
) -> Feed:
    """All shards; those that are as known are left out at first, and fetched too if any is not."""
    spooled = [folder / str(number) for number in range(len(paths))]
    files: dict[str, Validators] = {}
    size, unread = 0, []
    for path, place in zip(paths, spooled, strict=True):
        before = known.get(path)
        got = source.read(path, known=before, max_bytes=limits.max_shard_bytes)
        if isinstance(got, Fetched):
            files[path] = _stamp(got)
            place.write_bytes(got.content)
            size += len(got.content)
        else:
            files[path] = replace(got.validators, digest=before.digest if before else None)
            unread.append((path, place))
    unchanged = bool(known) and all(files[path].digest == known[path].digest for path in paths)
    if not unchanged:
        for path, place in unread:
            got, files[path] = _read(source, path, limits)
            place.write_bytes(got.content)
            size += len(got.content)
    return Feed(_UNREAD, files, unchanged, size, spooled)


_UNREAD = FeedIndex(None, None, None, [])


def _read(source: Source, path: str, limits: Limits) -> tuple[Fetched, Validators]:
    """A file whatever it is, with validators that hold its size and digest."""
    got = source.read(path, max_bytes=limits.max_shard_bytes)
    if isinstance(got, NotModified):
        raise SourceError("A file was said not to be modified without being asked.", transient=True)
    return got, _stamp(got)


def _stamp(got: Fetched) -> Validators:
    return replace(got.validators, size=len(got.content), digest=digest(got.content))
