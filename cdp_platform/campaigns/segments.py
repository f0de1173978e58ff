"""Segments: groups of people by rules, by the CDP's membership, or by likeness.

Grain of ``campaigns.segment``: one row per segment and version. The greatest version is used; an older one says what an
earlier audience was resolved with.

=============  =============================================================================================
``rules``      computed here, whenever an audience is resolved
``membership`` whom the CDP has in the segment: where its query cannot be computed here, and ``problem`` says why
``lookalike``  who is like the members of another segment, and is not one of them (`embeddings.lookalikes`)
=============  =============================================================================================
"""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import orjson
import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from cdp_platform.campaigns.literals import literal
from cdp_platform.campaigns.rule_errors import RuleError
from cdp_platform.campaigns.rules import compiled, parse
from cdp_platform.errors import QueryError
from cdp_platform.ops import addresses, locks
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

Kind: TypeAlias = Literal["rules", "membership", "lookalike"]
Origin: TypeAlias = Literal["cdp", "file"]

_SHOWN = 10


@dataclass(frozen=True)
class Segment:
    """The version of a segment that is used; its columns in ``campaigns.segment`` say what the attributes mean."""

    segment_id: str
    version: int
    name: str
    kind: Kind
    rules: dict[str, Any] | None
    seed_segment_id: str | None
    origin: Origin
    problem: str | None
    content_hash: bytes
    retired: bool


@dataclass(frozen=True)
class People:
    """The people of a segment.

    Attributes:
        version: that was used.
        content_hash: of that version.
        query: one column ``profile_id``; no open parameters and no ``%``, so it can be a part of any statement.
    """

    version: int
    content_hash: bytes
    query: sql.Composed


@dataclass(frozen=True)
class SegmentsResult:
    """The result of a refresh, in segments of the CDP.

    Attributes:
        rules: computed here.
        membership: taken as the CDP has them.
        written: versions that are new.
        retired: deleted in the CDP since the last refresh.
        left_out: not taken, as a segment of a file has their id.
    """

    rules: int
    membership: int
    written: int
    retired: int
    left_out: int


@dataclass(frozen=True)
class Agreement:
    """How far the rules of a segment and the CDP's membership agree on open profiles.

    Attributes:
        segment_id: the segment.
        name: its name.
        computed: people by the rules.
        members: people by membership.
        both: people by both.
    """

    segment_id: str
    name: str
    computed: int
    members: int
    both: int

    @property
    def share(self) -> float:
        """People by both, of people by one or the other; 1 where there is nobody."""
        either = self.computed + self.members - self.both
        return self.both / either if either else 1.0


@dataclass(frozen=True)
class Preview:
    """A segment as a person looks at it before using it.

    Attributes:
        sql: the query, with placeholders for its values.
        count: open profiles that it finds.
        members: up to ten of them, as hashes of their e-mail addresses or of their keys.
        cost: what the planner estimates, in its own units.
    """

    sql: str
    count: int
    members: list[str]
    cost: float


def get(connection: psycopg.Connection, tenant_id: str, segment_id: str) -> Segment:
    """The segment in the version that is used, inside a transaction of the tenant.

    Raises:
        QueryError: there is none.
    """
    found = _segments(connection, tenant_id, segment_id)
    if not found:
        raise QueryError(f"Tenant {tenant_id} has no segment {segment_id!r}: `cdp segment list` shows those there are.")
    return found[0]


def listed(connection: psycopg.Connection, tenant_id: str) -> list[Segment]:
    """All segments in the versions that are used, by name; inside a transaction of the tenant."""
    return _segments(connection, tenant_id, None)


def people(connection: psycopg.Connection, tenant_id: str, segment_id: str) -> People:
    """The people of a segment, open profiles and closed ones; inside a transaction of the tenant.

    Raises:
        QueryError: there is no such segment, it was deleted, or it cannot be resolved; says why.
    """
    segment = get(connection, tenant_id, segment_id)
    if segment.retired:
        raise QueryError(f"Segment {segment_id!r} of tenant {tenant_id} was deleted: choose another one.")
    return People(segment.version, segment.content_hash, _query(connection, tenant_id, segment))


