"""The address of each call that its phone numbers are delivered to.

The provider signs nothing, so the secret in the address is all that says that a delivery is the provider's. Whatever is
wrong with an address, the answer is the same.
"""

import psycopg
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from cdp_platform.enrichment import phones
from cdp_platform.errors import BusyError, UnavailableError, UnknownTenantError
from cdp_platform.ops import tenants
from cdp_platform.web import pages
from cdp_platform.web.bodies import body_of
from cdp_platform.web.database import Database

MOST_BYTES = 1 << 20


def routes(database: Database) -> list[Route]:
    """The route of deliveries of phone numbers."""

    async def deliver(request: Request) -> JSONResponse:
        tenant_id, call_id, secret = (request.path_params[name] for name in ("tenant", "call", "secret"))
        body = await body_of(request, at_most=MOST_BYTES)

        def work(connection: psycopg.Connection) -> phones.Taken:
            tenants.get(connection, tenant_id)
            return phones.take(connection, tenant_id, call_id, secret, body)

        try:
            taken = await database.run(work)
        except UnknownTenantError:
            taken = "refused"
        except (UnavailableError, BusyError):
            return JSONResponse(*pages.AGAIN)
        if taken == "refused":
            raise HTTPException(404, "There is no such address.")
        if taken == "unreadable":
            raise HTTPException(400, "The delivery cannot be read.")
        return JSONResponse({"outcome": taken})

    return [Route("/phones/{tenant}/{call:uuid}/{secret}", deliver, methods=["POST"])]
