import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from cdp_platform_tests.sandbox_process import SandboxProcess
from cdp_sandbox.arango.clock import decode_revision

NewSandbox = Callable[[], SandboxProcess]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_all_that_was_answered_is_there_after_a_restart(new_sandbox: NewSandbox, how: int) -> None:
    sandbox = new_sandbox()
    sandbox.arango().create_database("shop", users=[{"username": "keeper", "password": "p", "active": True}])
    shop = sandbox.arango("shop")
    people = shop.create_collection("people", sync=True, key_generator="autoincrement", key_increment=5)
    people.add_index({"type": "persistent", "fields": ["mail"], "unique": True, "sparse": True, "name": "mail"})
    links = shop.create_collection("links", edge=True)
    links.insert({"_key": "e", "_from": "people/5", "_to": "people/10"})
    people.insert_many([{"mail": "a"}, {"mail": "b"}, {"n": "\0"}])
    people.delete("10")
    shop.create_collection("dropped").insert({})
    shop.delete_collection("dropped")
    shop.create_collection("old_name").insert({"_key": "k"})
    shop.collection("old_name").rename("new_name")
    before = [people.properties(), people.indexes(), people.revision(), people.get("5"), people.get("15")]

    assert sandbox.end(how) == (0 if how == signal.SIGTERM else -how)
    sandbox.start()

    assert people.count() == 2
    assert [people.properties(), people.indexes(), people.revision(), people.get("5"), people.get("15")] == before
    assert "10" not in people
    assert links.get("e")["_to"] == "people/10"
    assert not shop.has_collection("dropped")
    assert shop.collection("new_name").get("k")["_id"] == "new_name/k"
    assert sandbox.arango("shop", user="keeper", password="p").collection("people").count() == 2
    with pytest.raises(Exception, match="unique constraint violated"):
        people.insert({"mail": "a"})
    told = people.insert({"mail": "b"})
    assert told["_key"] == "25"
    assert decode_revision(told["_rev"]) > decode_revision(before[4]["_rev"])


def test_a_kill_in_the_middle_of_writing_loses_nothing_that_was_answered(new_sandbox: NewSandbox) -> None:
    sandbox = new_sandbox()
    database = sandbox.new_database()
    database.create_collection("people")
    answered: list[str] = []
    enough = threading.Event()

    def write() -> None:
        with sandbox.http() as client:
            for number in range(100_000):
                batch = [{"_key": f"{number}-{member}"} for member in range(10)]
                try:
                    answer = client.post(f"/_db/{database.name}/_api/document/people", json=batch)
                except httpx2.TransportError:
                    return
                answered.extend(one["_key"] for one in answer.json())
                if number == 30:
                    enough.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert enough.wait(60)
    sandbox.end(signal.SIGKILL)
    writer.join()
    sandbox.start()
    stored = {one["_key"] for one in database.collection("people").get_many(answered)}
    assert stored == set(answered)
    # The batch that was under way is there whole or not at all.
    assert database.collection("people").count() - len(answered) in {0, 10}


def test_two_sandboxes_do_not_meet(new_sandbox: NewSandbox) -> None:
    one, other = new_sandbox(), new_sandbox()
    one.arango().create_database("shop")
    one.arango("shop").create_collection("people").insert({})
    assert other.arango().databases() == ["_system"]
    told = [httpx2.get(f"{sandbox.url}/healthz").json() for sandbox in (one, other)]
    assert [answer["state_dir"] for answer in told] == [str(one.state_dir), str(other.state_dir)]
    assert [answer["pid"] for answer in told] == [one.pid, other.pid]


def test_a_second_process_on_the_same_folder_does_not_start(sandbox: SandboxProcess, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cdp_sandbox.server", "--port", "0"]
    second = subprocess.run(
        [*command, "--state-dir", str(sandbox.state_dir)], capture_output=True, check=False, timeout=60
    )
    assert second.returncode != 0
    assert b"locked" in second.stderr
    assert sandbox.arango().databases()


def test_a_write_that_the_disk_refuses_is_not_there_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cdp_sandbox.arango import writes
    from cdp_sandbox.arango.store import Store

    store = Store(tmp_path / "arango.sqlite")
    with store.transaction():
        people = store.create_collection(store.databases["_system"], "people")
        writes.insert(store, people, {"_key": "a", "n": 1}, writes.WriteOptions())

    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store, "_flush", full)

    def write() -> None:
        with store.transaction():
            writes.update(store, people, "a", {"n": 2}, writes.WriteOptions())
            writes.insert(store, people, {"_key": "b"}, writes.WriteOptions())
            people.truncate()
            writes.insert(store, people, {"_key": "c"}, writes.WriteOptions())

    with pytest.raises(sqlite3.OperationalError):
        write()
    assert {key: document.get("n") for key, document in people.documents.items()} == {"a": 1}
    store.close()


def test_ten_thousand_documents_are_stored_in_well_below_two_seconds(sandbox: SandboxProcess) -> None:
    people = sandbox.new_database().create_collection("people")
    documents = [{"_key": f"k{number}", "n": number, "text": "x" * 960} for number in range(10_000)]
    # Time of the stand-in on a processor: other programs may take any time of a busy machine.
    process, seconds = psutil.Process(sandbox.pid), []
    for _ in range(3):
        people.truncate()
        started = sum(process.cpu_times()[:2])
        told = people.import_bulk(documents)
        seconds.append(sum(process.cpu_times()[:2]) - started)
        assert told["created"] == 10_000
    assert min(seconds) < 1.9
