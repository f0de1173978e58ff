import pytest

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
