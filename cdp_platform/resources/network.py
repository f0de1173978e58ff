"""Reasons why a connection or request failed, in plain words and without parts of an address."""

import errno
import http.client
import socket
import ssl
from collections.abc import Iterator

_NO_WAY = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN}
_REFUSED = {errno.ECONNREFUSED}
_BROKEN_OFF = {errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE}

# Names of clients' error classes, which are not imported here; the more specific ones first.
_BY_NAME = {
    "InvalidSchema": "the address begins with neither http:// nor https://",
    "UnsupportedProtocol": "the address begins with neither http:// nor https://",
    "MissingSchema": "the address begins with neither http:// nor https://",
    "InvalidURL": "the address is not usable",
    "LocationParseError": "the address is not usable",
    "InvalidProxyURL": "the address of the proxy (HTTP_PROXY, HTTPS_PROXY) is not usable",
    "NameResolutionError": "the name of the host is not known (DNS)",
    "ProxyError": "the proxy (HTTP_PROXY, HTTPS_PROXY) refuses the connection",
    "ConnectTimeoutError": "no answer to the attempt to connect",
    "ConnectTimeout": "no answer to the attempt to connect",
    "ReadTimeoutError": "the connection is accepted, but no answer comes in time",
    "ReadTimeout": "the connection is accepted, but no answer comes in time",
    "WriteTimeout": "the connection is accepted, but the server does not read",
    "TooManyRedirects": "it redirects in a circle",
    "ChunkedEncodingError": "the answer breaks off",
    "IncompleteRead": "the answer breaks off",
    "ContentDecodingError": "the answer is not encoded as its header says",
    "RemoteProtocolError": "the answer is not HTTP",
    "InvalidJSONError": "the answer is not JSON",
    "JSONDecodeError": "the answer is not JSON",
}


def reason(error: BaseException) -> str:
    """The reason of a failure as the end of a sentence: the first known cause, else the name of the error's class."""
    chain = list(_chain(error))
    for each in chain:
        if (known := _of_the_system(each)) is not None:
            return known
    names = [type(each).__name__ for each in chain]
    for name, words in _BY_NAME.items():
        if name in names:
            return words
    if any(isinstance(each, TimeoutError) for each in chain):
        return "no answer in time"
    if any(isinstance(each, ConnectionError) for each in chain):
        return "the connection was broken off"
    return type(error).__name__


def _of_the_system(error: BaseException) -> str | None:  # noqa: PLR0911 (one per kind of error)
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not valid: {error.verify_message.rstrip('.')}"
        case ssl.SSLError() if "WRONG_VERSION_NUMBER" in str(error) or "HTTP_REQUEST" in str(error):
            return "it does not speak TLS: is it http:// and not https://?"
        case ssl.SSLError():
            return "TLS failed"
        case socket.gaierror():
            return "the name of the host is not known (DNS)"
        case http.client.BadStatusLine() if not isinstance(error, ConnectionError):
            return "the answer is not HTTP"
        case OSError() if error.errno in _REFUSED:
            return "nothing listens there (connection refused)"
        case OSError() if error.errno in _NO_WAY:
            return "there is no route to that network or host"
        case OSError() if error.errno in _BROKEN_OFF:
            return "the connection was broken off"
        case http.client.RemoteDisconnected():
            return "the connection was closed without an answer"
        case Exception() if "disconnected without sending a response" in str(error):
            # httpx2 has one class of error for this and for answers that are not HTTP.
            return "the connection was closed without an answer"
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, which clients keep as an argument, as ``reason``, or in Python's own chain."""
    waiting, seen = [error], set()
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        inner = [*each.args, getattr(each, "reason", None), each.__cause__, each.__context__]
        waiting += [one for one in inner if isinstance(one, BaseException)]
