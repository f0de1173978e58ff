"""Pages as people see them: plain HTML with one style sheet, no script, no cookie, nothing from elsewhere."""

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2433; --soft: #5b6475; --paper: #fff; --ground: #f2f4f8; --line: #d5dae3;
  --act: #1f5fd0; --on-act: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf2; --soft: #a4adbd; --paper: #1a1f2b; --ground: #10141c;
  --line: #353d4e; --act: #7eaaff; --on-act: #0b1220; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--ground);
  color: var(--ink); font: 1.0625rem/1.55 system-ui, sans-serif; }
main { width: 100%; max-width: 34rem; padding: clamp(1.25rem, 5vw, 2.5rem); background: var(--paper);
  border: 1px solid var(--line); border-radius: 1rem; }
h1 { margin: 0 0 .75rem; font-size: 1.5rem; line-height: 1.25; text-wrap: balance; }
p { margin: 0 0 1rem; }
p:last-child { margin-bottom: 0; }
.soft { color: var(--soft); font-size: .9375rem; }
button { width: 100%; min-height: 3rem; padding: .5rem 1.25rem; border: 0; border-radius: .625rem;
  background: var(--act); color: var(--on-act); font: inherit; font-weight: 600; cursor: pointer; }
a { display: inline-block; padding: .75rem 0; color: var(--act); }
button:focus-visible, a:focus-visible, input:focus-visible { outline: 3px solid var(--act); outline-offset: 3px; }
form { margin: 1.25rem 0; }
fieldset { margin: 0 0 1rem; padding: .5rem 1rem .75rem; border: 1px solid var(--line); border-radius: .625rem; }
legend { padding: 0 .375rem; font-weight: 600; }
label { display: flex; align-items: center; gap: .625rem; min-height: 2.75rem; cursor: pointer; }
table { width: 100%; margin: 0 0 1rem; border-collapse: collapse; font-size: .875rem; }
th, td { padding: .375rem .5rem .375rem 0; border-bottom: 1px solid var(--line); text-align: left;
  white-space: nowrap; }
td.long { white-space: normal; overflow-wrap: anywhere; }
input { width: 1.25rem; height: 1.25rem; margin: 0; flex: none; accent-color: var(--act); }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every answer: nothing else is loaded or may show the page, and the token in the address goes nowhere."""

AGAIN = ({"error": "Try again in a minute."}, 503, {"Retry-After": "60"})
"""The answer to a program while nothing can be done: content, status and headers."""

# Fields of the form of preferences, and what its choices mean.
FIELD = "channel."
WANTED = {"yes": True, "no": False}


def page(title: str, *paragraphs: str, status: int = 200) -> HTMLResponse:
    """A page with a heading and paragraphs of HTML."""
    content = "\n".join(paragraphs)
    return HTMLResponse(
        f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{content}
</main>
</body>
</html>
""",
        status,
        HEADERS,
    )


def wants_json(request: Request) -> bool:
    """Whether a program asks, and no browser."""
    return "application/json" in request.headers.get("Accept", "")


def stop(token: str) -> HTMLResponse:
    """Asks whether messages shall stop."""
    return page(
        "Stop these messages?",
        "<p>You will get no more messages like the one that led you here.</p>",
        _form(_hidden("List-Unsubscribe", "One-Click"), "Unsubscribe"),
        f'<p class="soft">Or <a href="{_preferences(token)}">choose what you get</a>.</p>',
    )


def stopped(token: str) -> HTMLResponse:
    """Says that they have stopped."""
    return page(
        "You are unsubscribed",
        "<p>You will get no more messages like the one that led you here. One that is on its way may still arrive.</p>",
        f'<p class="soft">Not what you wanted? <a href="{_preferences(token)}">Choose what you get</a>.</p>',
    )


def preferences(channels: Iterable[str]) -> HTMLResponse:
    """Asks what its reader wants to get. Shows nothing of what is set: a link can be passed on."""
    return page(
        "What would you like to get?",
        "<p>Choose for each way that messages reach you.</p>",
        _form("\n".join(map(_choice, channels)), "Save"),
        '<p class="soft">This page does not show what you chose before, because others may have this link. '
        "What you leave as it is does not change.</p>",
    )


def saved() -> HTMLResponse:
    """Says that the choices hold."""
    return page(
        "Saved",
        "<p>Your choices hold from now on. One message that is on its way may still arrive.</p>",
        '<p class="soft">Where you asked for messages at another address or number than the one that led you here, '
        "we ask there first whether you want them.</p>",
    )


def confirm() -> HTMLResponse:
    """Asks whether messages are wanted."""
    return page(
        "Do you want these messages?",
        "<p>Somebody asked for them with your address. Confirm if that was you.</p>",
        _form(_hidden("confirm", "yes"), "Yes, send me messages"),
        '<p class="soft">If it was not you, close this page, and you will get none.</p>',
    )


def confirmed() -> HTMLResponse:
    """Says thank you."""
    return page("Thank you", "<p>You have confirmed. You can unsubscribe by a link in every message.</p>")


def trouble() -> HTMLResponse:
    """Says that nothing could be done now."""
    return page(
        "Please try again", "<p>This cannot be done right now. Please try again in a few minutes.</p>", status=503
    )


def absent(status: int) -> HTMLResponse:
    """Says that there is no such page."""
    return page(
        "There is nothing here", "<p>The address may be cut off. Open the link in the message again.</p>", status=status
    )


def _form(fields: str, button: str) -> str:
    # Without an action a form goes to the address of its page.
    return f'<form method="post">\n{fields}\n<button type="submit">{escape(button)}</button>\n</form>'


def _hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'


def _choice(channel: str) -> str:
    name = escape(FIELD + channel)
    options = (("", "Leave as it is", " checked"), ("yes", "Send me messages", ""), ("no", "Send me none", ""))
    inputs = "\n".join(
        f'<label><input type="radio" name="{name}" value="{value}"{checked}> {escape(words)}</label>'
        for value, words, checked in options
    )
    return f"<fieldset>\n<legend>{escape(_shown(channel))}</legend>\n{inputs}\n</fieldset>"


def _shown(channel: str) -> str:
    """The name of a channel as people write it: Email, SMS, Zalo."""
    return channel.upper() if len(channel) <= len("sms") else channel[0].upper() + channel[1:]


def _preferences(token: str) -> str:
    # Beside this page, wherever a proxy has put the web app.
    return f"../p/{quote(token, safe='')}"
