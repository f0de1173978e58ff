"""The API of Apollo.io: people are found for credits, and what is left of credits and limits is told for nothing.

Apollo has no idempotency key: who asks twice pays twice. So the client never repeats a request, and its errors say
whether Apollo can have charged for one: nothing was done (`UnavailableError`, `PacedError`, `RefusedError`,
`ConfigurationError`), or nobody knows (`OutcomeUnknownError`). The caller takes a turn at the account's gate for each
request. No error quotes the key, a person or the address of a webhook.
"""

import hashlib
import logging
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import httpx2

from cdp_platform.errors import (
    ConfigurationError,
    OutcomeUnknownError,
    PacedError,
    RefusedError,
    SourceError,
    UnavailableError,
)
from cdp_platform.resources import apollo_answers as answers
from cdp_platform.resources import network, outside
from cdp_platform.resources.apollo_answers import BulkAnswer, UnreadableError

_NEVER_CONNECTED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
_LEFT = {60: "x-minute-requests-left", 3600: "x-hourly-requests-left", 86_400: "x-24-hour-requests-left"}
_LENGTHS = {"minute": 60, "hour": 3600, "day": 86_400}
_NO_CREDITS = re.compile(r"\b(insufficient|not enough|out of|no)\b[^.]{0,40}\bcredits?\b", re.IGNORECASE)
# An answer about ten people has about 100 kB.
_MOST_BYTES = 16 * 2**20
_UNSAID_WAIT_SECONDS = 60.0
_MOST_QUOTED = 120
_UNKNOWN_KEY = "Apollo does not know the key in APOLLO_API_KEY. Set one that is active in Apollo's settings."

# It notes the whole address of each request, and with it the secret in the address of a webhook.
logging.getLogger("httpx2").setLevel(logging.WARNING)


class ContradictoryAnswerError(OutcomeUnknownError):
    """An answer is about other people than those who were asked about. It was charged, and nobody may be given it.

    Attributes:
        request_id: Apollo's id of the request.
        credits: what it cost; None where Apollo does not say.
    """

    def __init__(self, message: str, *, request_id: int | None, credits: Decimal | None) -> None:  # noqa: A002
        super().__init__(message)
        self.request_id = request_id
        self.credits = credits


@dataclass(frozen=True)
class Balance:
    """Credits of one type in the current billing cycle; ``left`` is None where the account has no limit."""

    consumed: Decimal
    left: Decimal | None


@dataclass(frozen=True)
class Credits:
    """The account's credits.

    Attributes:
        lead: for people and addresses.
        direct_dial: for phone numbers.
        cycle: when the billing cycle began, as Apollo writes it; '' if it does not say. Counts of two cycles cannot be
            compared.
    """

    lead: Balance
    direct_dial: Balance
    cycle: str

    @property
    def consumed(self) -> Decimal:
        """Credits of both types that were used in this cycle."""
        return self.lead.consumed + self.direct_dial.consumed


@dataclass(frozen=True)
class Window:
    """Requests of one window; None where it has no limit."""

    limit: int | None
    left: int | None


@dataclass(frozen=True)
class WebhookResult:
    """The delivery to a webhook, which Apollo keeps for 30 days.

    Attributes:
        state: whether it is there; ``pending`` passes, the others are final.
        payload: the delivery, if it is there.
        retry_after_seconds: when to ask again for a pending one.
    """

    state: Literal["delivered", "pending", "unknown", "expired", "invalid"]
    payload: Mapping[str, Any] | None = None
    retry_after_seconds: float | None = None


_RESULT_STATES: dict[str, Literal["pending", "unknown", "expired", "invalid"]] = {
    "result_pending": "pending",
    "request_id_unknown": "unknown",
    "request_id_expired": "expired",
    "invalid_request_id": "invalid",
}


def account_of(key: str) -> str:
    """The name of the account that a key belongs to, for tables and gates: it does not tell the key."""
    return hashlib.sha256(b"apollo " + key.encode()).hexdigest()[:16]


