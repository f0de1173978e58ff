"""Files of contacts: each line is a contact as it came, or is rejected with its place and reason."""

from pathlib import Path

import pytest

from cdp_platform.enrichment import contact_file
from cdp_platform.enrichment.contact_file import BadLine, Line
from cdp_platform.errors import ConfigurationError


def _lines(folder: Path, name: str, content: str | bytes) -> list[Line | BadLine]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(contact_file.lines(path))


def test_a_table_keeps_every_column_as_it_came(tmp_path: Path) -> None:
    found = _lines(tmp_path, "c.csv", "\ufeffEmail;Notes;First Name\n Jane@acme.example ;=1+1;Jane\nx\n")
    assert found == [
        Line(2, {"Email": " Jane@acme.example ", "Notes": "=1+1", "First Name": "Jane"}),
        BadLine(
            3,
            "not_a_row",
            "it has not as many fields as the header, or its quotation marks do not fit",
            {"values": ["x"]},
        ),
    ]


def test_a_table_that_names_nobody_is_refused_whole(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no column that says who somebody is, such as Email"):
        _lines(tmp_path, "c.csv", "sku,amount\n1,2\n")
    with pytest.raises(ConfigurationError, match="no column"):
        _lines(tmp_path, "c.csv", "")


@pytest.mark.parametrize("name", ["c.jsonl", "c.NDJSON"])
def test_each_line_of_json_is_a_contact_or_rejected(tmp_path: Path, name: str) -> None:
    content = b"\xef\xbb\xbf" + b"\n".join(
        [
            b'{"email": "a@b.example", "more": [1, null]}',
            b"",
            b"{bad",
            b"[1]",
            b'{"x": NaN}',
            b'{"e": "\xff"}',
            b'{"a": 1}',
        ]
    )
    found = _lines(tmp_path, name, content)
    assert [each.line for each in found] == [1, 3, 4, 5, 6, 7]
    assert found[0] == Line(1, {"email": "a@b.example", "more": [1, None]})
    assert [each.code for each in found if isinstance(each, BadLine)] == [
        *("not_json", "not_an_object", "not_json", "not_json"),
    ]
    assert found[-1] == Line(7, {"a": 1})


def test_a_line_of_json_without_end_is_rejected_and_not_held_in_memory(tmp_path: Path) -> None:
    found = _lines(tmp_path, "c.jsonl", '{"a": "' + "x" * 3_000_000 + '"}\n{"a": 1}\n')
    assert isinstance(found[0], BadLine)
    assert (found[0].code, len(found[0].document["text"])) == ("too_long", 10_000)
    assert found[1] == Line(2, {"a": 1})


def test_another_encoding_of_json_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is UTF-16"):
        _lines(tmp_path, "c.jsonl", '{"a": 1}\n'.encode("utf-16"))
