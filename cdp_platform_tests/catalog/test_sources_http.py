import gzip
import pickle
import socket
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from cdp_platform.catalog.allowed import Allowed, allowed, is_never, is_public
from cdp_platform.catalog.config import load
from cdp_platform.catalog.errors import UnreadableError
from cdp_platform.catalog.sources import Fetched, NotModified, Validators, open_source
from cdp_platform.catalog.sources.contract import digest
from cdp_platform.catalog.sources.http import HttpSource
from cdp_platform.catalog.sources.retries import RetryLimits
from cdp_platform_tests.catalog.hosts import Host, certificate, host, response
from cdp_platform_tests.sandbox_process import SandboxProcess
from cdp_sandbox.feeds import PATH

LIMIT = 5 * 1024 * 1024
THIS_MACHINE = allowed(("127.0.0.0/8", "::1"))
QUICK = RetryLimits(connect=2, read=2, document=10, attempts=3, backoff=0.01)
INDEX = "harbour/feed-index.json"
SHARD = "harbour/feed-000.json"


@pytest.fixture
def feeds(sandbox: SandboxProcess) -> Iterator[str]:
    """Base address of the sandbox's feeds, in their first generation."""
    sandbox.clear()
    httpx2.delete(f"{sandbox.url}{PATH}/_generation").raise_for_status()
    yield f"{sandbox.url}{PATH}"
    sandbox.clear()
    httpx2.delete(f"{sandbox.url}{PATH}/_generation").raise_for_status()


