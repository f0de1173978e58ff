"""The preview of a search, for whoever has to pay for it: a page for people, and JSON for programs that accept it.

The token in the address is all that is asked for. What it leads to is masked, also after the search is paid.
"""

from dataclasses import asdict
from html import escape

import orjson
import psycopg
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cdp_platform.enrichment.preview import Masked, Preview, preview
from cdp_platform.enrichment.preview_links import PreviewLinks
from cdp_platform.errors import BusyError, ConfigurationError, UnavailableError
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.web import pages
from cdp_platform.web.database import Database

_COLUMNS = ("Name", "E-mail", "Phone", "Company")


def routes(database: Database, links: PreviewLinks) -> list[Route]:
    """The route of previews."""

    async def show(request: Request) -> Response:
        linked = links.read(request.path_params["token"])

        def look(connection: psycopg.Connection) -> Preview | None:
            if linked is None:
                return None
            tenant_id, search_id = linked
            with tenant_transaction(connection, tenant_id):
                try:
                    return preview(connection, tenant_id, search_id)
                except ConfigurationError:
                    return None

        as_json = pages.wants_json(request)
        try:
            found = await database.run(look)
        except (UnavailableError, BusyError):
            return JSONResponse(*pages.AGAIN) if as_json else pages.trouble()
        if found is None:
            raise HTTPException(404, "There is no such preview.")
        if as_json:
            return Response(orjson.dumps(asdict(found), default=str), media_type="application/json")
        return _page(found)

    return [Route("/previews/{token}", show, methods=["GET"])]


def _page(found: Preview) -> Response:
    asked = ["work", "e-mail address"] + ["private e-mail address"] * found.personal_emails + ["phone"] * found.phones
    rows = "\n".join(map(_row, found.shown))
    head = "".join(f"<th>{column}</th>" for column in _COLUMNS)
    more = found.contacts - len(found.shown)
    return pages.page(
        found.name,
        f"<p>{found.usable:,} of {found.contacts:,} contacts can be enriched: {', '.join(asked)}. "
        f"The price is {found.price:,} {escape(found.currency)}.</p>",
        f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>",
        *([f'<p class="soft">And {more:,} more.</p>'] if more > 0 else []),
        '<p class="soft">Names, addresses and numbers are shortened until the list is paid for.</p>',
    )


def _row(contact: Masked) -> str:
    # Only the end of an address can be long.
    name, email, *others = (
        escape(cell or "-") for cell in (contact.name, contact.email, contact.phone, contact.company)
    )
    rest = "".join(f"<td>{cell}</td>" for cell in others)
    return f'<tr><td>{name}</td><td class="long">{email}</td>{rest}</tr>'
