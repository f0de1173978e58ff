"""Reports of providers about messages: delivered, bounced, complained or opted out.

A provider names the message by its key, and each of its reports by an id of its own. It posts them as JSON, a list of::

    {"id": "…", "key": "…", "kind": "bounced", "code": "5.1.1", "at": "2026-06-01T08:00:00Z"}

``code`` is the enhanced status code (RFC 3463) of a bounce, and may be left out. Mail systems report by e-mail instead:
`bounces` reads those.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias, get_args

import orjson

from cdp_platform.campaigns import status_codes
from cdp_platform.errors import QueryError
from cdp_platform.moments import moment

Kind: TypeAlias = Literal["delivered", "bounced", "complained", "opted_out"]

# A provider's id or a key is short; more is no report of a message.
_LONGEST = 512


@dataclass(frozen=True)
class Report:
    """One report about one message.

    Attributes:
        report_id: the provider's; the same where it reports the same thing again.
        key: of the message.
        kind: what happened.
        code: enhanced status code; '' where there is none.
        happened_at: when.
    """

    report_id: str
    key: str
    kind: Kind
    code: str
    happened_at: datetime


@dataclass(frozen=True)
class Unreadable:
    """An item of a list that is no report.

    Attributes:
        place: its place in the list, from 0.
        problem: what is wrong with it, without its values.
    """

    place: int
    problem: str


def from_json(body: bytes) -> tuple[list[Report], list[Unreadable]]:
    """The reports of a list, and the items that are none. An item that is wrong costs no other one.

    Raises:
        QueryError: the body is no list in JSON.
    """
    try:
        items = orjson.loads(body)
    except orjson.JSONDecodeError:
        items = None
    if not isinstance(items, list):
        raise QueryError('Send a list of reports in JSON: [{"id": …, "key": …, "kind": …, "code": …, "at": …}]')
    read = [_read(place, item) for place, item in enumerate(items)]
    return [each for each in read if isinstance(each, Report)], [each for each in read if isinstance(each, Unreadable)]


def _read(place: int, item: Any) -> Report | Unreadable:
    if not isinstance(item, dict):
        return Unreadable(place, "it is no object")
    for name in ("id", "key"):
        if not _is_name(item.get(name)):
            return Unreadable(place, f"{name} is no text of 1 to {_LONGEST} characters")
    if item.get("kind") not in get_args(Kind):
        return Unreadable(place, f"kind is none of {', '.join(get_args(Kind))}")
    code = item.get("code") or ""
    if not isinstance(code, str):
        return Unreadable(place, "code is no text")
    happened_at = moment(item.get("at"))
    if happened_at is None:
        return Unreadable(place, "at is no moment")
    return Report(item["id"], item["key"], item["kind"], status_codes.found(code), happened_at)


def _is_name(value: Any) -> bool:
    # PostgreSQL takes no NUL, and UTF-8 no lone surrogate; orjson refuses the latter itself.
    return isinstance(value, str) and 0 < len(value) <= _LONGEST and "\0" not in value
