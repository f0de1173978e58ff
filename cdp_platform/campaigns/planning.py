"""Plans of a YAML file: what is new or changed in it is written, and the same file again changes nothing.

A file is taken whole or not at all. Anything else stays as it is. An event that is planned may be moved and changed;
one that runs may change only its end and its rate, and any event its name and description.
"""

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, LiteralString
from zoneinfo import ZoneInfo

import psycopg
from psycopg.rows import dict_row

from cdp_platform.campaigns import dispatch, events, segments, templates
from cdp_platform.campaigns.channels.config import configured
from cdp_platform.campaigns.channels.contract import Channel
from cdp_platform.campaigns.planned_file import PlannedEvent, PlannedFile, PlannedTemplate
from cdp_platform.configuration_file import ConfigurationFile, Entries, Place, read
from cdp_platform.errors import ConfigurationError, QueryError
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

Change = Literal["new", "changed", "unchanged"]

_ENTRIES = {
    "campaigns": Entries("campaign", "code"),
    "templates": Entries("template", "template"),
    "segments": Entries("segment", "segment"),
    "events": Entries("event", "event"),
}
_ALWAYS_FREE = {"name", "description"}
_FREE = {
    "running": _ALWAYS_FREE | {"end_at", "rate_per_minute"},
    "paused": _ALWAYS_FREE | {"end_at", "rate_per_minute"},
}


@dataclass(frozen=True)
class Applied:
    """An entry of the file.

    Attributes:
        kind: campaign, template, segment or event.
        name: its code or id; of a template and a segment with the version.
        change: what it meant for the tables.
        note: what a person should know of it, or ''.
    """

    kind: str
    name: str
    change: Change
    note: str = ""


def apply(connection: psycopg.Connection, tenant: Tenant, path: Path) -> list[Applied]:
    """Write what is new or changed in a file, in one transaction.

    Args:
        connection: of the platform's role, outside any transaction.
        tenant: whose plans they are.
        path: the YAML file.

    Returns:
        One for each entry, in the order of the file.

    Raises:
        ConfigurationError: the file is wrong, or asks for a change that an event does not allow any more. Nothing was
            written.
    """
    file = read(path, setting="--file", needs="It needs lists: campaigns, templates, segments or events.")
    plan = file.checked(PlannedFile, entries=_ENTRIES)
    _require_unique(file, plan)
    with tenant_transaction(connection, tenant.tenant_id):
        applying = _Applying(connection, tenant, file, plan)
        return [
            *applying.written_campaigns(),
            *applying.written_templates(),
            *applying.written_segments(),
            *applying.written_events(),
        ]


def _require_unique(file: ConfigurationFile, plan: PlannedFile) -> None:
    for listed, entries in _ENTRIES.items():
        first: dict[str, int] = {}
        for number, entry in enumerate(getattr(plan, listed)):
            name = getattr(entry, entries.named_by)
            if name in first:
                raise file.error((listed, number), f"{entries.noun} {name!r} is there twice. Remove one")
            first[name] = number