@pytest.fixture
def web() -> Iterator[Host]:
    with host() as running:
        yield running


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Gives names addresses, one after another, the last one for good; returns the names that were asked for."""
    real = socket.getaddrinfo
    names: dict[str, list[str]] = {}
    asked: list[str] = []

    def lookup(name: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if name in names:
            asked.append(name)
            found = names[name]
            name = found.pop(0) if len(found) > 1 else found[0]
        return real(name, port, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)

    def set_name(name: str, *found: str) -> list[str]:
        names[name] = list(found)
        return asked

    return set_name


def source(
    root: str = "", *, private: bool = True, entries: tuple[str, ...] | None = None, limits: RetryLimits = QUICK
) -> HttpSource:
    given = (THIS_MACHINE if private else Allowed()) if entries is None else allowed(entries)
    return HttpSource(root, allowed=given, limits=limits)


def refused(root: str, path: str, *, transient: bool = False, max_bytes: int = LIMIT, **options: Any) -> str:
    with source(root, **options) as one, pytest.raises(UnreadableError) as raised:
        one.read(path, max_bytes=max_bytes)
    assert raised.value.transient is transient
    assert "\n" not in str(raised.value)
    return str(raised.value)


def fetched(root: str, path: str, **options: Any) -> Fetched:
    with source(root, **options) as one:
        document = one.read(path, max_bytes=LIMIT)
    assert isinstance(document, Fetched)
    return document


# --- the sandbox's feeds ---


def test_a_document_comes_whole_with_what_tells_its_version(feeds: str) -> None:
    document = fetched(feeds, SHARD)
    plain = httpx2.get(f"{feeds}/{SHARD}", headers={"accept-encoding": "identity"})
    assert document.content == plain.content
    assert document.address == f"{feeds}/{SHARD}"
    expected = Validators(
        plain.headers["etag"], plain.headers["last-modified"], len(plain.content), digest(plain.content)
    )
    assert document.validators == expected


def test_a_known_document_is_not_sent_again_until_it_changes(feeds: str) -> None:
    with source(feeds) as one:
        first = one.read(SHARD, max_bytes=LIMIT)
        assert isinstance(first, Fetched)
        again = one.read(SHARD, max_bytes=LIMIT, known=first.validators)
        assert again == NotModified(first.validators)
        assert not one.probe(SHARD, first.validators, max_bytes=LIMIT)
        httpx2.post(f"{feeds}/_generation").raise_for_status()
        assert one.probe(SHARD, first.validators, max_bytes=LIMIT)
        changed = one.read(SHARD, max_bytes=LIMIT, known=first.validators)
    assert isinstance(changed, Fetched)
    assert changed.content != first.content


def test_the_demo_ingestors_read_all_that_the_sandbox_publishes(feeds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_URL", feeds.removesuffix(PATH))
    published = httpx2.get(f"{feeds}/_generation").json()["published"]
    for ingestor in load(Path(__file__).parents[2] / "ingestion.yaml"):
        with open_source(ingestor) as one:
            registry = one.read(ingestor.registry, max_bytes=LIMIT)
            assert isinstance(registry, Fetched)
            entry = next(
                entry
                for entry in orjson.loads(registry.content)
                if entry["identifier"]["value"] in ingestor.organizations
            )
            index = one.read(one.resolve(registry.address, entry["cmp:productFeed"]["url"]), max_bytes=LIMIT)
            assert isinstance(index, Fetched)
            kinds: dict[str, int] = {}
            for shard in orjson.loads(index.content)["shards"]:
                path = shard if isinstance(shard, str) else shard["url"]
                document = one.read(one.resolve(index.address, path), max_bytes=LIMIT)
                assert isinstance(document, Fetched)
                for element in orjson.loads(document.content)["itemListElement"]:
                    for item in (element["item"], *element["item"].get("hasVariant", [])):
                        kinds[item["@type"]] = kinds.get(item["@type"], 0) + 1
        counted = published[ingestor.name.removesuffix("-shops")]
        assert kinds == {"ProductGroup": counted["groups"], "Product": counted["products"]}


def test_a_new_generation_changes_some_removes_some_and_adds_some(feeds: str) -> None:
    def products() -> dict[str, Any]:
        items = [
            element["item"]
            for number in range(3)
            for element in orjson.loads(fetched(feeds, f"harbour/feed-00{number}.json").content)["itemListElement"]
        ]
        return {item["sku"]: item["offers"]["price"] for item in items if item["@type"] == "Product"}

    before = products()
    httpx2.post(f"{feeds}/_generation").raise_for_status()
    after = products()
    assert 0 < len(before.keys() - after.keys()) < len(before) / 20
    assert len(after.keys() - before.keys()) == 10
    assert 0 < sum(after[sku] != before[sku] for sku in before.keys() & after.keys()) < len(before) / 10
    httpx2.delete(f"{feeds}/_generation").raise_for_status()
    assert products() == before


@pytest.mark.parametrize("action", ["drop_before", "drop_after", "truncate"])
def test_a_lost_answer_is_asked_for_again(feeds: str, sandbox: SandboxProcess, action: str) -> None:
    sandbox.spoil({"match": {"path_regex": SHARD}, "action": action, "times": 2})
    document = fetched(feeds, SHARD)
    assert sandbox.fired() == [2]
    assert digest(document.content) == digest(httpx2.get(f"{feeds}/{SHARD}").content)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
def test_what_can_pass_is_tried_again(feeds: str, sandbox: SandboxProcess, status: int) -> None:
    sandbox.spoil({"match": {"path_regex": INDEX}, "action": "status", "status": status, "times": 2})
    fetched(feeds, INDEX)
    assert sandbox.fired() == [2]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 406, 410, 451])
def test_what_cannot_pass_is_not_tried_again(feeds: str, sandbox: SandboxProcess, status: int) -> None:
    sandbox.spoil({"match": {"path_regex": INDEX}, "action": "status", "status": status, "times": None})
    assert f"HTTP {status}" in refused(feeds, INDEX)
    assert sandbox.fired() == [1]


def test_attempts_end_and_say_that_trying_later_may_help(feeds: str, sandbox: SandboxProcess) -> None:
    sandbox.spoil({"match": {"path_regex": INDEX}, "action": "status", "status": 503, "times": None})
    assert "HTTP 503; 3 attempts failed" in refused(feeds, INDEX, transient=True)
    assert sandbox.fired() == [3]


def test_a_server_that_asks_to_wait_is_waited_for(feeds: str, sandbox: SandboxProcess) -> None:
    sandbox.spoil({"match": {"path_regex": INDEX}, "action": "status", "status": 429, "retry_after": 1})
    started = time.monotonic()
    fetched(feeds, INDEX)
    assert sandbox.fired() == [1]
    assert time.monotonic() - started >= 1


def test_a_server_that_asks_for_too_long_a_wait_is_not_waited_for(feeds: str, sandbox: SandboxProcess) -> None:
    sandbox.spoil({"match": {"path_regex": INDEX}, "action": "status", "status": 503, "retry_after": 3600})
    assert "asks to wait 3600 s" in refused(feeds, INDEX, transient=True)
    assert sandbox.fired() == [1]


def test_a_date_to_wait_for_is_understood(web: Host) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    web.answers["/a"] = response(503, retry_after=later)
    assert "asks to wait 3" in refused(web.url, "a", transient=True)


@pytest.mark.parametrize("how", ["oversized", "bomb"])
def test_more_than_may_be_is_refused_and_never_held(feeds: str, sandbox: SandboxProcess, how: str) -> None:
    sandbox.spoil({"match": {"path_regex": SHARD}, "action": "distort", "how": how})
    # A busy machine takes seconds to make the answer, and a second attempt would get the right one.
    patient = replace(QUICK, read=30, document=60)
    tracemalloc.start()
    try:
        assert "larger than 5,242,880 bytes" in refused(feeds, SHARD, limits=patient)
        assert tracemalloc.get_traced_memory()[1] < 4 * LIMIT
    finally:
        tracemalloc.stop()
    assert sandbox.fired() == [1]


# --- where connections may go ---


@pytest.mark.parametrize(
    "address",
    "127.0.0.1 127.8.8.8 10.1.2.3 172.20.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 255.255.255.255 "
    "192.0.0.8 198.18.0.1 240.0.0.1 :: ::1 fe80::1 fe80::1%eth0 fc00::1 fd12::1 fec0::1 ff02::1 ff0e::1 "
    "::ffff:127.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1:: 2001:0:7f00:1::".split(),
)
def test_an_address_of_no_public_machine_is_known_as_such(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "2606:4700:4700::1111"])
def test_a_public_address_is_known_as_such(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "127.1"])
def test_this_machine_is_refused_however_it_is_written(web: Host, name: str) -> None:
    web.answers["/a"] = response(200, b"secret")
    message = refused(f"http://{name}:{web.port}", "a", private=False)
    assert "no public address" in message
    assert "allow_addresses" in message
    assert web.requests == []


def test_the_address_of_any_machine_is_not_taken_for_this_one(web: Host) -> None:
    assert "nothing is ever read from" in refused(f"http://0:{web.port}", "a", entries=EVERYTHING)
    assert web.requests == []


@pytest.mark.parametrize("name", ["[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"])
def test_this_machine_is_refused_over_ipv6_too(web: Host, name: str) -> None:
    assert "no public address" in refused(f"http://{name}:{web.port}", "a", private=False)
    assert web.requests == []


@pytest.mark.parametrize("entry", ["127.0.0.1", "127.0.0.0/8", "127.8.8.8/8", "localhost", "LOCALHOST.", "0.0.0.0/0"])
def test_a_host_or_network_that_the_ingestor_names_is_read(web: Host, entry: str) -> None:
    web.answers["/a"] = response(200, b"fine")
    assert fetched(f"http://localhost:{web.port}", "a", entries=(entry,)).content == b"fine"


@pytest.mark.parametrize("entries", [(), ("10.0.0.0/8",), ("127.0.0.2", "feeds.internal"), ("localhost.internal",)])
def test_another_private_host_or_network_is_not(web: Host, entries: tuple[str, ...]) -> None:
    assert "name the host or its network in allow_addresses" in refused(
        f"http://localhost:{web.port}", "a", entries=entries
    )
    assert web.requests == []


NEVER = (
    "169.254.169.254 169.254.170.2 169.254.0.23 100.100.100.200 192.0.0.192 168.63.129.16 0.0.0.0 0.1.2.3 224.0.0.1 "
    "255.255.255.255 :: fe80::1 fe80::a9fe:a9fe%eth0 fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fd00:42::42 ff02::1 "
    "::ffff:169.254.169.254 ::ffff:a9fe:a9fe ::169.254.169.254 ::ffff:0:a9fe:a9fe 64:ff9b::a9fe:a9fe "
    "64:ff9b:1::a9fe:a9fe 64:ff9b:1:a9fe:a9:fe00:: 2002:a9fe:a9fe:: 2001:0:a9fe:a9fe:: 2001:0:7f00:1::5601:5601 "
    "2001:db8::5efe:a9fe:a9fe ::ffff:100.100.100.200"
).split()
EVERYTHING = ("0.0.0.0/0", "::/0", "metadata.example.com")


@pytest.mark.parametrize("address", NEVER)
def test_a_clouds_service_of_credentials_is_never_read_whatever_is_allowed(
    address: str, resolver: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_never(address)
    assert not allowed(EVERYTHING)("metadata.example.com", address)
    found = [(socket.AF_INET6 if ":" in address else socket.AF_INET, 1, 6, "", (address, 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: found)
    connected: list[Any] = []
    monkeypatch.setattr(socket, "create_connection", lambda *arguments, **_options: connected.append(arguments))
    message = refused("http://metadata.example.com", "latest/meta-data", entries=EVERYTHING)
    assert "nothing is ever read from" in message
    assert connected == []


@pytest.mark.parametrize("host", ["169.254.169.254", "0xa9fea9fe", "2852039166", "169.254.43518"])
def test_the_service_of_credentials_is_refused_however_it_is_written(host: str) -> None:
    assert "nothing is ever read from" in refused(f"http://{host}", "latest/meta-data", entries=EVERYTHING)


@pytest.mark.parametrize(
    ("address", "entries", "is_allowed"),
    [
        ("10.1.2.3", ("10.0.0.0/8",), True),
        ("11.1.2.3", ("10.0.0.0/8",), True),
        ("192.168.1.1", ("10.0.0.0/8",), False),
        ("fd12::7", ("fd12::/64",), True),
        ("fd12:0:0:1::7", ("fd12::/64",), False),
        ("::1", ("::1",), True),
        # An IPv4 address in an IPv6 one is as good as itself, and no better.
        ("::ffff:10.1.2.3", ("10.0.0.0/8",), True),
        ("::ffff:192.168.1.1", ("10.0.0.0/8",), False),
        ("64:ff9b::8.8.8.8", (), False),
        ("64:ff9b::8.8.8.8", ("64:ff9b::/96",), True),
        ("64:ff9b::10.1.2.3", ("64:ff9b::/96",), False),
        ("64:ff9b::10.1.2.3", ("64:ff9b::/96", "10.0.0.0/8"), True),
    ],
)
def test_a_network_allows_its_addresses_and_no_others(address: str, entries: tuple[str, ...], is_allowed: bool) -> None:
    assert allowed(entries)("shop.example.com", address) is is_allowed


def test_a_redirect_from_an_allowed_host_to_another_private_one_is_refused(web: Host) -> None:
    web.answers["/a"] = response(302, location=f"http://127.0.0.2:{web.port}/b")
    assert "127.0.0.2, which is no public address" in refused(web.url, "a", entries=("127.0.0.1",))
    web.answers["/c"] = response(302, location="http://169.254.169.254/latest/meta-data")
    assert "nothing is ever read from" in refused(web.url, "c", entries=("127.0.0.1", "0.0.0.0/0"))
    web.answers["/d"] = response(302, location=f"http://localhost:{web.port}/e")
    web.answers["/e"] = response(200, b"fine")
    assert fetched(web.url, "d", entries=("127.0.0.1",)).content == b"fine"
    assert web.paths == ["/a", "/c", "/d", "/e"]


def test_a_name_that_moves_to_a_private_address_after_the_check_gains_nothing(
    web: Host, resolver: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[Any] = []

    def connect(address: Any, *_arguments: Any, **_options: Any) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    asked = resolver("rebound.example.com", "8.8.8.8", "127.0.0.1")
    limits = RetryLimits(attempts=1)
    refused(f"http://rebound.example.com:{web.port}", "a", private=False, limits=limits, transient=True)
    assert asked == ["rebound.example.com"]
    assert connected == [("8.8.8.8", web.port)]
    # The next look-up gives the private address, and that is refused.
    message = refused(f"http://rebound.example.com:{web.port}", "a", private=False, limits=limits)
    assert "rebound.example.com is 127.0.0.1" in message
    assert len(connected) == 1


def test_a_server_is_told_its_name_though_its_address_is_connected_to(
    web: Host, resolver: Callable[..., list[str]]
) -> None:
    asked = resolver("shop.example.com", "127.0.0.1")
    web.answers["/a"] = response(200, b"fine")
    fetched(f"http://shop.example.com:{web.port}", "a")
    assert web.requests[0][1]["host"] == f"shop.example.com:{web.port}"
    assert asked == ["shop.example.com"]


def test_a_certificate_is_checked_against_the_name(
    tmp_path: Path, resolver: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pem, key = certificate(tmp_path, "shop.example.com")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    resolver("shop.example.com", "127.0.0.1")
    resolver("other.example.com", "127.0.0.1")
    with host((pem, key)) as shop:
        shop.answers["/a"] = response(200, b"fine")
        assert fetched(f"https://shop.example.com:{shop.port}", "a").content == b"fine"
        assert shop.names == ["shop.example.com"]
        message = refused(f"https://other.example.com:{shop.port}", "a")
        assert "https://other.example.com" in message
        assert "certificate is not valid" in message
        assert len(shop.requests) == 1


def test_the_environments_proxy_is_not_asked(web: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    with host() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        web.answers["/a"] = response(200, b"fine")
        fetched(web.url, "a")
        assert proxy.requests == []


# --- redirects ---


def test_redirects_are_followed_and_references_start_from_their_end(web: Host) -> None:
    web.answers |= {
        "/feed/index.json": response(302, location="/moved/index.json"),
        "/moved/index.json": response(200, b"{}"),
    }
    document = fetched(web.url, "feed/index.json")
    assert document.address == f"{web.url}/moved/index.json"
    with source(web.url) as one:
        assert one.resolve(document.address, "feed-000.json") == f"{web.url}/moved/feed-000.json"


def test_a_redirect_and_a_stamp_may_hold_more_than_ascii(web: Host) -> None:
    web.answers |= {
        "/a": response(302, location="/cà-phê.json"),
        "/c%C3%A0-ph%C3%AA.json": response(200, b"a", etag='"phở"'),
    }
    known = fetched(web.url, "a").validators
    with source(web.url) as one:
        assert not one.probe("a", known, max_bytes=LIMIT)
    assert web.requests[-1][1]["if-none-match"] == '"phở"'


def test_five_redirects_are_followed_and_no_more(web: Host) -> None:
    for number in range(6):
        web.answers[f"/{number}"] = response(307, location=f"/{number + 1}")
    web.answers["/6"] = response(200, b"fine")
    assert fetched(web.url, "1").content == b"fine"
    web.requests.clear()
    assert "redirects more than 5 times" in refused(web.url, "0")
    assert web.paths == [f"/{number}" for number in range(6)]


def test_a_redirect_to_a_private_address_is_not_followed(
    web: Host, resolver: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A public address that leads to this machine, as far as the test's network is concerned.
    real = socket.create_connection
    monkeypatch.setattr(
        socket,
        "create_connection",
        lambda address, *rest, **options: real(
            ("127.0.0.1" if address[0] == "8.8.8.8" else address[0], address[1]), *rest, **options
        ),
    )
    resolver("shop.example.com", "8.8.8.8")
    with host() as inside:
        inside.answers["/secret"] = response(200, b"secret")
        web.answers["/a"] = response(302, location=f"http://127.0.0.1:{inside.port}/secret")
        message = refused(f"http://shop.example.com:{web.port}", "a", private=False)
        assert "127.0.0.1 is 127.0.0.1, which is no public address" in message
        assert web.paths == ["/a"]
        assert inside.requests == []


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/a", "gopher://127.0.0.1/", "data:text/plain,a"]
)
def test_a_redirect_to_anything_but_the_web_is_refused(web: Host, location: str) -> None:
    web.answers["/a"] = response(302, location=location)
    assert "Give an address with http or https" in refused(web.url, "a")
    assert web.paths == ["/a"]


def test_a_redirect_to_nowhere_is_refused(web: Host) -> None:
    web.answers["/a"] = response(302)
    assert "redirects to nowhere" in refused(web.url, "a")


def test_tls_is_never_left(tmp_path: Path, web: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    pem, key = certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with host((pem, key)) as secure:
        web.answers |= {"/plain": response(200, b"plain"), "/up": response(301, location=_secure(secure, "/safe"))}
        secure.answers |= {"/down": response(302, location=f"{web.url}/plain"), "/safe": response(200, b"safe")}
        assert "leaves TLS" in refused(_secure(secure, ""), "down")
        assert "leaves TLS" in refused(_secure(secure, ""), f"{web.url}/plain")
        assert web.requests == []
        # The other direction gains safety.
        assert fetched(web.url, "up").content == b"safe"


def _secure(secure: Host, path: str) -> str:
    return f"https://localhost:{secure.port}{path}"


# --- bodies ---


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b"whole", mtime=0)),
        ("x-gzip", gzip.compress(b"whole", mtime=0)),
        ("gzip", gzip.compress(b"who", mtime=0) + gzip.compress(b"le", mtime=0)),
        ("gzip", gzip.compress(b"whole", mtime=0) + bytes(100_000)),
        ("gzip", gzip.compress(b"who", mtime=0) + bytes(512) + gzip.compress(b"le", mtime=0) + bytes(512)),
        ("gzip", gzip.compress(b"whole", mtime=0) + b"\x1f"),
        ("gzip", gzip.compress(b"whole", mtime=0) + b"signature of something else"),
        ("deflate", zlib.compress(b"whole")),
        ("deflate", zlib.compress(b"whole")[2:-4]),
        ("identity", b"whole"),
        ("", b"whole"),
    ],
)
def test_bodies_are_decoded(web: Host, encoding: str, packed: bytes) -> None:
    web.answers["/a"] = response(200, packed, content_encoding=encoding)
    assert fetched(web.url, "a").content == b"whole"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress"])
def test_an_encoding_that_was_not_asked_for_is_refused(web: Host, encoding: str) -> None:
    web.answers["/a"] = response(200, b"whatever", content_encoding=encoding)
    assert "was not asked for" in refused(web.url, "a")


def test_a_body_that_is_not_what_its_server_says_is_refused(web: Host) -> None:
    web.answers["/a"] = response(200, b"{not gzip}", content_encoding="gzip")
    assert "is not gzip, as its server says" in refused(web.url, "a")


def test_half_a_gzip_file_is_not_a_document(web: Host) -> None:
    web.answers["/a"] = response(200, gzip.compress(b"x" * 1000)[:-12], content_encoding="gzip")
    assert "breaks off" in refused(web.url, "a", transient=True)
    assert len(web.requests) == QUICK.attempts


def test_a_bomb_of_many_members_is_refused(web: Host) -> None:
    web.answers["/a"] = response(200, gzip.compress(b"x" * 1_000_000) * 200, content_encoding="gzip")
    assert "larger than" in refused(web.url, "a")


def test_the_size_limit_is_exact(web: Host) -> None:
    for encoding, body in (("", b"x" * 1000), ("gzip", gzip.compress(b"x" * 1000))):
        web.answers["/a"] = response(200, body, content_encoding=encoding)
        with source(web.url) as one:
            assert isinstance(one.read("a", max_bytes=1000), Fetched)
        assert "larger than 999 bytes" in refused(web.url, "a", max_bytes=999)


def test_an_endless_body_is_refused_at_the_limit(web: Host) -> None:
    sent = []

    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent.append(65536)

    web.answers["/a"] = endless
    assert "larger than 1,000,000 bytes" in refused(web.url, "a", max_bytes=1_000_000)
    assert sent


def test_a_body_shorter_than_announced_is_not_a_document(web: Host) -> None:
    web.answers["/a"] = response(200, b"half", content_length="8")
    assert "breaks off" in refused(web.url, "a", transient=True)


@pytest.mark.parametrize("status", [201, 204, 206, 304, 300])
def test_only_a_whole_document_is_one(web: Host, status: int) -> None:
    web.answers["/a"] = response(status)
    assert f"HTTP {status}" in refused(web.url, "a")


# --- time ---


def drip(part: bytes, seconds: float = 0.05) -> Callable[[socket.socket], None]:
    def send(connection: socket.socket) -> None:
        while True:
            connection.sendall(part)
            time.sleep(seconds)

    return send


def drip_body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    drip(b"x")(connection)


@pytest.mark.parametrize("answer", [drip_body, drip(b"HTTP/1.1 100 Continue\r\n\r\n")])
def test_a_document_that_comes_drop_by_drop_ends_at_its_deadline(web: Host, answer: Any) -> None:
    web.answers["/a"] = answer
    started = time.monotonic()
    refused(web.url, "a", transient=True, limits=RetryLimits(document=1, attempts=3, backoff=0.01))
    assert 0.9 < time.monotonic() - started < 10


def test_headers_that_come_drop_by_drop_end_at_the_deadline(web: Host) -> None:
    def slow(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nx-slow: ")
        drip(b"x")(connection)

    web.answers["/a"] = slow
    started = time.monotonic()
    message = refused(web.url, "a", transient=True, limits=RetryLimits(document=1))
    assert "takes too long" in message
    assert 0.9 < time.monotonic() - started < 10


def test_a_silent_server_is_given_up(web: Host) -> None:
    web.answers["/a"] = lambda connection: time.sleep(10)
    started = time.monotonic()
    limits = RetryLimits(read=0.2, attempts=2, backoff=0.01)
    assert "takes too long; 2 attempts failed" in refused(web.url, "a", transient=True, limits=limits)
    assert time.monotonic() - started < 8
    assert len(web.requests) == 2


def test_a_server_that_is_not_there_says_what_to_look_at() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    message = refused(f"http://127.0.0.1:{port}", "a", transient=True)
    assert message.startswith(f"http://127.0.0.1:{port}/a: no connection: nothing listens there")


def test_a_host_that_does_not_exist_is_not_asked_again(
    resolver: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_arguments: Any, **_options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "There is no host shop.example.com" in refused("http://shop.example.com", "a")

    def later(*_arguments: Any, **_options: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure")

    monkeypatch.setattr(socket, "getaddrinfo", later)
    assert "cannot be resolved now" in refused("http://shop.example.com", "a", transient=True)


# --- looking for changes ---


def test_looking_reads_no_body_where_there_is_a_stamp(web: Host) -> None:
    def stamped_and_stuck(connection: socket.socket) -> None:
        connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 5000000\r\netag: "new"\r\n\r\nx')
        time.sleep(10)

    web.answers["/a"] = stamped_and_stuck
    started = time.monotonic()
    with source(web.url) as one:
        assert one.probe("a", Validators(etag='"old"', size=1, digest="x"), max_bytes=LIMIT)
        # A server that gives a stamp and answers no condition.
        assert not one.probe("a", Validators(etag='"new"', size=1, digest="x"), max_bytes=LIMIT)
    assert time.monotonic() - started < 8
    assert web.requests[0][1]["if-none-match"] == '"old"'


def test_a_date_is_a_stamp_too(web: Host) -> None:
    then, later = "Mon, 05 Jan 2026 06:00:00 GMT", "Mon, 05 Jan 2026 07:00:00 GMT"
    web.answers["/a"] = response(200, b"a", last_modified=later)
    with source(web.url) as one:
        assert one.probe("a", Validators(last_modified=then), max_bytes=LIMIT)
        assert not one.probe("a", Validators(last_modified=later), max_bytes=LIMIT)
    assert web.requests[0][1]["if-modified-since"] == then


def test_without_a_stamp_the_digest_decides(web: Host) -> None:
    web.answers["/a"] = response(200, b"same")
    known = fetched(web.url, "a").validators
    assert known == Validators(None, None, 4, digest(b"same"))
    with source(web.url) as one:
        assert not one.probe("a", known, max_bytes=LIMIT)
        web.answers["/a"] = response(200, b"else")
        assert one.probe("a", known, max_bytes=LIMIT)


def test_the_same_content_under_a_new_stamp_is_not_modified(web: Host) -> None:
    web.answers["/a"] = response(200, b"same", etag='"2"')
    with source(web.url) as one:
        again = one.read("a", max_bytes=LIMIT, known=Validators('"1"', None, 4, digest(b"same")))
    assert again == NotModified(Validators('"2"', None, 4, digest(b"same")))


def test_a_document_that_was_never_read_counts_as_changed(web: Host) -> None:
    with source(web.url) as one:
        assert one.probe("a", None, max_bytes=LIMIT)
    assert web.requests == []


def test_a_document_that_cannot_be_looked_at_is_an_error_and_no_answer(web: Host) -> None:
    with source(web.url) as one, pytest.raises(UnreadableError):
        one.probe("a", Validators(etag='"1"'), max_bytes=LIMIT)


# --- addresses ---


@pytest.mark.parametrize(
    ("base", "reference", "found"),
    [
        ("", "registry.json", "https://shop.example.com/cmp/registry.json"),
        ("https://shop.example.com/cmp/feed/index.json", "a.json", "https://shop.example.com/cmp/feed/a.json"),
        ("https://shop.example.com/cmp/feed/index.json", "../a.json", "https://shop.example.com/cmp/a.json"),
        ("https://shop.example.com/cmp/feed/index.json", "/a.json", "https://shop.example.com/a.json"),
        ("https://shop.example.com/cmp/feed/index.json?v=2", "a.json#x", "https://shop.example.com/cmp/feed/a.json"),
        ("", "https://cdn.example.com/a.json?t=1", "https://cdn.example.com/a.json?t=1"),
        ("", "//cdn.example.com/a.json", "https://cdn.example.com/a.json"),
        ("", "cà phê.json", "https://shop.example.com/cmp/c%C3%A0%20ph%C3%AA.json"),
        (
            "",
            "https://github.com/o/r/blob/main/blob/feed.json",
            "https://github.com/o/r/raw/main/blob/feed.json",
        ),
        ("", "https://github.com/o/r/raw/main/feed.json", "https://github.com/o/r/raw/main/feed.json"),
        ("", "https://github.example.com/o/r/blob/feed.json", "https://github.example.com/o/r/blob/feed.json"),
    ],
)
def test_references_are_resolved(base: str, reference: str, found: str) -> None:
    with source("https://shop.example.com/cmp") as one:
        assert one.resolve(base, reference) == found


@pytest.mark.parametrize(
    "reference",
    [
        "https://0177.0.0.1/a",
        "ftp://shop.example.com/a",
        "file:///etc/passwd",
        "http://",
        "http://[::1",
        "http://shop.example.com/",
        "data:,a",
    ],
)
def test_a_reference_that_does_not_fit_is_refused_before_anything_is_sent(reference: str) -> None:
    with source("https://shop.example.com") as one, pytest.raises(UnreadableError) as raised:
        one.resolve("", reference)
    assert not raised.value.transient


def test_a_relative_path_needs_a_root() -> None:
    assert "has no host" in refused("", "registry.json")


def test_errors_hold_no_password_and_no_query(web: Host) -> None:
    messages = [
        refused(web.url, "a?token=hush"),
        refused(web.url, f"http://user:hush@127.0.0.1:{web.port}/a"),
        refused(web.url, "http://user:hush@[::1/a"),
        refused(web.url, "http://[::1/a?token=hush"),
    ]
    web.answers["/b"] = response(302, location="http://user:hush@127.0.0.1/?token=hush")
    messages.append(refused(web.url, "b"))
    web.answers["/c?token=hush"] = response(302, location="/d?token=hush")
    messages.append(refused(web.url, "c?token=hush"))
    assert "hush" not in "".join(messages)
    web.answers["/e?token=hush"] = response(200, b"content")
    assert "hush" not in repr(fetched(web.url, "e?token=hush"))


def test_errors_survive_the_way_out_of_a_process() -> None:
    error = pickle.loads(pickle.dumps(UnreadableError("gone", transient=True)))  # noqa: S301 (our own)
    assert (type(error), str(error), error.transient) == (UnreadableError, "gone", True)
