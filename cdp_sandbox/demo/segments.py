"""The segments of an invented tenant: their rules as LEO CDP's query builder writes them, and who is in them.

Members are found by the AQL that LEO CDP makes of the rules, on the stand-in's own engine.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cdp_sandbox.arango.aql import execute
from cdp_sandbox.demo.markets import Market
from cdp_sandbox.demo.model import JOURNEY, PROFILES, Document, key_of, stamp

_QUERY = f"FOR d IN {PROFILES} FILTER d.status > 0 FILTER {{condition}} {{custom}} RETURN d._key"


@dataclass(frozen=True)
class Segment:
    """A segment: its rules, and the AQL that LEO CDP makes of them.

    Attributes:
        name: the name.
        rules: the tree of the query builder.
        condition: the same in AQL, about a profile ``d``.
        custom: AQL that a person added; it has no rules.
    """

    name: str
    rules: Document
    condition: str
    custom: str = ""


def segments(market: Market) -> list[Segment]:
    """The segments of a market that are not deleted."""
    city = market.places[0].city
    main = market.tenant.settings["currency"]
    reachable = _group(
        "OR", _rule("primaryEmail", "string", "is_not_empty"), _rule("primaryPhone", "string", "is_not_empty")
    )
    return [
        Segment(
            "Repeat Buyers",
            _group("AND", _rule("totalProspectScore", "integer", "greater_or_equal", 30)),
            "(d.totalProspectScore >= 30)",
        ),
        Segment(
            "New Customers",
            _group(
                "AND",
                reachable,
                _rule("totalProspectScore", "integer", "equal", 10),
                _group("OR", _rule("churnScore", "double", "greater_or_equal", 0.08)) | {"not": True},
            ),
            "((LENGTH(d.primaryEmail) > 0 OR LENGTH(d.primaryPhone) > 0) AND d.totalProspectScore == 10"
            " AND NOT (d.churnScore >= 0.08))",
        ),
        Segment(
            "Lapsed Customers",
            _group(
                "AND",
                _rule("totalProspectScore", "integer", "greater", 0),
                _rule("churnScore", "double", "greater", 0.25),
            ),
            "(d.totalProspectScore > 0 AND d.churnScore > 0.25)",
        ),
        Segment(
            "Never Bought",
            _group(
                "AND",
                _rule("behavioralEvents", "string", "contains_any", "page-view"),
                _rule("totalProspectScore", "integer", "equal", 0),
            ),
            "(d.behavioralEvents ANY IN ['page-view'] AND d.totalProspectScore == 0)",
        ),
        Segment("Newsletter", _group("AND", _rule("receiveEmail", "integer", "equal", 1)), "(d.receiveEmail == 1)"),
        Segment(
            f"Lives in {city}",
            _group("AND", _rule("livingCity", "string", "equal", city)),
            f"(d.livingCity == {json.dumps(city)})",
        ),
        Segment(
            "Coffee Lovers",
            _group(
                "AND",
                _rule("productKeywords", "string", "contains_any", "coffee"),
                _rule("eventStatistics", "string", "event_in_journey", f"{JOURNEY}#page-view#greater#0"),
            ),
            f"(d.productKeywords ANY IN ['coffee'] AND d.eventStatistics['{JOURNEY}-page-view'] > 0)",
        ),
        Segment(
            "Pays in Another Currency",
            _group("AND", _rule("status", "integer", "equal", 1)),
            "(d.status == 1)",
            f"FILTER LENGTH(FOR i IN d.purchasedItems FILTER i.currency NOT IN [null, '{main}'] RETURN i) > 0",
        ),
    ]


def enrol(market: Market, profiles: Sequence[Document]) -> None:
    """Write into each profile the segments that it is in."""
    found: dict[str, list[Document]] = {profile["_key"]: [] for profile in profiles}
    source = _Profiles(profiles)
    for segment in segments(market):
        query = _QUERY.format(condition=segment.condition, custom=segment.custom)
        for key in execute(query, {}, source).rows:
            held = found[key]
            held.append(
                {
                    "id": segment_key(market, segment.name),
                    "name": segment.name,
                    "type": "",
                    "indexScore": len(held) + 1,
                    "lastDataSynch": 0,
                    "queryHashedId": "",
                }
            )
    for profile in profiles:
        held = found[profile["_key"]]
        profile["inSegments"] = held
        profile["inSegmentsAsStr"] = "; ".join(each["name"] for each in held)


def segment_key(market: Market, name: str) -> str:
    """Return the key of a segment."""
    return key_of(market.tenant.id, "segment", name)


def segment_documents(market: Market, reference: datetime, profiles: Sequence[Document]) -> list[Document]:
    """Build the segments with the number of active profiles that carry them, and one deleted segment."""
    known = segments(market)
    members = {segment.name: 0 for segment in known}
    for profile in profiles:
        # A broken profile has something else there, which LEO CDP would not count either.
        if profile["status"] == 1 and isinstance(profile["inSegments"], list):
            for segment in profile["inSegments"]:
                members[segment["name"]] += 1
    living = [
        _document(market, reference, number, segment.name)
        | {
            "jsonQueryRules": json.dumps({**segment.rules, "valid": True}, ensure_ascii=False),
            "customQueryFilter": segment.custom,
            "totalCount": members[segment.name],
        }
        for number, segment in enumerate(known, start=1)
    ]
    return [*living, _document(market, reference, len(known) + 1, "Spring Sale 2024") | {"status": -4}]


class _Profiles:
    """Profiles that are not in a database yet, for the engine."""

    def __init__(self, profiles: Sequence[Document]) -> None:
        self._profiles = profiles

    def documents(self, collection: str) -> Sequence[Document]:
        return self._profiles

    def document(self, identifier: str) -> Document | None:
        return None

    def count(self, collection: str) -> int:
        return len(self._profiles)

    def indexes(self, collection: str) -> Sequence[Document]:
        return ()


def _rule(field: str, kind: str, operator: str, value: object = None) -> Document:
    return {"id": field, "field": field, "type": kind, "input": "text", "operator": operator, "value": value}


def _group(condition: str, *rules: Document) -> Document:
    return {"condition": condition, "rules": list(rules)}


def _document(market: Market, reference: datetime, number: int, name: str) -> Document:
    return {
        "_key": segment_key(market, name),
        "name": name,
        "description": "",
        "type": 0,
        # 2 is a segment that a campaign has activated; it is as alive as 1.
        "status": 2 if number == 2 else 1,
        "realtimeQuery": False,
        "autoUpdateProfiles": True,
        "jsonQueryRules": "{}",
        "customQueryFilter": "",
        "queryHashedId": key_of(market.tenant.id, "query", name),
        "selectedFields": ["_key", "primaryEmail", "primaryPhone", "inSegments"],
        "totalCount": 0,
        "indexScore": number,
        "forDeepAnalytics": True,
        "managedBySystem": False,
        "ownerUsername": "demo",
        "authorizedEditors": [],
        "authorizedViewers": [],
        "createdAt": stamp(reference - timedelta(days=400 - number)),
        "updatedAt": stamp(reference - timedelta(days=30, minutes=number)),
    }
