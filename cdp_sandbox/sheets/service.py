"""Which method of `sheets.googleapis.com` a request calls, and on which spreadsheet."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import QueryParams

from cdp_sandbox.sheets import masks, requests, resource, values
from cdp_sandbox.sheets.errors import RefusalError, flag, known, lacking, listed, number, text
from cdp_sandbox.sheets.grid import Spreadsheet
from cdp_sandbox.sheets.lookup import sheet_of
from cdp_sandbox.sheets.store import Store, new_id

_FLAGS = ("includeGridData", "includeValuesInResponse")
# What every method takes beside its own.
_COMMON = ("fields", "alt", "prettyPrint", "key", "quotaUser")
_PATH = re.compile(
    r"spreadsheets(?:/(?P<id>[^/:]+)(?:/values/(?P<range>.+?)|/values(?=:)|/sheets/(?P<sheet>\d+)(?=:))?)?"
    r"(?::(?P<verb>[a-zA-Z]+))?\Z",
    re.DOTALL,
)
_LACKING = {"getByDataFilter", "batchGetByDataFilter", "batchUpdateByDataFilter", "batchClearByDataFilter"}


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        path: Behind the version.
        body: Its JSON, None if it has none.
        user: E-mail address of the account that calls.
        base_url: Of this server.
    """

    method: str
    path: str
    query: QueryParams
    body: Any
    user: str
    base_url: str

    def options(self, *names: str) -> dict[str, Any]:
        """Return what the query says.

        Raises:
            RefusalError: 400, it says something that this method does not know.
        """
        given = {name: value for name, value in self.query.items() if name != "ranges" or "ranges" not in names}
        said = known(given, "query", *names, *_COMMON)
        for name in _FLAGS:
            if name in said:
                if str(said[name]).lower() not in {"true", "false"}:
                    raise RefusalError(f"Invalid value at '{name}' (TYPE_BOOL), {said[name]!r}")
                said[name] = str(said[name]).lower() == "true"
        return said

    def link(self, spreadsheet_id: str) -> str:
        """Return where a person finds a spreadsheet."""
        return f"{self.base_url}/d/{spreadsheet_id}/edit"


def answer(store: Store, call: Call) -> dict[str, Any]:
    """Answer one request.

    Raises:
        RefusalError: It cannot be done.
    """
    found = _PATH.fullmatch(call.path)
    if found is None:
        raise RefusalError(f"Requested URL {call.path} was not found.", 404)
    given, verb = found.groupdict(), found["verb"]
    if verb in _LACKING:
        raise lacking(f"the method {verb}")
    part = "values" if given["range"] or "/values" in call.path else "sheet" if given["sheet"] else ""
    if given["range"] and verb not in {None, "append", "clear"}:
        # The end of a range looks like a verb.
        given["range"], verb = f"{given['range']}:{verb}", None
    kind = (call.method, part, given["range"] is not None, verb)
    if given["id"] is None:
        if call.method != "POST" or verb:
            raise RefusalError(f"Requested URL {call.path} was not found.", 404)
        return _create(store, call)
    if kind not in _METHODS:
        raise RefusalError(f"There is no method {call.method} {call.path}.", 404)
    reply = _METHODS[kind](store, call, given)
    # `spreadsheets.get` has dealt with its mask.
    mask = masks.parse(call.query["fields"]) if call.query.get("fields") and kind != _GET else {}
    return masks.apply(mask, reply)


def find(store: Store, call: Call, spreadsheet_id: str) -> Spreadsheet:
    """Return a spreadsheet that the caller may use.

    Raises:
        RefusalError: 404, there is none; 403, it is not shared with the caller.
    """
    spreadsheet = store.find(spreadsheet_id)
    if spreadsheet is None:
        raise RefusalError("Requested entity was not found.", 404)
    if not spreadsheet.is_shared_with(call.user):
        raise RefusalError("The caller does not have permission", 403)
    return spreadsheet


@contextmanager
def changing(store: Store, call: Call, spreadsheet_id: str) -> Generator[Spreadsheet]:
    """Give a draft of a spreadsheet that the caller may change; an error leaves everything as it was.

    Raises:
        RefusalError: 404, there is none; 403, it is not shared with the caller.
    """
    find(store, call, spreadsheet_id)
    try:
        with store.change(spreadsheet_id) as draft:
            yield draft
    except KeyError as error:
        if store.find(spreadsheet_id) is not None:
            raise
        raise RefusalError("Requested entity was not found.", 404) from error


