"""CSV files as other programs save them: every value arrives, and a file that is none is told apart."""

from pathlib import Path

import pytest

from cdp_platform import csv_file
from cdp_platform.csv_file import Row
from cdp_platform.errors import ConfigurationError


def _read(folder: Path, content: str | bytes) -> tuple[list[str], list[Row]]:
    path = folder / "list.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    columns: list[str] = []
    return columns, list(csv_file.rows(path, columns.extend))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_files_of_other_programs_are_read_alike(tmp_path: Path, separator: str, ending: str, start: bytes) -> None:
    content = f'name{separator}"a, b; c"{ending}Renée{separator}"x{separator}{ending}""y"""{ending}'
    columns, rows = _read(tmp_path, start + content.encode())
    assert columns == ["name", "a, b; c"]
    assert [(row.line, row.values) for row in rows] == [(2, ["Renée", f'x{separator}{ending}"y"'])]


def test_excels_line_about_the_separator_is_no_row(tmp_path: Path) -> None:
    columns, rows = _read(tmp_path, "\ufeffsep=;\r\na,b;c\r\n1;2\r\n")
    assert (columns, rows) == (["a,b", "c"], [Row(3, {"a,b": "1", "c": "2"}, ["1", "2"])])


def test_formulas_and_leading_zeros_stay_texts(tmp_path: Path) -> None:
    _, rows = _read(tmp_path, 'a,b,c\n=1+1,"=HYPERLINK(""http://x"")",=\n007,"=""007""",@x\n')
    assert [row.fields for row in rows] == [
        {"a": "=1+1", "b": '=HYPERLINK("http://x")', "c": "="},
        {"a": "007", "b": '="007"', "c": "@x"},
    ]


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    _, rows = _read(tmp_path, 'a,b\n\n1,"two\nlines"\n,\n\n3,4\n')
    assert [(row.line, row.values) for row in rows] == [(3, ["1", "two\nlines"]), (7, ["3", "4"])]


def test_a_row_that_does_not_fit_costs_itself(tmp_path: Path) -> None:
    _, rows = _read(tmp_path, 'a,b\n1\n1,2,3\n1,2,,\n"1"x,2\n3,4\n')
    assert [(row.line, row.fields) for row in rows] == [
        (2, None),
        (3, None),
        (4, {"a": "1", "b": "2"}),
        (5, None),
        (6, {"a": "3", "b": "4"}),
    ]


def test_no_column_hides_another(tmp_path: Path) -> None:
    columns, rows = _read(tmp_path, "Email,Email,,x\na,b,c,d\n")
    assert columns == ["Email", "Email 2", "column 3", "x"]
    assert rows[0].fields == {"Email": "a", "Email 2": "b", "column 3": "c", "x": "d"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a,b\nÜ,1\n".encode("latin-1"), r"is not UTF-8\. Save it as CSV in UTF-8"),
        ("a,b\nc,1\n".encode("utf-16"), "is UTF-16 and not UTF-8"),
        ("a,b\nc,1\n".encode("utf-16-le"), "is UTF-16 and not UTF-8"),
        (b"PK\x03\x04 a workbook", "is an Excel workbook"),
        ('a,b\n1,2\n"3,4\n5,6\n', r"is no CSV from line 3 on: .* quotation mark"),
        ('a,b\n"' + "x\n" * 100_000, r"is no CSV from line 2 on: .* quotation mark"),
        ("a,b\n" + "x" * 2_000_000, r"line of more than 1,048,576 characters"),
    ],
)
def test_what_is_no_such_file_is_told_with_what_to_do(tmp_path: Path, content: str | bytes, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        _read(tmp_path, content)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.csv cannot be read: No such file"):
        list(csv_file.rows(tmp_path / "absent.csv", print))
