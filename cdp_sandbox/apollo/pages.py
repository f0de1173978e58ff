"""Pages for people: what the account was asked, what it cost, and the phone numbers that were delivered.

`/` lists the requests for people, the latest first (`?page=NUMBER`), `/deliveries` the deliveries, and `/calls/NUMBER`
is one request with the cost of each person.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cdp_sandbox.apollo.settings import DIRECT_DIAL, LEAD
from cdp_sandbox.apollo.store import Delivery, Store, credits_of
from cdp_sandbox.style import LIST, RECORD, TABS, Pages, count_of, facts, page, tabs, time_of

_STYLE = """
h2 { margin-top: 1.5rem; }
td.n, td code { white-space: nowrap; }
"""
_NAMES = {LEAD: "Demographics and addresses", DIRECT_DIAL: "Mobile phones"}
_REFUSED_FROM = 400


def routes(store: Store) -> list[Route]:
    """Return where the pages are, below the place of the stand-in."""

    def calls(request: Request) -> Response:
        pages = Pages(store.count("call"), request.query_params.get("page", ""))
        shown = store.calls("ORDER BY number DESC LIMIT ? OFFSET ?", Pages.LENGTH, pages.first)
        return _overview(store, "", [_call_item(call) for call in shown], "Nobody has been asked for yet.", pages)

    def deliveries(request: Request) -> Response:
        pages = Pages(store.count("delivery"), request.query_params.get("page", ""))
        shown = store.deliveries("ORDER BY call DESC LIMIT ? OFFSET ?", Pages.LENGTH, pages.first)
        nothing = "No phone number has been asked for yet."
        return _overview(store, "deliveries", [_delivery_item(one) for one in shown], nothing, pages)

    def call(request: Request) -> Response:
        number = request.path_params["number"]
        found = store.calls("WHERE number = ?", number)
        if not found:
            words = f"There is no request {number}."
            return page(words, f"<main>{_crumbs('../')}<h1>{words}</h1></main>", status=404)
        delivery = next(iter(store.deliveries("WHERE call = ?", number)), None)
        return _call(found[0], store.charges("WHERE call = ? ORDER BY person_id", number), delivery)

    return [Route("/", calls), Route("/deliveries", deliveries), Route("/calls/{number:int}", call)]


def _overview(store: Store, view: str, items: list[str], nothing: str, pages: Pages) -> Response:
    views = {"": f"Requests {store.count('call'):,}", "deliveries": f"Deliveries {store.count('delivery'):,}"}
    listed = f'<ul class="entries">{"".join(items)}</ul>' if items else f'<p class="muted">{nothing}</p>'
    body = (
        '<main><nav class="crumbs"><a href="/">cdp sandbox</a></nav><h1>Apollo</h1>'
        '<p class="muted">What the stand-in for Apollo was asked, and the credits that it charged. Its people do not '
        f"exist.</p>{_credits(store)}{tabs('Views', [(f'./{each}', views[each], each == view) for each in views])}"
        f"{listed}{pages.links()}</main>"
    )
    return page("Apollo", body, style=TABS + RECORD + LIST + _STYLE)


def _credits(store: Store) -> str:
    consumed, allowed = store.consumed(), store.settings.credits
    rows = "".join(
        f"<tr><td>{_NAMES[kind]}</td><td class=n>{credits_of(consumed[kind]):,}</td>"
        f"<td class=n>{credits_of(100 * allowed[kind] - consumed[kind]):,}</td></tr>"
        for kind in _NAMES
    )
    head = "<tr><th>Credits</th><th class=n>Consumed</th><th class=n>Left</th></tr>"
    return f'<div class="box" tabindex="0"><table>{head}{rows}</table></div>'


def _call_item(call: Mapping[str, Any]) -> str:
    words, alarm = f"{count_of(call['asked'], 'contact')} asked for", ""
    if call["status"] >= _REFUSED_FROM:
        alarm = f"Refused: {call['error']}"
    else:
        words += f", {call['matched']:,} found"
        alarm = f"Answer spoiled: {call['fault']}" if call["fault"] else ""
    return _item(call["number"], str(call["status"]), words, alarm=alarm, more=_cost(call), last=_time(call["at"]))


def _delivery_item(delivery: Delivery) -> str:
    words = f"Phones of {count_of(len(orjson.loads(delivery.body)['people']), 'contact')}"
    state, alarm = f"Posted {count_of(delivery.posted, 'time')}", ""
    if not delivery.posted:
        state = f"Due {_time(delivery.due)}" if delivery.times else "Is not posted"
    elif not delivery.outcome.startswith("2"):
        alarm = f"Not taken: {delivery.outcome}"
    return _item(delivery.call, delivery.outcome, words, alarm=alarm, more=delivery.url, last=state)


def _item(number: int, kind: str, words: str, *, alarm: str, more: str, last: str) -> str:
    shown = f'<span class="alarm">{escape(alarm)}</span>' if alarm else ""
    return (
        f'<li><a href="./calls/{number}"><span class="muted">{escape(kind)}</span><strong>{words}{shown}</strong>'
        f'<span class="to">{escape(more)}</span><span class="muted">{last}</span></a></li>'
    )


def _call(call: Mapping[str, Any], charges: list[dict[str, Any]], delivery: Delivery | None) -> Response:
    title = f"Request {call['number']:,}"
    answer = f"{call['status']} {escape(call['error'])}"
    if call["fault"]:
        answer += f' <span class="alarm">Spoiled: {escape(call["fault"])}</span>'
    known = [
        ("Came", _time(call["at"])),
        ("Endpoint", f"<code>{escape(call['endpoint'])}</code>"),
        ("Key", f"<code>{call['key_hash']}</code>"),
        ("Answered", answer),
        ("Request id", f"<code>{call['request_id']}</code>" if call["request_id"] is not None else ""),
        ("Contacts", f"{call['asked']:,} asked for, {call['matched']:,} found"),
        ("Cost", _cost(call)),
    ]
    rows = "".join(
        f"<tr><td>{escape(', '.join(charge['asked'].values()))}</td><td class=n>{charge[LEAD]:,}</td>"
        f"<td class=n>{charge[DIRECT_DIAL]:,}</td><td><code>{charge['person_id']}</code></td></tr>"
        for charge in charges
    )
    head = "<tr><th>Asked for by</th><th class=n>Credits</th><th class=n>Phone</th><th>Person</th></tr>"
    table = f'<div class="box" tabindex="0"><table>{head}{rows}</table></div>' if rows else ""
    body = f"<main>{_crumbs('../')}<h1>{title}</h1>{facts(known)}{table}{_delivery(delivery)}</main>"
    return page(title, body, style=TABS + RECORD + _STYLE)


def _delivery(delivery: Delivery | None) -> str:
    if delivery is None:
        return ""
    known = [
        ("Webhook", f"<code>{escape(delivery.url)}</code>"),
        ("Due", _time(delivery.due)),
        ("Posted", f"{count_of(delivery.posted, 'time')} of {delivery.times:,}"),
        ("Answered", escape(delivery.outcome)),
    ]
    content = orjson.dumps(orjson.loads(delivery.body), option=orjson.OPT_INDENT_2).decode()
    return f"<h2>Delivery of phone numbers</h2>{facts(known)}<pre>{escape(content)}</pre>"


def _cost(call: Mapping[str, Any]) -> str:
    return f"{call['credits']:,} {'credit' if call['credits'] == 1 else 'credits'}"


def _time(moment: datetime | str) -> str:
    return time_of(datetime.fromisoformat(moment) if isinstance(moment, str) else moment, datetime.now(UTC))


def _crumbs(apollo: str) -> str:
    return f'<nav class="crumbs"><a href="/">cdp sandbox</a><a href="{apollo}">Apollo</a></nav>'