def _create(store: Store, call: Call) -> dict[str, Any]:
    call.options()
    said = known(call.body or {}, "spreadsheet", "properties", "sheets")
    details = known(said.get("properties", {}), "properties", "title", "locale", "timeZone")
    made = Spreadsheet(
        new_id(),
        text(details, "title") or "Untitled spreadsheet",
        [call.user],
        text(details, "locale", "en_US"),
        text(details, "timeZone", "Etc/GMT"),
    )
    for index, one in enumerate(listed(said, "sheets") or [{}]):
        of_sheet = known(one, "sheets", "properties").get("properties", {})
        # The first sheet has the id 0 if it is given none.
        requests.new_sheet(made, of_sheet if index else {"sheetId": 0, **of_sheet}, store.new_number)
    store.create(made)
    mask = masks.parse(call.query["fields"]) if call.query.get("fields") else {}
    return resource.describe(made, call.link(made.id), mask=mask)


def _get(store: Store, call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    options = call.options("ranges", "includeGridData")
    return resource.describe(
        find(store, call, given["id"]),
        call.link(given["id"]),
        ranges=call.query.getlist("ranges"),
        with_cells=flag(options, "includeGridData"),
        mask=masks.parse(options["fields"]) if options.get("fields") else None,
    )


def _batch_update(store: Store, call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    call.options()
    with changing(store, call, given["id"]) as draft:
        return requests.batch_update(draft, call.body, store.new_number, call.link(draft.id))


def _copy_to(store: Store, call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    call.options()
    destination = text(known(call.body, "request", "destinationSpreadsheetId"), "destinationSpreadsheetId")
    source = sheet_of(find(store, call, given["id"]), number(given, "sheet"))
    with changing(store, call, destination) as draft:
        return resource.properties(requests.copied_sheet(draft, source, store.new_number))


def _values_get(store: Store, call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    rendering = values.Rendering.of_read(call.options(*values.READ_OPTIONS))
    return values.get(find(store, call, given["id"]), given["range"], rendering)


def _values_batch_get(store: Store, call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    rendering = values.Rendering.of_read(call.options("ranges", *values.READ_OPTIONS))
    spreadsheet = find(store, call, given["id"])
    ranges = [values.get(spreadsheet, one, rendering) for one in call.query.getlist("ranges")]
    return {"spreadsheetId": spreadsheet.id, "valueRanges": ranges}


def _values_update(store: Store, call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    options = call.options(*values.WRITE_OPTIONS)
    with changing(store, call, given["id"]) as draft:
        return values.update(draft, given["range"], call.body, options)


def _values_append(store: Store, call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    options = call.options("insertDataOption", *values.WRITE_OPTIONS)
    with changing(store, call, given["id"]) as draft:
        return values.append(draft, given["range"], call.body, options)


def _values_clear(store: Store, call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    call.options()
    with changing(store, call, given["id"]) as draft:
        return {"spreadsheetId": draft.id, "clearedRange": values.clear(draft, given["range"])}


def _values_batch_update(store: Store, call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    call.options()
    with changing(store, call, given["id"]) as draft:
        return values.batch_update(draft, call.body)


def _values_batch_clear(store: Store, call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    call.options()
    ranges = listed(known(call.body, "request", "ranges"), "ranges")
    with changing(store, call, given["id"]) as draft:
        return {"spreadsheetId": draft.id, "clearedRanges": [values.clear(draft, str(one)) for one in ranges]}


# By HTTP method, part of the spreadsheet, whether a range is in the path, and verb.
_GET = ("GET", "", False, None)
_METHODS: dict[tuple[str, str, bool, str | None], Callable[[Store, Call, Mapping[str, Any]], dict[str, Any]]] = {
    _GET: _get,
    ("POST", "", False, "batchUpdate"): _batch_update,
    ("POST", "sheet", False, "copyTo"): _copy_to,
    ("GET", "values", True, None): _values_get,
    ("PUT", "values", True, None): _values_update,
    ("POST", "values", True, "append"): _values_append,
    ("POST", "values", True, "clear"): _values_clear,
    ("GET", "values", False, "batchGet"): _values_batch_get,
    ("POST", "values", False, "batchUpdate"): _values_batch_update,
    ("POST", "values", False, "batchClear"): _values_batch_clear,
}
