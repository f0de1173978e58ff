"""A provider that takes each message as a signed HTTP request: a gateway of SMS, Zalo or push, or an adapter of one."""

import json
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Annotated, Literal, Self
from urllib.parse import quote, urlsplit

import httpx2
from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from cdp_platform.campaigns.channels.batches import HandedIn, hand_in
from cdp_platform.campaigns.channels.contract import Answer, Outgoing, Verdict
from cdp_platform.campaigns.channels.entry import ChannelEntry, Letter, Occasion, Writer
from cdp_platform.configuration_file import wrong
from cdp_platform.errors import ConfigurationError, SourceError, UnavailableError
from cdp_platform.ops import signatures
from cdp_platform.resources import network, outside

_VERDICTS = {
    outside.Verdict.RETRY: Verdict.NOT_TAKEN,
    outside.Verdict.WAIT: Verdict.REST,
    outside.Verdict.UNKNOWN: Verdict.UNKNOWN,
    outside.Verdict.REFUSED: Verdict.FAILED,
    outside.Verdict.GIVE_UP: Verdict.OURS,
}
_NEVER_CONNECTED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
# Too many requests, or an address or a secret that is wrong for every message.
_FOR_ALL = {Verdict.REST, Verdict.OURS}
# Words of a provider about a key; anything else is not settled yet.
_STATES = {
    **dict.fromkeys(("accepted", "sent", "delivered"), Verdict.ACCEPTED),
    **dict.fromkeys(("failed", "rejected"), Verdict.FAILED),
}
_KEY = "{key}"


def _web_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        fits = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        fits = False
    if not fits or not value.isprintable() or " " in value:
        raise PydanticCustomError("address", "is no address. Write it as https://HOST/PATH, without user and password")
    return value


class WebhookChannel(ChannelEntry):
    """An address that takes messages as JSON.

    Attributes:
        address: each message is POSTed there.
        secret: signs each request (`ops.signatures`).
        status_url: tells what became of a message; ``{key}`` in it stands for the key. '' if the provider cannot tell.
        sender: the name or number that messages are from, if the provider wants one; ``from`` in the file.
        timeout_seconds: longest wait for an answer.
    """

    kind: Literal["webhook"]
    address: Annotated[str, AfterValidator(_web_address)]
    secret: SecretStr = Field(min_length=1)
    status_url: str = ""
    sender: str = Field(default="", alias="from", max_length=100)
    timeout_seconds: float = Field(default=30, gt=0, le=600)

    @model_validator(mode="after")
    def _with_the_key(self) -> Self:
        if self.status_url:
            if _KEY not in self.status_url:
                raise wrong("status_url", "does not say where the key goes. Write {key} there")
            try:
                _web_address(self.status_url.replace(_KEY, "key"))
            except PydanticCustomError as error:
                raise wrong("status_url", error.message()) from None
        return self

    @property
    def can_answer(self) -> bool:
        """Whether it can be asked what became of a key."""
        return bool(self.status_url)

    def writer(self, occasion: Occasion) -> Writer:
        """Writes the messages of one event as JSON: ``key``, ``to``, ``text``, ``unsubscribe``, ``event``, ``from``."""
        same = {"event": occasion.event_id, **({"from": self.sender} if self.sender else {})}

        def write(letter: Letter) -> bytes:
            text = "".join(letter.text)
            said = {"key": letter.key, "to": letter.address, "text": text, "unsubscribe": letter.opt_out, **same}
            return json.dumps(said, ensure_ascii=False).encode()

        return write

    @contextmanager
    def open(self) -> Generator["WebhookSender"]:
        """A sender with up to ``connections`` connections."""
        limits = httpx2.Limits(max_connections=self.connections, max_keepalive_connections=self.connections)
        with (
            httpx2.Client(timeout=self.timeout_seconds, limits=limits, follow_redirects=False) as client,
            ThreadPoolExecutor(self.connections, thread_name_prefix="webhook") as threads,
        ):
            yield WebhookSender(client, threads, self)

    def ask(self, key: str) -> Answer | None:
        """The answer about a key; None where the provider does not know it.

        Raises:
            SourceError: it did not answer, or not as agreed.
        """
        response = self._got(self.status_url.replace(_KEY, quote(key, safe="")))
        if response.status_code == httpx2.codes.NOT_FOUND:
            return None
        if not response.is_success:
            raise UnavailableError(
                f"{self._shown} does not tell what became of a message: HTTP {response.status_code}."
            )
        try:
            state = response.json()["state"]
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(
                f"{self._shown} tells no `state` of a message: have its provider look at status_url.", transient=False
            ) from error
        return Answer(_STATES.get(state, Verdict.UNKNOWN), f"HTTP {response.status_code}", f"state {str(state)[:40]}")

    def look(self) -> str:
        """Send a signed GET to the address; whatever it answers but a redirect, there is somebody.

        Raises:
            ConfigurationError: it redirects, or wants another signature.
            UnavailableError: it cannot be reached now.
        """
        response = self._got(self.address)
        if response.is_redirect or response.status_code in {httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN}:
            raise ConfigurationError(
                f"{self._shown} answers HTTP {response.status_code}: correct address and secret in channels.yaml."
            )
        if response.is_server_error:
            raise UnavailableError(f"{self._shown} answers HTTP {response.status_code}. Try again later.")
        return f"{urlsplit(self.address).netloc} answers, requests are signed"

    @property
    def _shown(self) -> str:
        return f"The provider of channel {self.name}, {urlsplit(self.address).hostname},"

    def _got(self, address: str) -> httpx2.Response:
        headers = signatures.headers(self.secret.get_secret_value(), b"")
        try:
            return httpx2.get(address, headers=headers, timeout=self.timeout_seconds, follow_redirects=False)
        except httpx2.HTTPError as error:
            raise UnavailableError(
                f"{self._shown} cannot be reached: {network.reason(error)}. Try again later."
            ) from error


