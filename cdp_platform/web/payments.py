"""The address that Stripe delivers events of payments to.

Stripe delivers an event again for three days until it is answered with 200, so that is the answer to every event that
is kept, also to one that is refused. What cannot be kept now is answered with 503.
"""

import logging
from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from cdp_platform.enrichment import payments, stripe_events
from cdp_platform.errors import BusyError, QueryError, UnavailableError, UnknownTenantError
from cdp_platform.ops import tenants
from cdp_platform.web import pages
from cdp_platform.web.bodies import body_of
from cdp_platform.web.database import Database

MOST_BYTES = 256 * 1024

_log = logging.getLogger(__name__)


def routes(database: Database, secrets: Sequence[str]) -> list[Route]:
    """The route of events of payments.

    Args:
        database: the warehouse.
        secrets: of the endpoint at Stripe, each of which may have signed.
    """

    async def pay(request: Request) -> JSONResponse:
        tenant_id = request.path_params["tenant"]
        body = await body_of(request, at_most=MOST_BYTES)
        if not stripe_events.is_signed(secrets, request.headers.get("Stripe-Signature", ""), body):
            raise HTTPException(400, "The event is not signed with a secret of this endpoint, or not fresh.")
        try:
            event = stripe_events.read(body)
            if event is None:
                await database.run(lambda connection: tenants.get(connection, tenant_id))
                return JSONResponse({"outcome": "ignored"})
            taken = await database.run(lambda connection: payments.take(connection, tenant_id, event))
        except QueryError as error:
            raise HTTPException(400, str(error)) from None
        except UnknownTenantError:
            raise HTTPException(404, "There is no such tenant.") from None
        except (UnavailableError, BusyError):
            return JSONResponse(*pages.AGAIN)
        if taken.outcome == "refused" and not taken.known:
            _log.warning("A payment for tenant %s was refused: %s", tenant_id, taken.reason)
        return JSONResponse({"outcome": taken.outcome, "reason": taken.reason, "known": taken.known})

    return [Route("/payments/{tenant}", pay, methods=["POST"])]
