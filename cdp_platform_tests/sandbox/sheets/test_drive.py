"""How spreadsheets are made, found, copied, shared and thrown away, by Drive and by Sheets itself."""

from gspread.utils import ExportFormat, ValueRenderOption

from cdp_platform_tests.sandbox.sheets.conftest import Google


def test_drive_has_the_files_of_the_spreadsheets(google: Google) -> None:
    client = google.client("https://www.googleapis.com/auth/drive")
    made = client.create("Made here")
    made.sheet1.update([["a", "b, c"]], "A1")
    made.share("someone@example.com", perm_type="user", role="writer")
    assert {one["emailAddress"] for one in made.list_permissions()} == {google.email, "someone@example.com"}
    made.remove_permissions("someone@example.com")
    assert google.told(made.id)["shared_with"] == [google.email]
    copy = client.copy(made.id, title="Copied")
    assert copy.sheet1.get_all_values() == [["a", "b, c"]]
    assert client.export(made.id, ExportFormat.CSV) == b'a,"b, c"'
    assert {one["name"] for one in client.list_spreadsheet_files()} >= {"Made here", "Copied"}
    assert client.open("Copied").id == copy.id
    client.import_csv(copy.id, 'n,1\n"x, y",TRUE')
    assert [one.get(value_render_option=ValueRenderOption.unformatted) for one in copy.worksheets()] == [
        [["n", 1], ["x, y", True]]
    ]
    assert made.get_lastUpdateTime().endswith("Z")
    client.del_spreadsheet(made.id)
    assert "Made here" not in {one["name"] for one in client.list_spreadsheet_files()}


def test_what_is_deleted_is_answered_without_content(google: Google) -> None:
    client = google.client("https://www.googleapis.com/auth/drive")
    made = client.create("Short-lived")
    shared = client.insert_permission(made.id, "someone@example.com", perm_type="user", role="writer").json()
    file = f"https://www.googleapis.com/drive/v3/files/{made.id}"
    for url in (f"{file}/permissions/{shared['id']}", file):
        answer = client.http_client.request("delete", url)
        assert (answer.status_code, answer.content) == (204, b"")


def test_a_spreadsheet_is_created_with_its_sheets(google: Google) -> None:
    client = google.client()
    body = {"properties": {"title": "Two", "locale": "vi_VN"}, "sheets": [{"properties": {"title": "A"}}, {}]}
    url = "https://sheets.googleapis.com/v4/spreadsheets"
    made = client.http_client.request("post", url, json=body).json()
    assert [one["properties"]["title"] for one in made["sheets"]] == ["A", "Sheet2"]
    opened = client.open_by_key(made["spreadsheetId"])
    assert (opened.title, opened.locale) == ("Two", "vi_VN")