def save(
    connection: psycopg.Connection,
    tenant_id: str,
    segment_id: str,
    *,
    name: str,
    kind: Kind,
    rules: dict[str, Any] | str | None = None,
    seed: str | None = None,
    origin: Origin,
    problem: str | None = None,
) -> int:
    """Write a segment down: as another version if rules, seed or kind changed; inside a transaction of the tenant.

    Args:
        connection: inside a transaction of the tenant.
        tenant_id: whose segment.
        segment_id: key in the CDP, or the name that a file gives it.
        name: that people call it by.
        kind: of the segment.
        rules: the tree or its JSON text, if the kind is ``rules``.
        seed: the segment that a lookalike is like.
        origin: where it comes from.
        problem: why the rules of the CDP are not computed here.

    Returns:
        The version that is used from now on.

    Raises:
        QueryError: the rules cannot be computed, or the segment belongs to the other origin.
    """
    locks.take(connection, locks.segments(tenant_id))
    tree = _checked(tenant_id, rules) if kind == "rules" else None
    content = orjson.dumps([kind, tree, seed], option=orjson.OPT_SORT_KEYS)
    row = connection.execute(
        statement("campaigns", "save_segment"),
        {
            "tenant": tenant_id,
            "segment": segment_id,
            "name": name,
            "kind": kind,
            "rules": None if tree is None else Jsonb(tree),
            "seed": seed,
            "origin": origin,
            "problem": problem,
            "content_hash": hashlib.sha256(content).digest(),
        },
    ).fetchone()
    if row is None:
        raise QueryError(
            f"Tenant {tenant_id} has another segment {segment_id!r}, which does not come from a {origin}: choose "
            "another name."
        )
    return row[0]


def retire(connection: psycopg.Connection, tenant_id: str, origin: Origin, kept: Sequence[str]) -> int:
    """Retire all segments of an origin but these; inside a transaction of the tenant. Returns how many."""
    return connection.execute(
        "UPDATE campaigns.segment SET retired_at = now()"
        " WHERE tenant_id = %s AND origin = %s AND retired_at IS NULL AND segment_id <> ALL (%s)",
        [tenant_id, origin, list(kept)],
    ).rowcount


def refresh(connection: psycopg.Connection, tenant: Tenant) -> SegmentsResult:
    """Take over the segments that the CDP has now, as ``customers.cdp_segments`` holds them, in one transaction.

    Rules that cannot be computed here leave the segment to the CDP's membership, and say why.

    Args:
        connection: outside any transaction.
        tenant: whose segments.
    """
    counted = {"rules": 0, "membership": 0}
    with tenant_transaction(connection, tenant.tenant_id):
        locks.take(connection, locks.segments(tenant.tenant_id))
        known = listed(connection, tenant.tenant_id)
        before = {(each.segment_id, each.version) for each in known}
        of_files = {each.segment_id for each in known if each.origin == "file"}
        found = connection.execute(statement("campaigns", "open_cdp_segments"), {"tenant": tenant.tenant_id}).fetchall()
        rows = [row for row in found if row[0] not in of_files]
        for segment_id, name, tree, custom_filter in rows:
            kind, problem = _computable(tenant.tenant_id, tree, custom_filter)
            save(
                connection,
                tenant.tenant_id,
                segment_id,
                name=name,
                kind=kind,
                rules=tree if kind == "rules" else None,
                origin="cdp",
                problem=problem,
            )
            counted[kind] += 1
        retired = retire(connection, tenant.tenant_id, "cdp", [row[0] for row in rows])
        after = {(each.segment_id, each.version) for each in listed(connection, tenant.tenant_id)}
    return SegmentsResult(**counted, written=len(after - before), retired=retired, left_out=len(found) - len(rows))


def agreement(connection: psycopg.Connection, tenant_id: str) -> list[Agreement]:
    """How far rules and membership agree, for each segment of the CDP that is computed here; in its own transaction."""
    with tenant_transaction(connection, tenant_id):
        computed = [
            segment
            for segment in listed(connection, tenant_id)
            if segment.origin == "cdp" and segment.kind == "rules" and not segment.retired
        ]
        return [
            Agreement(segment.segment_id, segment.name, *_compared(connection, tenant_id, segment))
            for segment in computed
        ]


def preview(connection: psycopg.Connection, tenant: Tenant, segment_id: str) -> Preview:
    """Show whom a segment finds, without data of persons; in its own transaction.

    Raises:
        QueryError: as `people` does.
    """
    with tenant_transaction(connection, tenant.tenant_id):
        query = people(connection, tenant.tenant_id, segment_id).query
        names = {"tenant": tenant.tenant_id, "shown": _SHOWN}
        rows = connection.execute(statement("campaigns", "segment_preview").format(people=query), names).fetchall()
        ((plan,),) = connection.execute(sql.SQL("EXPLAIN (FORMAT JSON) {}").format(query)).fetchall()
        salt = addresses.salt_of(connection, tenant.tenant_id)
    return Preview(
        sql=_with_placeholders(query),
        count=rows[0][0] if rows else 0,
        members=[addresses.outside_hash(salt, address) for _, address in rows],
        cost=plan[0]["Plan"]["Total Cost"],
    )


