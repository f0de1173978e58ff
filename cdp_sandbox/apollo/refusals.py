"""Refusals in the shapes that Apollo has for them: a plain text, or JSON with one of four different fields."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response


class RefusalError(Exception):
    """A request that is refused.

    Attributes:
        status: The HTTP status.
        body: The JSON of the answer, or its text.
        reason: In a word, for the list of calls.
    """

    def __init__(self, status: int, body: dict[str, Any] | str, reason: str, headers: dict[str, str] | None = None):
        super().__init__(reason)
        self.status, self.body, self.reason, self._headers = status, body, reason, headers

    def response(self) -> Response:
        """The answer."""
        if isinstance(self.body, str):
            return Response(self.body, self.status, self._headers, media_type="text/plain")
        return Response(orjson.dumps(self.body), self.status, self._headers, media_type="application/json")


def bad_key() -> RefusalError:
    """401: the key is missing or unknown."""
    return RefusalError(401, "Invalid access credentials.", "bad_key")


def inaccessible(endpoint: str) -> RefusalError:
    """403: the plan, or the scope of the key, does not allow the endpoint."""
    message = f"api/v1/{endpoint} is not accessible with this api_key. Please refer to our API documentation."
    return RefusalError(403, {"error": message, "error_code": "API_INACCESSIBLE"}, "API_INACCESSIBLE")


def too_many_requests(endpoint: str, length: str, limit: int, seconds: int) -> RefusalError:
    """429: a window of the limits is full."""
    message = (
        f"The maximum number of api calls allowed for api/v1/{endpoint} is {limit} times per {length}. "
        "Please upgrade your plan from https://app.apollo.io/#/settings/plans/upgrade."
    )
    return RefusalError(429, {"message": message}, "too_many_requests", {"retry-after": str(seconds)})


def invalid(message: str, code: str = "INVALID_REQUEST") -> RefusalError:
    """400: the request is not one that the endpoint takes."""
    return RefusalError(400, {"error_code": code, "error_message": message}, code)


def too_many_people(most: int) -> RefusalError:
    """400: the batch is too large."""
    return invalid(f"You can enrich up to {most} records per request.", "RECORD_LIMIT_EXCEEDED")


def key_in_body() -> RefusalError:
    """422: the key is in the body, where Apollo once took it."""
    return RefusalError(422, {"error": "API key must be passed in the X-Api-Key header."}, "key_in_body")


def poisoned() -> RefusalError:
    """422: somebody in the batch cannot be looked up, so nobody is."""
    return RefusalError(422, {"errors": ["One of the details could not be processed."]}, "poison")


def out_of_credits() -> RefusalError:
    """422: the call would cost more credits than are left."""
    message = "You have insufficient credits. Please upgrade your plan."
    return RefusalError(422, {"error_message": message}, "out_of_credits")


def no_result(status: int, code: str, **more: Any) -> RefusalError:
    """400, 404 or 410: there is no result under a request id, not yet, or no longer."""
    return RefusalError(status, {"error_code": code, **more}, code)