class Apollo(AbstractContextManager["Apollo"]):
    """Connections to Apollo.

    Args:
        key: the key of the API.
        base_url: scheme and host.
        timeout: longest wait in seconds for a connection, and for a whole answer.

    Raises:
        ConfigurationError: there is no key, or it cannot be one.
    """

    def __init__(self, key: str, base_url: str, timeout: float = 30.0) -> None:
        if not re.fullmatch(r"[!-~]+", key):
            what = "is no key: it has spaces or other characters that no key has" if key else "is not set"
            raise ConfigurationError(f"APOLLO_API_KEY {what}. Create a key in Apollo's settings and set it.")
        self._key = key
        self._timeout = timeout
        self._http = httpx2.Client(
            base_url=f"{base_url.rstrip('/')}/api/v1/",
            headers={"x-api-key": key, "accept": "application/json", "cache-control": "no-cache"},
            timeout=timeout,
            follow_redirects=False,
        )

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def bulk_match(
        self,
        people: Sequence[Mapping[str, str]],
        *,
        personal_emails: bool,
        phones: bool,
        webhook_url: str | None = None,
    ) -> BulkAnswer:
        """Find people, for credits.

        Args:
            people: at most 10, each with what Apollo is to look for: ``name``, ``email``, ``domain`` and others.
            personal_emails: whether private addresses are wanted too.
            phones: whether phone numbers are wanted too, for more credits. They are posted to ``webhook_url`` later.
            webhook_url: unguessable, since Apollo signs nothing.

        Raises:
            PacedError, UnavailableError: nothing was done; later it may be.
            RefusedError: nothing was done, because of one of these people.
            ConfigurationError: nothing was done, and no request will be taken before a person acts.
            OutcomeUnknownError: it may have been done.
            ContradictoryAnswerError: it was done and charged, and the answer is about other people.
        """
        query = {"reveal_personal_emails": _flag(personal_emails), "reveal_phone_number": _flag(phones)}
        if phones:
            query["webhook_url"] = webhook_url or ""
        sent = [text for person in people for text in person.values()] + [webhook_url or ""]
        response, body = self._asked("POST", "people/bulk_match", sent, params=query, json={"details": list(people)})
        if not response.is_success:
            raise self._refusal(response, body, sent)
        try:
            answer = answers.read(body)
            matches = answers.matches_of(answer)
            request_id, credits_ = answers.request_id_of(answer), answers.credits_of(answer)
            if wrong := answers.contradiction(people, matches):
                raise ContradictoryAnswerError(
                    f"Apollo's answer is about other people: {wrong}. It was charged and is not used. Tell Apollo.",
                    request_id=request_id,
                    credits=credits_,
                )
            found = answers.people_of(answer, matches)
        except UnreadableError as error:
            raise OutcomeUnknownError(
                f"Apollo's answer cannot be read: {error}. It may have been charged. Is there a proxy that answers?"
            ) from None
        return BulkAnswer(request_id, credits_, found, _phones(found), _left(response.headers))

    def health(self) -> None:
        """Ask whether Apollo is well and knows the key; costs nothing.

        Raises:
            ConfigurationError: it does not know the key.
            UnavailableError: it cannot be reached, or is not well.
        """
        said = self._told("GET", "auth/health")
        if said.get("healthy") is not True:
            raise UnavailableError("Apollo says that it is not well. Try again later.")
        if said.get("is_logged_in") is not True:
            raise ConfigurationError(_UNKNOWN_KEY)

    def usage(self) -> dict[int, Window]:
        """The limits of `bulk_match`, by length of the window in seconds; asking costs nothing.

        Raises:
            ConfigurationError: the key may not ask.
            UnavailableError: no answer.
        """
        said = self._told("POST", "usage_stats/api_usage_stats", json={})
        # The names are JSON themselves: ["api/v1/people", "bulk_match"].
        found = [said[name] for name in said if re.findall(r"\w+", name)[-2:] == ["people", "bulk_match"]]
        of_bulk_match = found[0] if found and isinstance(found[0], dict) else {}
        windows = {}
        for length, seconds in _LENGTHS.items():
            if isinstance(window := of_bulk_match.get(length), dict):
                limit, left = (answers.number_of(window.get(name)) for name in ("limit", "left_over"))
                windows[seconds] = Window(*(None if number is None else int(number) for number in (limit, left)))
        return windows

    def credits(self) -> Credits:
        """The account's credits; asking costs nothing. Apollo counts a call within seconds.

        Raises:
            ConfigurationError: the key may not ask.
            UnavailableError: no answer.
        """
        said = self._told("POST", "usage_stats/credit_usage_stats", json={})
        stats, cycle = said.get("credit_usage_stats"), said.get("current_credit_cycle")
        balances = []
        for kind in ("lead_credit", "direct_dial_credit"):
            stat = stats.get(kind) if isinstance(stats, dict) else None
            consumed = answers.number_of(stat.get("consumed")) if isinstance(stat, dict) else None
            if consumed is None or not isinstance(stat, dict):
                raise UnavailableError(
                    f"Apollo does not tell how many credits of type {kind} were used. Try again later."
                )
            balances.append(Balance(consumed, answers.number_of(stat.get("left_over"))))
        return Credits(*balances, cycle=str(cycle.get("start_date", "")) if isinstance(cycle, dict) else "")

    def webhook_result(self, request_id: int) -> WebhookResult:
        """Ask for the delivery to the webhook of a request; costs nothing.

        Raises:
            ConfigurationError: the key may not ask.
            PacedError, UnavailableError: no answer.
        """
        response, body = self._asked("GET", f"webhook_result/{request_id}", [], is_free=True)
        try:
            said = answers.read(body)
        except UnreadableError:
            said = {}
        if response.is_success:
            # Apollo's `webhook_status` is about the post to us; the delivery is here in any case.
            payload = said.get("webhook_result")
            if not isinstance(payload, dict):
                raise UnavailableError("Apollo's answer has no delivery. Try again later.")
            return WebhookResult("delivered", payload)
        state = _RESULT_STATES.get(str(said.get("error_code") or said.get("error")))
        if state is None:
            raise self._refusal(response, body, [], is_free=True)
        wait = answers.number_of(said.get("retry_after_seconds"))
        return WebhookResult(state, retry_after_seconds=None if wait is None else float(wait))

    def _told(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        response, body = self._asked(method, path, [], is_free=True, **options)
        if not response.is_success:
            raise self._refusal(response, body, [], is_free=True)
        try:
            return answers.read(body)
        except UnreadableError as error:
            raise UnavailableError(f"Apollo's answer cannot be read: {error}. Try again later.") from None

    def _asked(
        self, method: str, path: str, sent: Sequence[str], *, is_free: bool = False, **options: Any
    ) -> tuple[httpx2.Response, bytes]:
        """Send a request and read the whole answer within the timeout, however slowly it comes."""
        deadline = time.monotonic() + self._timeout
        body = bytearray()
        try:
            with self._http.stream(method, path, **options) as response:
                for chunk in response.iter_bytes():
                    body += chunk
                    if time.monotonic() > deadline or len(body) > _MOST_BYTES:
                        why = "the answer is too large" if len(body) > _MOST_BYTES else "the answer takes too long"
                        raise _lost(why, is_free=is_free)
                return response, bytes(body)
        except _NEVER_CONNECTED as error:
            raise UnavailableError(f"Apollo cannot be reached: {network.reason(error)}. Try again later.") from None
        except httpx2.HTTPError as error:
            raise _lost(network.reason(error), is_free=is_free) from None

    def _refusal(
        self, response: httpx2.Response, body: bytes, sent: Sequence[str], *, is_free: bool = False
    ) -> SourceError | ConfigurationError:
        """The error of an answer that is no success."""
        status = response.status_code
        raw = answers.words_of(body)
        words = outside.without_quotes(raw, [*sent, self._key])[:_MOST_QUOTED]
        said = f"HTTP {status}{f', {words}' if words else ''}"
        wait = outside.retry_after_seconds(response.headers.get("retry-after"))
        verdict = outside.verdict(status)
        # Apollo's, or its proxy's, word for a request that nobody began.
        if status == httpx2.codes.SERVICE_UNAVAILABLE or verdict is outside.Verdict.RETRY:
            return UnavailableError(
                f"Apollo takes no requests now ({said}). Try again later.", retry_after_seconds=wait
            )
        if verdict is outside.Verdict.WAIT:
            return PacedError(
                f"Apollo takes no more requests for now ({said}). Try again later.",
                retry_after_seconds=_UNSAID_WAIT_SECONDS if wait is None else wait,
            )
        if verdict is outside.Verdict.UNKNOWN:
            return _lost(said, is_free=is_free)
        if (message := _to_do(status, raw, said, _endpoint(response))) is not None:
            return ConfigurationError(message)
        if verdict is outside.Verdict.REFUSED:
            return RefusedError(f"Apollo refuses the request ({said}). Correct or leave out who is in it.")
        return ConfigurationError(f"Apollo does not answer as its API ({said}). Is APOLLO_BASE_URL right?")


def _to_do(status: int, words: str, said: str, endpoint: str) -> str | None:
    """The advice to a person, without whom Apollo takes no request; None where this request alone is refused."""
    if status == httpx2.codes.UNAUTHORIZED:
        return _UNKNOWN_KEY
    if status == httpx2.codes.PAYMENT_REQUIRED or _NO_CREDITS.search(words):
        return (
            "Apollo has no credits left in this account. Buy credits there, or wait for its next billing cycle. Then "
            "run `cdp enrichment retry`."
        )
    if status == httpx2.codes.FORBIDDEN:
        return (
            f"Apollo does not let this key use {endpoint} ({said}). Give the key that endpoint in Apollo's settings, "
            "or choose a plan that has it."
        )
    if "RECORD_LIMIT_EXCEEDED" in words:
        return f"Apollo takes fewer people in a request ({said}). Lower APOLLO_MAX_CONTACTS_PER_REQUEST."
    if "webhook" in words.lower():
        return (
            f"Apollo does not take the address for phone numbers ({said}). Set CDP_WEB_URL to a public https address."
        )
    return None


def _lost(why: str, *, is_free: bool) -> SourceError:
    if is_free:
        return UnavailableError(f"Apollo gave no answer: {why}. Try again later.")
    advice = "Ask its counter of credits before you repeat it"
    return OutcomeUnknownError(f"Apollo gave no answer: {why}. It may have charged the request. {advice}.")


def _endpoint(response: httpx2.Response) -> str:
    # The id of a request may follow.
    return "/".join(response.request.url.path.removeprefix("/api/v1/").split("/")[:2])


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _left(headers: httpx2.Headers) -> dict[int, int]:
    said = {seconds: headers.get(name, "").strip() for seconds, name in _LEFT.items()}
    return {
        seconds: int(text) for seconds, text in said.items() if text.isascii() and text.isdecimal() and len(text) < 10
    }


def _phones(people: Sequence[answers.Person | None]) -> answers.Phones:
    states = {person.phones for person in people if person is not None}
    return "pending" if "pending" in states else "skipped" if "skipped" in states else "none"
