"""Pages for people: which messages were delivered, and each as the person who got it sees it.

`/` lists them, the latest first (`?channel=NAME&page=NUMBER`); `/NUMBER` is one (`?show=text|headers|raw`), and
`POST /NUMBER/unsubscribe` does what the unsubscribe button of a mail client does. A message can contain anything: its
HTML is in a frame that runs no script, sends no form and loads nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote, urlencode

import httpx2
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cdp_sandbox.outbox.message import Readable, read
from cdp_sandbox.outbox.reports import EMAIL
from cdp_sandbox.outbox.store import Message, Store
from cdp_sandbox.style import count_of, page, time_of

MESSAGES_OF_A_PAGE = 50

_NUMBER = re.compile(r"[0-9]{1,9}")
_LINK = re.compile(r"https?://[^\s<>\"]+[^\s<>\".,;:!?)\]]")
_ONE_CLICK = {"List-Unsubscribe": "One-Click"}
_SECONDS = 10
# A person's words for channels; any other has its name.
_NAMES = {EMAIL: "E-mail", "sms": "SMS", "zalo": "Zalo"}

_TABS_STYLE = """
.tabs { display: flex; flex-wrap: wrap; column-gap: .25rem; margin-top: 1rem; border-bottom: 1px solid var(--line);
  font-size: .9375rem; }
.tabs a { display: flex; align-items: center; min-width: 44px; min-height: 44px; padding: 3px .75rem 0;
  color: var(--muted); text-decoration: none; border-bottom: 3px solid transparent; margin-bottom: -1px; }
.tabs a:hover { color: var(--ink); border-color: var(--line); }
.tabs a[aria-current] { color: var(--accent); font-weight: 600; border-color: var(--accent); }
.tabs :focus-visible { outline-offset: -4px; }
.alarm { color: var(--alarm); font-weight: 600; }
"""

_LIST_STYLE = """
.messages { list-style: none; margin: 1rem 0 0; padding: 0; border: 1px solid var(--line); border-radius: 10px;
  background: var(--surface); overflow: hidden; }
.messages li + li { border-top: 1px solid var(--line); }
.messages a { display: grid; grid-template-columns: 4rem minmax(0, 1fr) minmax(0, 14rem) auto; align-items: baseline;
  gap: .125rem 1rem; min-height: 44px; padding: .625rem 1rem; color: inherit; text-decoration: none;
  font-size: .875rem; }
.messages a:hover { background: var(--tint); }
.messages a:focus-visible { outline-offset: -2px; }
.messages strong { font-size: 1rem; font-weight: 600; color: var(--accent); }
.messages .alarm { display: block; font-size: .8125rem; }
.pager { display: flex; gap: .5rem; align-items: center; justify-content: space-between; margin-top: 1rem;
  font-size: .875rem; }
main { max-width: 64rem; }
@media (max-width: 40rem) {
  .messages a { grid-template-columns: 1fr auto; }
  .messages strong { grid-area: 2 / 1 / 3 / 3; }
  .messages .to { grid-area: 3 / 1 / 4 / 3; }
}
"""

_MESSAGE_STYLE = """
main { max-width: 64rem; }
header { display: flex; flex-wrap: wrap; align-items: start; gap: .5rem 1rem; }
header div { flex: 1 1 18rem; min-width: 0; }
button.button { font: inherit; font-size: .875rem; cursor: pointer; }
dl { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: .125rem 1rem; margin: .75rem 0 0;
  font-size: .875rem; }
dt { color: var(--muted); }
dd { margin: 0; }
iframe { display: block; width: 100%; height: max(24rem, 70vh); margin-top: 1rem; border: 1px solid var(--line);
  border-radius: 10px; background: #fff; color-scheme: light; }
pre { margin: 1rem 0 0; padding: 1rem; border: 1px solid var(--line); border-radius: 10px; background: var(--surface);
  white-space: pre-wrap; font: .875rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.box { overflow-x: auto; margin-top: 1rem; border: 1px solid var(--line); border-radius: 10px;
  background: var(--surface); }
.box table { width: 100%; }
.box tr:last-child > * { border-bottom: 0; }
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
    last = max(1, -(-count // MESSAGES_OF_A_PAGE))
    number = min(max(1, int(asked_page)), last) if _NUMBER.fullmatch(asked_page) else 1
    shown = store.latest(channel, first=(number - 1) * MESSAGES_OF_A_PAGE, count=MESSAGES_OF_A_PAGE)
    now = datetime.now(UTC)
    items = "".join(_item(message, now) for message in shown)
    listed = f'<ul class="messages">{items}</ul>' if items else '<p class="muted">No message has come yet.</p>'
    tabs = [("", f"All {sum(counts.values()):,}"), *((name, f"{_name(name)} {counts[name]:,}") for name in counts)]
    body = (
        f'<main><nav class="crumbs"><a href="/">cdp sandbox</a></nav><h1>Outbox</h1>'
        '<p class="muted">What the stand-ins for mail and message providers delivered. Nothing has left this machine.'
        f"</p>{_tabs('Channels', [(_query(channel=name), words, name == channel) for name, words in tabs])}"
        f"{listed}{_pager(channel, number, last)}</main>"
    )
    return page("Outbox", body, style=_TABS_STYLE + _LIST_STYLE)


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
    tabs = _tabs("Views", [(f"./{message.number}{_query(show=each)}", kinds[each], each == show) for each in kinds])
    title = message.subject or "(no subject)"
    if message.channel != EMAIL:
        title = f"{_NAMES.get(message.channel, message.channel)} to {message.address}"
    body = (
        f"<main>{_crumbs('./')}<header><div><h1>{escape(title)}</h1></div>"
        f"{_button(message, readable)}</header>{_facts(message, readable)}{tabs}"
        f"{_view(message, readable, content, show)}</main>"
    )
    return page(title, body, style=_TABS_STYLE + _MESSAGE_STYLE)


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
    facts = [
        ("From", escape(readable.sender)),
        ("To", escape(message.address)),
        ("Channel", _name(message.channel)),
        ("Came", time_of(message.at, datetime.now(UTC))),
        ("Key", key),
    ]
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{value}</dd>' for name, value in facts if value)}</dl>"


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


def _tabs(label: str, tabs: Sequence[tuple[str, str, bool]]) -> str:
    links = "".join(
        f'<a href="{href}"{" aria-current=page" if is_current else ""}>{words}</a>' for href, words, is_current in tabs
    )
    return f'<nav class="tabs" aria-label="{label}">{links}</nav>'


def _pager(channel: str, number: int, last: int) -> str:
    if last == 1:
        return ""

    def button(words: str, target: int) -> str:
        if not 1 <= target <= last:
            return "<span></span>"
        return f'<a class="button" href="{_query(channel=channel, page=target)}">{words}</a>'

    links = f"{button('Later', number - 1)}<span>Page {number:,} of {last:,}</span>{button('Earlier', number + 1)}"
    return f'<nav class="pager" aria-label="Pages">{links}</nav>'


def _crumbs(outbox: str) -> str:
    return f'<nav class="crumbs"><a href="/">cdp sandbox</a><a href="{outbox}">Outbox</a></nav>'


def _name(channel: str) -> str:
    return escape(_NAMES.get(channel, channel))


def _query(**parameters: str | int) -> str:
    return escape(f"?{urlencode({name: value for name, value in parameters.items() if value}, quote_via=quote)}")
