"""The meaning of an SMTP server's replies for a delivery.

A reply is a code of RFC 5321, often with an enhanced code of RFC 3463 in its text, which says more and so goes first.
A reply to anything before the recipient is named cannot be about the recipient.
"""

import re

from cdp_platform.campaigns import status_codes
from cdp_platform.campaigns.channels.contract import Answer, Verdict
from cdp_platform.resources import outside

# The service closes, TLS or login is down for a while, too many messages.
_REST = {421, 454, 429}
# Login: needed, too weak, wrong, without encryption.
_LOGIN = {530, 534, 535, 538}
# The message is larger than the server or the mailbox takes.
_TOO_LARGE = 552
_SIZE = {"5.2.3", "5.3.4"}
_ADDRESS = re.compile(r"\S*@\S*")


def refusal(code: int, text: bytes | str, *, about_recipient: bool, address: str = "") -> Answer:
    """The answer that a reply of refusal is.

    Args:
        code: of the reply, 400 or more.
        text: of the reply.
        about_recipient: whether the recipient was named already.
        address: the recipient's, which the text may quote.
    """
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    enhanced = status_codes.found(words)
    shown = f"{code} {enhanced}".strip()
    said = _ADDRESS.sub("(address)", outside.without_quotes(words, [address, address.rpartition("@")[0]]))
    return Answer(_verdict(code, enhanced, about_recipient=about_recipient), shown, said)


def _verdict(code: int, enhanced: str, *, about_recipient: bool) -> Verdict:
    if code in _REST:
        return Verdict.REST
    later = enhanced.startswith("4.") or (code < 500 and not enhanced.startswith("5."))
    if about_recipient:
        return Verdict.LATER if later else _of_recipient(code, enhanced)
    if code == _TOO_LARGE or enhanced in _SIZE:
        return Verdict.FAILED
    return Verdict.REST if later else Verdict.OURS


def _of_recipient(code: int, enhanced: str) -> Verdict:
    if status_codes.is_bad_address(enhanced):
        return Verdict.BAD_ADDRESS
    if status_codes.is_about_us(enhanced) or code in _LOGIN:
        return Verdict.OURS
    return Verdict.FAILED
