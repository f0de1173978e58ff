"""Bodies of requests, which may be too large, or never end."""

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request

_SECONDS = 15


async def body_of(request: Request, *, at_most: int) -> bytes:
    """The whole body, of at most so many bytes.

    Raises:
        HTTPException: it is larger (413), or did not come in time (408). The connection then ends.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > at_most:
                    raise HTTPException(413, f"Send at most {at_most} bytes.", {"Connection": "close"})
    except TimeoutError:
        raise HTTPException(408, "The body did not come in time.", {"Connection": "close"}) from None
    return bytes(body)
