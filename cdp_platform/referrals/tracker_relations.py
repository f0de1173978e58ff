"""The tracker's relations, and the rules by which the warehouse accepts their rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import sql


@dataclass(frozen=True)
class Rule:
    """A reason for which rows are rejected.

    Attributes:
        broken: the condition under which a row ``s`` breaks the rule, by column.
    """

    code: str
    message: str
    broken: Mapping[str, LiteralString]


@dataclass(frozen=True)
class Relation:
    """One of the tracker's relations, and the warehouse's table of the same name.

    Attributes:
        key: the column that is unique within a tenant.
        columns: all but ``tenant_id``, with the types that they are read as.
        rules: in the order in which they are checked; the first that is broken is the reason.
        personal: columns with personal data.
        unique: a further column that is unique within a tenant.
    """

    name: LiteralString
    key: LiteralString
    columns: Mapping[LiteralString, LiteralString]
    rules: tuple[Rule, ...]
    personal: tuple[LiteralString, ...] = ()
    unique: LiteralString | None = None

    @property
    def is_event(self) -> bool:
        """Whether only rows since the last run are read, since there are too many to read them all."""
        return bool(self.personal)

    @property
    def source(self) -> str:
        """Its name in rejected records and watermarks."""
        return f"tracker.{self.name}"

    @property
    def table(self) -> sql.Identifier:
        """Schema and name, the same in the tracker and in the warehouse."""
        return sql.Identifier("referrals", self.name)

    @property
    def stage(self) -> sql.Identifier:
        """The temporary table that rows are read into."""
        return sql.Identifier(f"stage_{self.name}")


def _columns(**names: LiteralString) -> dict[LiteralString, Any]:
    """The type of each column, from the columns of each type."""
    return {name: kind for kind, of_kind in names.items() for name in of_kind.split()}


def _required(*columns: LiteralString) -> Rule:
    return Rule("value_missing", "it has no value", {column: f"s.{column} IS NULL" for column in columns})


def _short(*columns: LiteralString) -> Rule:
    # An index of the warehouse cannot hold longer keys beside the tenant.
    return Rule(
        "value_too_long",
        "it has more than 2000 bytes",
        {column: f"octet_length(s.{column}) > 2000" for column in columns},
    )


def _known(code: str, table: LiteralString, column: LiteralString) -> Rule:
    return Rule(
        code,
        f"no {table} of this id has come",
        {
            column: f"NOT EXISTS (SELECT FROM referrals.{table} AS t"
            f" WHERE t.tenant_id = %(tenant)s AND t.{column} = s.{column})"
        },
    )


def _finite(*columns: LiteralString) -> Rule:
    return Rule(
        "not_a_moment", "it is not a moment but infinity", {column: f"NOT isfinite(s.{column})" for column in columns}
    )


UNKNOWN_LINK = "unknown_link"

# Each relation refers only to relations before it. Rules on rows that may still come, such as the link of a click, are
# last: a row with that reason has no other fault.
RELATIONS = (
    Relation(
        "officer",
        "officer_id",
        _columns(text="officer_id full_name", boolean="is_active", timestamptz="ingested_at"),
        (
            _required("officer_id", "full_name", "is_active", "ingested_at"),
            _short("officer_id"),
            _finite("ingested_at"),
        ),
    ),
    Relation(
        "campaign",
        "campaign_id",
        _columns(text="campaign_id name description", timestamptz="starts_at ends_at ingested_at", boolean="is_active"),
        (
            _required("campaign_id", "name", "starts_at", "is_active", "ingested_at"),
            _short("campaign_id"),
            _finite("starts_at", "ends_at", "ingested_at"),
            Rule("ends_before_start", "it ends before it starts", {"ends_at": "s.ends_at < s.starts_at"}),
        ),
    ),
    Relation(
        "referral_link",
        "referral_link_id",
        _columns(
            text="referral_link_id officer_id campaign_id full_link ref_code",
            boolean="is_active",
            timestamptz="revoke_at ingested_at",
        ),
        (
            _required(
                *("referral_link_id", "officer_id", "campaign_id", "full_link", "ref_code", "is_active", "ingested_at")
            ),
            _short("referral_link_id", "ref_code"),
            _finite("ingested_at"),
            _known("unknown_officer", "officer", "officer_id"),
            _known("unknown_campaign", "campaign", "campaign_id"),
            Rule(
                "duplicate_ref_code",
                "another link has it",
                {
                    "ref_code": "EXISTS (SELECT FROM referrals.referral_link AS t WHERE t.tenant_id = %(tenant)s"
                    " AND t.ref_code = s.ref_code AND t.referral_link_id <> s.referral_link_id)"
                },
            ),
        ),
        unique="ref_code",
    ),
    Relation(
        "click_event",
        "click_event_id",
        _columns(
            text="click_event_id referral_link_id ip user_agent geo_country geo_city geo_region",
            timestamptz="occurred_at ingested_at",
            float8="fraud_score",
        ),
        (
            _required("click_event_id", "referral_link_id", "occurred_at", "ingested_at"),
            _short("click_event_id"),
            _finite("occurred_at", "ingested_at"),
            _known(UNKNOWN_LINK, "referral_link", "referral_link_id"),
        ),
        personal=("ip", "user_agent", "geo_country", "geo_city", "geo_region"),
    ),
    Relation(
        "signup_event",
        "signup_event_id",
        _columns(
            text="signup_event_id click_event_id referral_link_id email",
            timestamptz="occurred_at ingested_at",
            # Wider than the warehouse's type: a value that is too large must not stop the reading.
            int8="conversion_minutes",
            float8="fraud_score",
        ),
        (
            _required("signup_event_id", "referral_link_id", "occurred_at", "ingested_at"),
            _short("signup_event_id", "click_event_id", "email"),
            _finite("occurred_at", "ingested_at"),
            Rule(
                "not_a_duration",
                "minutes are counted from 0 to 2147483647",
                {"conversion_minutes": "s.conversion_minutes NOT BETWEEN 0 AND 2147483647"},
            ),
            _known(UNKNOWN_LINK, "referral_link", "referral_link_id"),
        ),
        personal=("email",),
    ),
)
