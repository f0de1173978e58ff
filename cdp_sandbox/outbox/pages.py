"""Pages for people: which messages were delivered, and each as the person who got it sees it.

`/` lists them, the latest first (`?channel=NAME&page=NUMBER`); `/NUMBER` is one (`?show=text|headers|raw`), and
`POST /NUMBER/unsubscribe` does what the unsubscribe button of a mail client does. A message can contain anything: its
HTML is in a frame that runs no script, sends no form and loads nothing.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import escape

import httpx2
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cdp_sandbox.outbox.message import Readable, read
from cdp_sandbox.outbox.reports import EMAIL
from cdp_sandbox.outbox.store import Message, Store
from cdp_sandbox.style import LIST, RECORD, TABS, Pages, count_of, facts, page, query, tabs, time_of

_LINK = re.compile(r"https?://[^\s<>\"]+[^\s<>\".,;:!?)\]]")
_ONE_CLICK = {"List-Unsubscribe": "One-Click"}
_SECONDS = 10
# A person's words for channels; any other has its name.
_NAMES = {EMAIL: "E-mail", "sms": "SMS", "zalo": "Zalo"}

_MESSAGE_STYLE = """
header { display: flex; flex-wrap: wrap; align-items: start; gap: .5rem 1rem; }
header div { flex: 1 1 18rem; min-width: 0; }
button.button { font: inherit; font-size: .875rem; cursor: pointer; }
iframe { display: block; width: 100%; height: max(24rem, 70vh); margin-top: 1rem; border: 1px solid var(--line);
  border-radius: 10px; background: #fff; color-scheme: light; }
.box th { color: var(--muted); }
.phone { max-width: 24rem; margin: 1rem auto 0; padding: 1.25rem 1rem; border: 1px solid var(--line);
  border-radius: 24px; background: var(--raised); }
.phone p { margin: 0 0 .75rem; text-align: center; font-size: .8125rem; color: var(--muted); }
.bubble { margin-right: 2rem; padding: .625rem .875rem; border-radius: 18px 18px 18px 4px; background: var(--surface);
  white-space: pre-wrap; }
"""


def routes(store: Store) -> list[Route]:
    """Return where the pages are, below the place of the stand-in. Routes for programs have to stand before them."""

    def overview(request: Request) -> Response:
        return _overview(store, request.query_params.get("channel", ""), request.query_params.get("page", ""))

    def one(request: Request) -> Response:
        if (found := _found(store, request)) is None:
            return _not_there(request)
        return _message(*found, request.query_params.get("show", ""))

    def unsubscribe(request: Request) -> Response:
        if (found := _found(store, request)) is None:
            return _not_there(request)
        message, content = found
        return _unsubscribed(message, read(message.channel, content).unsubscribe)

    return [
        Route("/", overview),
        Route("/{number:int}", one),
        Route("/{number:int}/unsubscribe", unsubscribe, methods=["POST"]),
    ]


def _found(store: Store, request: Request) -> tuple[Message, bytes] | None:
    number = request.path_params["number"]
    content = store.content(number)
    found = store.listed("WHERE number = ?", [number])
    return (found[0], content) if found and content is not None else None


def _not_there(request: Request) -> Response:
    words = f"There is no message {request.path_params['number']} in the outbox."
    return page(words, f"<main>{_crumbs('./')}<h1>{words}</h1></main>", status=404)


def _overview(store: Store, channel: str, asked_page: str) -> Response:
    counts = {name: sum(states.values()) for name, states in store.counts().items()}
    count = counts.get(channel, 0) if channel else sum(counts.values())
    pages = Pages(count, asked_page)
    shown = store.latest(channel, first=pages.first, count=Pages.LENGTH)
    now = datetime.now(UTC)
    items = "".join(_item(message, now) for message in shown)
    listed = f'<ul class="entries">{items}</ul>' if items else '<p class="muted">No message has come yet.</p>'
    channels = [("", f"All {sum(counts.values()):,}"), *((name, f"{_name(name)} {counts[name]:,}") for name in counts)]
    body = (
        f'<main><nav class="crumbs"><a href="/">cdp sandbox</a></nav><h1>Outbox</h1>'
        '<p class="muted">What the stand-ins for mail and message providers delivered. Nothing has left this machine.'
        f"</p>{tabs('Channels', [(query(channel=name), words, name == channel) for name, words in channels])}"
        f"{listed}{pages.links(channel=channel)}</main>"
    )
    return page("Outbox", body, style=TABS + LIST)


def _item(message: Message, now: datetime) -> str:
    return (
        f'<li><a href="./{message.number}"><span class="muted">{_name(message.channel)}</span>'
        f"<strong>{escape(message.subject) or '(no subject)'}{_alarm(message)}</strong>"
        f'<span class="to">{escape(message.address)}</span>'
        f'<span class="muted">{time_of(message.at, now)}</span></a></li>'
    )


def _alarm(message: Message) -> str:
    if not message.accepted:
        return '<span class="alarm">Refused</span>'
    return f'<span class="alarm">Delivered {message.delivered} times</span>' if message.delivered > 1 else ""


def _message(message: Message, content: bytes, show: str) -> Response:
    readable = read(message.channel, content)
    kinds = {"": "Message", "text": "Text", "headers": "Headers", "raw": "Raw"}
    if message.channel != EMAIL:
        kinds = {"": "Message", "headers": "Fields", "raw": "Raw"}
    show = show if show in kinds else ""
    views = tabs("Views", [(f"./{message.number}{query(show=each)}", kinds[each], each == show) for each in kinds])
    title = message.subject or "(no subject)"
    if message.channel != EMAIL:
        title = f"{_NAMES.get(message.channel, message.channel)} to {message.address}"
    body = (
        f"<main>{_crumbs('./')}<header><div><h1>{escape(title)}</h1></div>"
        f"{_button(message, readable)}</header>{_facts(message, readable)}{views}"
        f"{_view(message, readable, content, show)}</main>"
    )
    return page(title, body, style=TABS + RECORD + _MESSAGE_STYLE)


def _button(message: Message, readable: Readable) -> str:
    if not readable.unsubscribe:
        return ""
    button = '<button class="button">Unsubscribe</button>'
    return f'<form method="post" action="./{message.number}/unsubscribe">{button}</form>'


def _facts(message: Message, readable: Readable) -> str:
    key = f"<code>{escape(message.key)}</code>"
    if not message.accepted:
        key += ' <span class="alarm">Refused after all of it had come: nobody got it.</span>'
    elif message.delivered > 1:
        key += f' <span class="alarm">Delivered {message.delivered} times to this address.</span>'
    if message.asked > 1:
        again = count_of(message.asked - 1, "time")
        key += f" Asked for again {again}, and answered from memory: it was delivered once."
    return facts(
        [
            ("From", escape(readable.sender)),
            ("To", escape(message.address)),
            ("Channel", _name(message.channel)),
            ("Came", time_of(message.at, datetime.now(UTC))),
            ("Key", key),
        ]
    )


def _view(message: Message, readable: Readable, content: bytes, show: str) -> str:
    if show == "raw":
        return f"<pre>{escape(content.decode(errors='backslashreplace'))}</pre>"
    if show == "headers":
        rows = "".join(
            f"<tr><th scope=row>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in readable.headers
        )
        return f'<div class="box" tabindex="0"><table>{rows}</table></div>'
    if message.channel != EMAIL:
        sender = escape(readable.sender) or _name(message.channel)
        return f'<div class="phone"><p>{sender}</p><div class="bubble">{_linked(readable.text)}</div></div>'
    if show == "" and readable.html:
        return f'<iframe sandbox="" title="The message" srcdoc="{escape(readable.html)}"></iframe>'
    return f"<pre>{_linked(readable.text)}</pre>"


def _unsubscribed(message: Message, address: str) -> Response:
    """Do as a mail client does (RFC 8058): POST without cookies, and follow no redirect."""
    try:
        answer = httpx2.post(address, data=_ONE_CLICK, timeout=_SECONDS, follow_redirects=False, trust_env=False)
        took, words = answer.is_success, f"The platform answered {answer.status_code}."
    except (httpx2.HTTPError, httpx2.InvalidURL):
        took, words = False, "The platform's web app does not answer: `make up` starts it."
    title = "Unsubscribed" if took else "Not unsubscribed"
    body = (
        f"<main>{_crumbs('../')}<h1>{title}</h1><p>{escape(words)}</p>"
        f'<p><a class="button" href="../{message.number}">Back to the message</a></p></main>'
    )
    return page(title, body)


def _linked(text: str) -> str:
    """A text as HTML in which addresses of the web are links."""
    parts, start = [], 0
    for found in _LINK.finditer(text):
        link = escape(found[0])
        parts += [escape(text[start : found.start()]), f'<a href="{link}" rel="noreferrer">{link}</a>']
        start = found.end()
    return "".join([*parts, escape(text[start:])])


def _crumbs(outbox: str) -> str:
    return f'<nav class="crumbs"><a href="/">cdp sandbox</a><a href="{outbox}">Outbox</a></nav>'


def _name(channel: str) -> str:
    return escape(_NAMES.get(channel, channel))