@dataclass(frozen=True)
class _Applying:
    """The work of one file, inside the transaction."""

    connection: psycopg.Connection
    tenant: Tenant
    file: ConfigurationFile
    plan: PlannedFile

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.tenant.time_zone)

    def written_campaigns(self) -> Iterator[Applied]:
        there = self._held("campaigns_of_codes", "code", [each.code for each in self.plan.campaigns])
        for number, each in enumerate(self.plan.campaigns):
            wanted = each.columns(self.zone)
            if wanted["start_at"] and wanted["end_at"] and wanted["end_at"] < wanted["start_at"]:
                raise self.file.error(("campaigns", number, "end"), "the campaign ends before it starts. Correct it")
            change = _change(there.get(each.code), wanted)
            if change != "unchanged":
                self._write("save_campaign", wanted)
            yield Applied("campaign", each.code, change)

    def written_templates(self) -> Iterator[Applied]:
        for number, each in enumerate(self.plan.templates):
            place = ("templates", number)
            before = self._template(each.template)
            with self._told_at(place):
                version = templates.save(
                    self.connection,
                    self.tenant.tenant_id,
                    each.template,
                    channel_kind=each.channel_kind,
                    subject=each.subject,
                    text=self._content(place, each, "text"),
                    html=self._content(place, each, "html"),
                )
                if each.approve:
                    templates.approve(self.connection, self.tenant, each.template, version)
            after = self._template(each.template)
            change = "new" if before is None else "unchanged" if before == after else "changed"
            note = "" if each.approve else "Not approved by this file: `approve: true` approves it."
            yield Applied("template", f"{each.template} version {version}", change, note)

    def written_segments(self) -> Iterator[Applied]:
        before = self._segments()
        for number, each in enumerate(self.plan.segments):
            with self._told_at(("segments", number)):
                version = segments.save(
                    self.connection,
                    self.tenant.tenant_id,
                    each.segment,
                    name=each.name,
                    kind="rules" if each.like is None else "lookalike",
                    rules=each.rules,
                    seed=each.like,
                    origin="file",
                )
            known, held = before.get(each.segment), self._segments()[each.segment]
            change = "new" if known is None else "unchanged" if known == held else "changed"
            yield Applied("segment", f"{each.segment} version {version}", change)

    def written_events(self) -> Iterator[Applied]:
        there = self._held("events_of_ids", "event_id", [each.event for each in self.plan.events])
        segment_ids = {segment_id for segment_id, each in self._segments().items() if not each.retired}
        channels = configured()
        for number, each in enumerate(self.plan.events):
            place = ("events", number)
            with self._told_at((*place, "channel")):
                channel = channels.required(each.channel)
            wanted = each.columns(self.zone, channel.name)
            self._require_known(place, each, segment_ids)
            self._require_template(place, each, channel)
            if wanted["end_at"] < wanted["start_at"]:
                raise self.file.error((*place, "end"), f"event {each.event!r} ends before it starts. Correct it")
            held = there.get(each.event)
            change = _change(held, wanted)
            if change == "changed":
                self._require_free(place, each.event, held or {}, wanted)
            if change != "unchanged":
                self._write("save_event", wanted)
            yield Applied("event", each.event, change, self._late(each.event) if change != "unchanged" else "")

    def _require_known(self, place: Place, event: PlannedEvent, segment_ids: Collection[str]) -> None:
        if event.segment not in segment_ids:
            raise self.file.error(
                (*place, "segment"),
                f"there is no segment {event.segment!r}. `cdp segment list --tenant {self.tenant.tenant_id}` shows "
                "those there are",
            )
        if not self._held("campaigns_of_codes", "code", [event.campaign]):
            raise self.file.error((*place, "campaign"), f"there is no campaign {event.campaign!r}. Add it to the file")

    def _require_template(self, place: Place, event: PlannedEvent, channel: Channel) -> None:
        template = self._template(event.template)
        if template is None:
            raise self.file.error((*place, "template"), f"there is no template {event.template!r}. Add it to the file")
        if template.channel_kind != channel.kind:
            raise self.file.error(
                (*place, "template"),
                f"template {event.template!r} is for a channel of kind {template.channel_kind}, and {channel.name} is "
                f"of kind {channel.kind}. Choose another one",
            )

    def _require_free(self, place: Place, event_id: str, held: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        status = held["status"]
        if status == "planned":
            return
        fixed = sorted(name for name in _differing(held, wanted) if name not in _FREE.get(status, _ALWAYS_FREE))
        if fixed:
            advice = (
                f"`cdp campaign cancel --event {event_id}` ends it; then plan another event"
                if status in _FREE
                else "Plan another event, with an id of its own"
            )
            raise self.file.error(
                place, f"event {event_id!r} is {status}, so {', '.join(fixed)} cannot change any more. {advice}"
            )

    def _late(self, event_id: str) -> str:
        event = events.get(self.connection, self.tenant.tenant_id, event_id)
        is_missed = event.status == "planned" and dispatch.is_late(event)
        return "Its start and grace are over, so it will be missed." if is_missed else ""

    def _template(self, template: str) -> templates.Template | None:
        return templates.latest(self.connection, self.tenant.tenant_id, template)

    def _segments(self) -> dict[str, segments.Segment]:
        return {each.segment_id: each for each in segments.listed(self.connection, self.tenant.tenant_id)}

    def _held(self, query: LiteralString, key: str, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The rows that are there, by key."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(
                statement("campaigns", query), {"tenant": self.tenant.tenant_id, "keys": list(keys)}
            ).fetchall()
        return {row[key]: row for row in rows}

    def _write(self, query: LiteralString, columns: Mapping[str, Any]) -> None:
        self.connection.execute(statement("campaigns", query), {"tenant": self.tenant.tenant_id, **columns})

    def _content(self, place: Place, template: PlannedTemplate, name: str) -> str | None:
        beside = getattr(template, f"{name}_file")
        if beside is None:
            return getattr(template, name)
        try:
            return (self.file.path.parent / beside).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise self.file.error(
                (*place, f"{name}_file"), f"{beside} cannot be read as UTF-8. Correct the path"
            ) from None

    @contextmanager
    def _told_at(self, place: Place) -> Generator[None]:
        """Errors of the room name the line of the file."""
        try:
            yield
        except (QueryError, ConfigurationError) as error:
            raise self.file.error(place, str(error).rstrip(".")) from error


def _change(held: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> Change:
    if held is None:
        return "new"
    return "changed" if _differing(held, wanted) else "unchanged"


def _differing(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> set[str]:
    return {name for name, value in wanted.items() if held[name] != value}
