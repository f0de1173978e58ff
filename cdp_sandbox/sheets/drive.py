"""The little of Google's Drive API, version 3, that goes with spreadsheets: their files and who may use them.

A spreadsheet belongs to the account that made it, and everybody whom it is shared with may write it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from cdp_sandbox.sheets import masks, values
from cdp_sandbox.sheets.errors import RefusalError, choice, known, lacking, text
from cdp_sandbox.sheets.grid import EVERYBODY, Spreadsheet
from cdp_sandbox.sheets.ranges import written
from cdp_sandbox.sheets.service import Call, changing, find
from cdp_sandbox.sheets.shape import require_room
from cdp_sandbox.sheets.store import Sheet, Store, new_id

_MIME_TYPE = "application/vnd.google-apps.spreadsheet"
_PATH = re.compile(r"files(?:/(?P<id>[^/]+))?(?:/(?P<part>permissions|copy|export|comments))?(?:/(?P<item>[^/]+))?\Z")
_CONDITION = re.compile(r'\s*(mimeType|name)\s*=\s*(["\'])(.*?)\2\s*(?:and\b|\Z)', re.DOTALL)
_IGNORED = (
    *("supportsAllDrives", "includeItemsFromAllDrives", "pageSize", "sendNotificationEmail", "emailMessage"),
    *("includeDeleted", "pageToken"),
)


def answer(store: Store, call: Call) -> dict[str, Any] | bytes | None:
    """Answer one request; None is an answer without content.

    Raises:
        RefusalError: It cannot be done.
    """
    found = _PATH.fullmatch(call.path)
    kind = (call.method, found["part"] if found else None, bool(found and found["id"]), bool(found and found["item"]))
    if found is None or kind not in _METHODS:
        raise lacking(f"the method {call.method} {call.path} of Drive")
    reply = _METHODS[kind](store, call, found.groupdict())
    fields = call.query.get("fields")
    return masks.apply(masks.parse(fields), reply) if fields and isinstance(reply, dict) else reply


def upload(store: Store, call: Call) -> dict[str, Any]:
    """Replace all sheets of a spreadsheet by one with the content of a CSV file, read as a person would type it.

    Raises:
        RefusalError: It cannot be done.
    """
    found = _PATH.fullmatch(call.path)
    if found is None or found["part"] or not isinstance(call.body, bytes):
        raise lacking("other uploads than that of a CSV file to a spreadsheet")
    call.options("uploadType", "convert", *_IGNORED)
    rows = list(csv.reader(io.StringIO(call.body.decode(errors="replace"))))
    with changing(store, call, found["id"]) as draft:
        sheet = Sheet(store.new_number(), 0, draft.title)
        draft.sheets, draft.named_ranges = [], []
        draft.place(sheet, 0)
        sheet.row_count, sheet.column_count = max(1, len(rows)), max([1, *map(len, rows)])
        require_room(draft)
        where = written(sheet.title, sheet.box)
        values.update(draft, where, {"values": rows}, {"valueInputOption": "USER_ENTERED"})
        return _file(draft)


def _list(store: Store, call: Call, given: Mapping[str, str]) -> dict[str, Any]:
    asked = call.options("q", *_IGNORED).get("q", "")
    wanted, place = {}, 0
    while place < len(asked):
        condition = _CONDITION.match(asked, place)
        if condition is None:
            raise lacking(f"the search {asked!r}")
        wanted[condition[1]] = condition[3]
        place = condition.end()
    files = [
        _file(one)
        for one in store.spreadsheets()
        if one.is_shared_with(call.user)
        and wanted.get("mimeType", _MIME_TYPE) == _MIME_TYPE
        and wanted.get("name", one.title) == one.title
    ]
    return {"kind": "drive#fileList", "files": files}


def _get(store: Store, call: Call, given: Mapping[str, str]) -> dict[str, Any]:
    call.options(*_IGNORED)
    return _file(find(store, call, given["id"]))


def _create(store: Store, call: Call, given: Mapping[str, str]) -> dict[str, Any]:
    call.options(*_IGNORED)
    said = known(call.body, "file", "name", "mimeType")
    if said.get("mimeType") != _MIME_TYPE:
        raise lacking(f"files of the type {said.get('mimeType')}")
    sheets = [Sheet(store.new_number(), 0, "Sheet1")]
    made = Spreadsheet(new_id(), text(said, "name") or "Untitled", [call.user], sheets=sheets)
    store.create(made)
    return _file(made)


def _delete(store: Store, call: Call, given: Mapping[str, str]) -> None:
    call.options(*_IGNORED)
    store.delete(find(store, call, given["id"]).id)


def _copy(store: Store, call: Call, given: Mapping[str, str]) -> dict[str, Any]:
    call.options(*_IGNORED)
    said = known(call.body or {}, "file", "name", "mimeType")
    source = find(store, call, given["id"])
    copied = source.draft()
    copied.id, copied.title = new_id(), text(said, "name") or f"Copy of {source.title}"
    copied.shared_with = [call.user]
    for sheet in copied.sheets:
        sheet.number = store.new_number()
    store.create(copied)
    return _file(copied)


def _export(store: Store, call: Call, given: Mapping[str, str]) -> bytes:
    asked = call.options("mimeType").get("mimeType")
    if asked != "text/csv":
        raise lacking(f"an export as {asked}")
    sheet = find(store, call, given["id"]).sheets[0]
    out = io.StringIO()
    rendering = values.Rendering("FORMATTED_VALUE", "SERIAL_NUMBER", "ROWS")
    csv.writer(out, lineterminator="\r\n").writerows(values.read(sheet, sheet.box, rendering))
    return out.getvalue().removesuffix("\r\n").encode()


def _comments(store: Store, call: Call, given: Mapping[str, str]) -> dict[str, Any]:
    call.options(*_IGNORED)
    find(store, call, given["id"])
    return {"comments": []}


def _permissions(store: Store, call: Call, given: Mapping[str, str]) -> dict[str, Any]:
    call.options(*_IGNORED)
    shared = find(store, call, given["id"]).shared_with
    return {"permissions": [_permission(one) for one in ([EVERYBODY] if shared == EVERYBODY else shared)]}


def _share(store: Store, call: Call, given: Mapping[str, str]) -> dict[str, Any]:
    call.options(*_IGNORED)
    said = known(call.body, "permission", "type", "role", "emailAddress", "withLink")
    if said.get("role") != "writer" or said.get("type") not in {"user", "anyone"}:
        raise lacking("other permissions than those of a user, or of anyone, to write")
    choice(said, "type", "user", "anyone")
    with changing(store, call, given["id"]) as draft:
        if said["type"] == "anyone":
            draft.shared_with = EVERYBODY
            return _permission(EVERYBODY)
        email = text(said, "emailAddress")
        if "@" not in email:
            raise RefusalError("The specified emailAddress is invalid or not applicable for the given permission type.")
        if draft.shared_with != EVERYBODY and email not in draft.shared_with:
            draft.shared_with = [*draft.shared_with, email]
        return _permission(email)


def _unshare(store: Store, call: Call, given: Mapping[str, str]) -> None:
    call.options(*_IGNORED)
    with changing(store, call, given["id"]) as draft:
        shared = [EVERYBODY] if draft.shared_with == EVERYBODY else draft.shared_with
        kept = [one for one in shared if _permission(one)["id"] != given["item"]]
        if len(kept) == len(shared):
            raise RefusalError(f"Permission not found: {given['item']}.", 404)
        draft.shared_with = kept


def _permission(email: str) -> dict[str, str]:
    if email == EVERYBODY:
        return {"kind": "drive#permission", "id": "anyone", "type": "anyone", "role": "writer"}
    identity = str(int(hashlib.sha256(email.encode()).hexdigest()[:16], 16))
    return {"kind": "drive#permission", "id": identity, "type": "user", "role": "writer", "emailAddress": email}


def _file(spreadsheet: Spreadsheet) -> dict[str, Any]:
    return {
        "kind": "drive#file",
        "id": spreadsheet.id,
        "name": spreadsheet.title,
        "mimeType": _MIME_TYPE,
        "createdTime": _time(spreadsheet.created),
        "modifiedTime": _time(spreadsheet.last_change),
    }


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# By HTTP method, what of a file is meant, and whether a file and an item of it are named.
_METHODS: dict[
    tuple[str, str | None, bool, bool], Callable[[Store, Call, Mapping[str, str]], dict[str, Any] | bytes | None]
] = {
    ("GET", None, False, False): _list,
    ("POST", None, False, False): _create,
    ("GET", None, True, False): _get,
    ("DELETE", None, True, False): _delete,
    ("POST", "copy", True, False): _copy,
    ("GET", "export", True, False): _export,
    ("GET", "comments", True, False): _comments,
    ("GET", "permissions", True, False): _permissions,
    ("POST", "permissions", True, False): _share,
    ("DELETE", "permissions", True, True): _unshare,
}
