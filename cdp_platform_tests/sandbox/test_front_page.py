"""The page at the sandbox's own address: what answers there, in the words of what it stands in for."""

import re

import httpx2

from cdp_platform_tests.sandbox_process import SandboxProcess


def test_each_stand_in_is_described_in_its_own_words(sandbox: SandboxProcess):
    made = {"title": "Front page", "shared_with": "everybody"}
    httpx2.put(f"{sandbox.url}/sheets/_spreadsheets/front-page", json=made, timeout=30).raise_for_status()
    page = httpx2.get(sandbox.url, timeout=30).text
    sections = {
        re.search(r"<h2>(.*?)</h2>", section)[1]: re.findall(r"<th.*?>(.*?)</th>", section)  # ty: ignore[not-subscriptable]
        for section in page.split("<section>")[1:]
    }
    assert sections["Google Sheets"] == ["Spreadsheet", "Worksheet", "Rows"]
    assert sections["Shops&#x27; product feeds"] == ["Organization", "What", "Number"]
    assert sections["ArangoDB 3.11"] in ([], ["Database", "Collection", "Documents"])
    # It is no matter of time.
    assert sections["OpenAI&#x27;s embeddings"] == []
    assert "It stores no data." in page
