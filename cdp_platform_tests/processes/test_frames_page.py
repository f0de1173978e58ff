"""docs/frames.md, run on the demo as a person runs it in a notebook: block by block, in the folder of the .env."""

import json
import re
from pathlib import Path

from cdp_platform_tests.processes.conftest import SOURCE, Checkout

PAGE = SOURCE / "docs" / "frames.md"

# Errors then name the page, and the line in it.
_NOTEBOOK = """
import json, sys
shared = {}
for line, block in json.load(open(sys.argv[1])):
    exec(compile("\\n" * line + block, "docs/frames.md", "exec"), shared)
found = {
    "best": len(shared["best"]),
    "shares": shared["by_score"].groupby("currency")["share"].sum().round(9).tolist(),
    "orders": len(shared["orders"]),
    "orders_by_month": int(shared["per_month"]["orders"].sum()),
    "orders_by_local_month": int(shared["local"].shape[0]),
    "vectors": list(shared["matrix"].shape),
    "most_similar": int(shared["similar"][0]),
}
print(json.dumps(found))
"""


def blocks() -> list[tuple[int, str]]:
    """The Python blocks of the page, each with the number of lines above it."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [(text[: block.start(1)].count("\n"), block.group(1)) for block in found]


def test_every_block_of_the_page_runs_on_the_demo(checkout: Checkout, tmp_path: Path):
    assert len(blocks()) > 5
    (tmp_path / "blocks.json").write_text(json.dumps(blocks()), encoding="utf-8")
    (tmp_path / "notebook.py").write_text(_NOTEBOOK, encoding="utf-8")
    done = checkout.run("python", str(tmp_path / "notebook.py"), str(tmp_path / "blocks.json"))
    assert done.code == 0, done.err
    *printed, last = done.out.splitlines()
    assert [line.partition(":")[0].partition(" '")[0] for line in printed] == [
        "There is no table",
        "PostgreSQL refuses the query",
        "There is no tenant",
    ]
    found = json.loads(last)
    assert found["best"] == 10
    assert set(found["shares"]) == {1.0}
    assert found["orders"] == found["orders_by_month"] == found["orders_by_local_month"] > 100
    (purchases,) = checkout.query(
        "harbour", "SELECT count(*) FROM customers.orders WHERE is_purchase AND currency IS NOT NULL"
    )
    assert found["orders"] == purchases[0]
    (profiles,) = checkout.query("harbour", "SELECT count(*) FROM embeddings.embedding WHERE kind = 'profile'")
    assert found["vectors"] == [profiles[0], 256]
    assert found["most_similar"] == 0
