import pytest

from cdp_platform.customers import full_read
from cdp_platform.resources import arango


@pytest.fixture
def job() -> str:
    return "customers_sync"


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of three, so that a handful of documents crosses several."""
    begin = arango.ArangoDatabase.begin
    monkeypatch.setattr(
        arango.ArangoDatabase, "begin", lambda self, query, bind_vars, **_: begin(self, query, bind_vars, batch_size=3)
    )


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each batch of its own, the first worker waits for one of the second, however small the read."""
    next_place = full_read._Landings.next_place

    def after_a_report(self: full_read._Landings, slot: full_read._Slot) -> full_read._Place:
        if self._reports is not None:
            self._receive(self._reports)
        return next_place(self, slot)

    monkeypatch.setattr(full_read._Landings, "next_place", after_a_report)