class WebhookSender:
    """Open connections to the address."""

    def __init__(self, client: httpx2.Client, threads: ThreadPoolExecutor, channel: WebhookChannel) -> None:
        self._client = client
        self._threads = threads
        self._address = channel.address
        self._secret = channel.secret.get_secret_value()
        self._connections = channel.connections

    def send(self, batch: Sequence[Outgoing]) -> Sequence[Answer]:
        """POST these messages; as `contract.Sender.send`."""
        return hand_in(self._threads, [self._sent] * self._connections, batch)

    def _sent(self, message: Outgoing) -> HandedIn:
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": message.key,
            **signatures.headers(self._secret, message.content),
        }
        try:
            response = self._client.post(self._address, content=message.content, headers=headers)
        except _NEVER_CONNECTED as error:
            answer = Answer(Verdict.NOT_TAKEN, reason=network.reason(error))
            return HandedIn(answer, answer)
        except httpx2.HTTPError as error:
            reason = network.reason(error)
            # A provider that says nothing would keep each of the others waiting as long.
            rest = Answer(Verdict.NOT_TAKEN, reason=reason) if isinstance(error, httpx2.TimeoutException) else None
            return HandedIn(Answer(Verdict.UNKNOWN, reason=reason), rest)
        answer = _answer(response, message.address)
        return HandedIn(answer, answer if answer.verdict in _FOR_ALL else None)


def _answer(response: httpx2.Response, address: str) -> Answer:
    code = f"HTTP {response.status_code}"
    if response.is_success:
        return Answer(Verdict.ACCEPTED, code)
    verdict = _VERDICTS[outside.verdict(response.status_code)]
    # A refusal of this message may quote it.
    words = "" if verdict is Verdict.FAILED else outside.without_quotes(response.text[:500], [address])
    return Answer(
        verdict,
        code,
        words,
        outside.retry_after_seconds(response.headers.get("Retry-After")),
    )
