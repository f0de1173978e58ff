import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdp_platform.catalog.errors import UnreadableError
from cdp_platform.catalog.sources import Fetched, NotModified, Validators
from cdp_platform.catalog.sources.contract import digest
from cdp_platform.catalog.sources.local import LocalSource

LIMIT = 1_000_000
LONG_AGO = 1_700_000_000_000_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "feed").mkdir(parents=True)
    write(folder / "feed" / "index.json", b"index")
    (tmp_path / "secret").write_bytes(b"secret")
    return folder


@pytest.fixture
def source(root: Path) -> LocalSource:
    return LocalSource(root)


@pytest.fixture
def opened() -> Iterator[int]:
    """The number of open files before the test; there are as many after it."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    yield before
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def write(path: Path, content: bytes, at: int = LONG_AGO) -> None:
    path.write_bytes(content)
    os.utime(path, ns=(at, at))


def fetched(source: LocalSource, path: str, known: Validators | None = None) -> Fetched:
    document = source.read(path, max_bytes=LIMIT, known=known)
    assert isinstance(document, Fetched)
    return document


def refused(source: LocalSource, path: str, *, transient: bool = False, max_bytes: int = LIMIT) -> str:
    with pytest.raises(UnreadableError) as raised:
        source.read(path, max_bytes=max_bytes)
    assert raised.value.transient is transient
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_file_comes_whole_with_what_tells_its_version(source: LocalSource) -> None:
    document = fetched(source, "feed/index.json")
    assert document.content == b"index"
    assert document.validators == Validators(None, str(LONG_AGO), 5, digest(b"index"))
    assert source.resolve(document.address, "feed-000.json") == "feed/feed-000.json"
    assert source.resolve(document.address, "./a/b.json") == "feed/a/b.json"


@pytest.mark.parametrize(
    "reference",
    [
        "../secret",
        "feed/../../secret",
        "/etc/passwd",
        "..",
        ".",
        "",
        "a\0b",
        "file:///etc/passwd",
        "http://127.0.0.1/a",
    ],
)
def test_a_path_that_leads_out_is_refused_before_anything_is_opened(
    source: LocalSource, root: Path, reference: str
) -> None:
    absolute = reference.replace("/etc/passwd", str(root / "feed" / "index.json"))
    for path in (reference, absolute):
        refused(source, path)
        with pytest.raises(UnreadableError):
            source.resolve("feed/index.json", path)


def test_a_link_out_of_the_folder_is_refused(source: LocalSource, root: Path, opened: int) -> None:
    (root / "file.json").symlink_to(root.parent / "secret")
    (root / "relative.json").symlink_to("../secret")
    (root / "folder").symlink_to(root.parent)
    (root / "loop.json").symlink_to("loop.json")
    for path in ("file.json", "relative.json", "folder/secret"):
        assert "is a link out of the folder" in refused(source, path)
    refused(source, "loop.json")


def test_a_link_within_the_folder_is_followed(root: Path, opened: int) -> None:
    (root / "2026-01-05").mkdir()
    write(root / "2026-01-05" / "index.json", b"new")
    (root / "current").symlink_to("2026-01-05")
    (root.parent / "alias").symlink_to(root)
    assert fetched(LocalSource(root.parent / "alias"), "current/index.json").content == b"new"


def test_a_link_that_is_put_in_the_way_meanwhile_gains_nothing(source: LocalSource, root: Path) -> None:
    # One thread turns a folder into a link out and back, as fast as it can, while the other reads.
    done = threading.Event()
    (root / "away").mkdir()
    write(root / "away" / "secret", b"fine")

    def swap() -> None:
        while not done.is_set():
            (root / "door").symlink_to(root.parent)
            (root / "door").unlink()
            (root / "away").rename(root / "door")
            (root / "door").rename(root / "away")

    thread = threading.Thread(target=swap)
    thread.start()
    outcomes = {"read": 0, "refused": 0}
    try:
        while not all(outcomes.values()) or sum(outcomes.values()) < 2000:
            try:
                assert fetched(source, "door/secret").content == b"fine"
                outcomes["read"] += 1
            except UnreadableError:
                outcomes["refused"] += 1
    finally:
        done.set()
        thread.join()


def test_what_is_no_file_is_refused_without_waiting(root: Path, source: LocalSource, opened: int) -> None:
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    (root / "device").symlink_to("/dev/zero")
    for path in ("fifo", "socket", "device", "feed", "feed/index.json/deeper"):
        refused(source, path)
    assert "is not a file" in refused(LocalSource(Path("/dev")), "zero")


def test_a_missing_file_or_folder_says_what_to_do(source: LocalSource, root: Path) -> None:
    assert refused(source, "feed/absent.json").startswith("feed/absent.json cannot be read: there is no such file")
    assert "or the ingestor's root" in refused(LocalSource(root / "absent"), "index.json")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(source: LocalSource, root: Path) -> None:
    (root / "feed" / "index.json").chmod(0)
    assert "permissions" in refused(source, "feed/index.json")


def test_a_file_that_is_too_large_is_refused_unread(source: LocalSource, root: Path) -> None:
    with (root / "large.json").open("wb") as file:
        file.truncate(1 << 40)
    assert "larger than 1,000,000 bytes" in refused(source, "large.json")
    write(root / "exact.json", b"x" * 100)
    assert isinstance(source.read("exact.json", max_bytes=100), Fetched)
    refused(source, "exact.json", max_bytes=99)


def test_a_file_that_is_written_while_it_is_read_is_no_document(source: LocalSource, root: Path) -> None:
    path = root / "growing.json"
    write(path, b"x" * 100)
    done = threading.Event()

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            while not done.is_set():
                file.write(b"x" * 10)
                if file.tell() > 900_000:
                    file.truncate(100)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        error = None
        while error is None:
            try:
                source.read("growing.json", max_bytes=LIMIT)
            except UnreadableError as raised:
                error = raised
    finally:
        done.set()
        thread.join()
    assert error.transient
    assert "written while it was read" in str(error)


def test_the_known_time_and_size_are_taken_for_the_known_file(source: LocalSource, root: Path) -> None:
    known = fetched(source, "feed/index.json").validators
    # Only somebody who sets the clock back can do this.
    write(root / "feed" / "index.json", b"xedni")
    assert source.read("feed/index.json", max_bytes=LIMIT, known=known) == NotModified(known)
    assert not source.probe("feed/index.json", known, max_bytes=LIMIT)


def test_a_file_that_was_only_touched_is_not_modified(source: LocalSource, root: Path) -> None:
    known = fetched(source, "feed/index.json").validators
    write(root / "feed" / "index.json", b"index", LONG_AGO + 1)
    assert not source.probe("feed/index.json", known, max_bytes=LIMIT)
    again = source.read("feed/index.json", max_bytes=LIMIT, known=known)
    assert again == NotModified(Validators(None, str(LONG_AGO + 1), 5, digest(b"index")))


@pytest.mark.parametrize("content", [b"other", b"longer than before"])
def test_a_changed_file_is_seen(source: LocalSource, root: Path, content: bytes) -> None:
    known = fetched(source, "feed/index.json").validators
    write(root / "feed" / "index.json", content, LONG_AGO + 1)
    assert source.probe("feed/index.json", known, max_bytes=LIMIT)
    assert fetched(source, "feed/index.json", known).content == content


def test_two_versions_within_one_tick_of_the_clock_are_told_apart(source: LocalSource, root: Path) -> None:
    path = root / "feed" / "index.json"
    path.write_bytes(b"first")
    moment = path.stat().st_mtime_ns
    known = fetched(source, "feed/index.json").validators
    write(path, b"other", moment)
    assert source.probe("feed/index.json", known, max_bytes=LIMIT)
    assert fetched(source, "feed/index.json", known).content == b"other"


def test_a_file_that_was_never_read_counts_as_changed(source: LocalSource) -> None:
    assert source.probe("feed/index.json", None, max_bytes=LIMIT)


def test_a_file_that_cannot_be_looked_at_is_an_error_and_no_answer(source: LocalSource) -> None:
    with pytest.raises(UnreadableError):
        source.probe("feed/absent.json", Validators(size=1), max_bytes=LIMIT)