def _segments(connection: psycopg.Connection, tenant_id: str, segment_id: str | None) -> list[Segment]:
    with connection.cursor(row_factory=class_row(Segment)) as cursor:
        names = {"tenant": tenant_id, "segment": segment_id}
        return cursor.execute(statement("campaigns", "segments"), names).fetchall()


def _query(connection: psycopg.Connection, tenant_id: str, segment: Segment) -> sql.Composed:
    match segment.kind:
        case "rules":
            try:
                return compiled(parse(segment.rules), tenant_id, lambda: currencies(connection, tenant_id))
            except QueryError as error:
                raise QueryError(f"Segment {segment.segment_id!r} of tenant {tenant_id}: {error}") from error
        case "membership":
            return _members(tenant_id, segment.segment_id)
        case "lookalike":
            return _lookalikes(connection, tenant_id, segment)


def _members(tenant_id: str, segment_id: str) -> sql.Composed:
    return sql.SQL(
        "SELECT m.profile_id FROM customers.segment_member AS m WHERE m.tenant_id = {} AND m.segment_id = {}"
    ).format(literal(tenant_id), literal(segment_id))


def _lookalikes(connection: psycopg.Connection, tenant_id: str, segment: Segment) -> sql.Composed:
    seed = segment.seed_segment_id or ""
    found = connection.execute(
        "SELECT FROM embeddings.lookalike_audience WHERE tenant_id = %s AND segment_id = %s LIMIT 1", [tenant_id, seed]
    ).fetchone()
    if found is None:
        raise QueryError(
            f"Segment {segment.segment_id!r} of tenant {tenant_id}: nobody is like segment {seed!r}, or the audiences "
            "were not computed yet. The asset embeddings/lookalike_audience says which."
        )
    # People who joined the seed since the audience was computed are no lookalikes any more.
    return sql.SQL(
        "SELECT p.profile_id FROM embeddings.lookalike_audience AS l"
        " JOIN customers.cdp_profiles AS p ON p.tenant_id = l.tenant_id AND p.profile_id = l.profile_id"
        " WHERE l.tenant_id = {tenant} AND l.segment_id = {seed}"
        " AND NOT EXISTS (SELECT FROM customers.segment_member AS m"
        " WHERE m.tenant_id = {tenant} AND m.segment_id = {seed} AND m.profile_id = l.profile_id)"
    ).format(tenant=literal(tenant_id), seed=literal(seed))


def currencies(connection: psycopg.Connection, tenant_id: str) -> list[str]:
    """The currencies that customers bought in, inside a transaction of the tenant."""
    return [row[0] for row in connection.execute(statement("campaigns", "currencies"), {"tenant": tenant_id})]


def _computable(tenant_id: str, tree: str | None, custom_filter: str | None) -> tuple[Kind, str | None]:
    """Rules if they can be computed here, or membership and why."""
    if custom_filter and custom_filter.strip():
        return "membership", "The CDP asks for it in AQL (customQueryFilter), which is not computed here."
    try:
        _checked(tenant_id, tree)
    except QueryError as error:
        return "membership", f"The rules are not computed here: {error}"
    return "rules", None


def _checked(tenant_id: str, rules: Any) -> Any:
    """The tree of rules, which can be computed and stored; raises RuleError."""
    compiled(parse(rules), tenant_id, list)
    tree = orjson.loads(rules) if isinstance(rules, str) else rules
    try:
        encoded = orjson.dumps(tree)
    except TypeError:
        raise RuleError("", "the rules hold what is no JSON") from None
    if b"\\u0000" in encoded:
        raise RuleError("", "the rules hold a NUL character")
    return tree


def _compared(connection: psycopg.Connection, tenant_id: str, segment: Segment) -> tuple[int, int, int]:
    """Open profiles by the rules, by membership, and by both."""
    row = connection.execute(
        statement("campaigns", "segment_agreement").format(
            computed=_query(connection, tenant_id, segment), members=_members(tenant_id, segment.segment_id)
        ),
        {"tenant": tenant_id},
    ).fetchone()
    assert row is not None  # noqa: S101 (one row always)
    return row


def _with_placeholders(query: sql.Composable) -> str:
    """The text of a query without its values."""
    numbers = itertools.count(1)

    def shown(part: sql.Composable) -> str:
        if isinstance(part, sql.Composed):
            return "".join(map(shown, part))
        return f"${next(numbers)}" if isinstance(part, sql.Literal) else part.as_string()

    return shown(query)
