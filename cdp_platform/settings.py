"""The environment, typed and validated once.

What belongs here: every variable that the platform reads, its type and what to do when it is wrong.
What does not: connections (``warehouse``, ``resources``) and settings of a tenant (``ops.tenant.settings``).

Nothing is read at import: definitions load with an empty environment, and the first use of a missing variable
names it.
"""

import os
import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from cdp_platform.errors import ConfigurationError

_FROM_ENVIRONMENT = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

_SERVICE = re.compile(r"https?://(\[[0-9a-fA-F:.%]+\]|[\w.-]+)(:\d{1,5})?(/[^\s?#@\\]*)?")

_COLLECTION = r"^[A-Za-z_][A-Za-z0-9_-]{0,255}$"

_SHORTEST_KEY = 32

_ROUTE = re.compile(r"(?P<owner>[^=,\s]+)=(?P<channel>[A-Za-z0-9._-]+):(?P<address>[^,\s]+)")

S = TypeVar("S", bound=BaseSettings)


def require_host(value: str) -> str:
    """Check that a value is a host, the folder of a socket, or the name of a database.

    Such values are shown to people, so they must not contain a password.

    Raises:
        PydanticCustomError: it is something else. The message does not repeat it.
    """
    if "://" in value or "=" in value or ("@" in value and value[0] not in "@/") or value != value.strip():
        raise PydanticCustomError(
            "host", "it is a whole address. Host, port, database, user and password have a variable each"
        )
    return value


def _service(login: str) -> Callable[[str], str]:
    """A check of a service's address, which must not contain a secret. Its messages do not repeat the address.

    Args:
        login: where the login belongs, for the message.
    """

    def check(value: str) -> str:
        if "@" in value:
            raise PydanticCustomError("address", "it holds a user or a password. {login}", {"login": login})
        for address in value.split(","):
            if not _SERVICE.fullmatch(address.strip()):
                raise PydanticCustomError(
                    "address", "it is not an address. Write it as https://HOST:PORT, without a query"
                )
        return value

    return check


def _separated(value: SecretStr) -> list[str]:
    return [part.strip() for part in value.get_secret_value().split(",") if part.strip()]


Host = Annotated[str, AfterValidator(require_host)]


class PostgresSettings(BaseSettings):
    """The address of the warehouse, and the roles that use it.

    The platform connects as ``PGSQL_DB_USER``, which owns no tables; it refuses to start with a role that does. Only
    ``cdp migrate`` and ``cdp restore`` use the owner, only ``cdp backup`` and ``cdp restore`` the role that reads all
    tenants, and the programs in ``PGSQL_BIN``. ``PGSQL_STATEMENT_TIMEOUT`` is in seconds.
    """

    model_config = SettingsConfigDict(**_FROM_ENVIRONMENT, env_prefix="PGSQL_")

    db_host: Host
    db_port: int = Field(default=5432, ge=1, le=65535)
    db_name: Host
    db_user: str
    db_password: SecretStr = SecretStr("")
    owner_user: str = ""
    owner_password: SecretStr = SecretStr("")
    backup_user: str = "cdp_backup"
    backup_password: SecretStr = SecretStr("")
    bin: Path | None = None
    statement_timeout: int = Field(default=1800, ge=1, le=604_800)


class ArangoSettings(BaseSettings):
    """The address of LEO CDP's ArangoDB. Each tenant has its own database; ``ARANGO_DB`` is the default of new ones."""

    model_config = SettingsConfigDict(**_FROM_ENVIRONMENT, env_prefix="ARANGO_")

    host: Annotated[str, AfterValidator(_service("Give them in ARANGO_USER and ARANGO_PASSWORD"))]
    db: str = ""
    user: str = "root"
    password: SecretStr = SecretStr("")


class CollectionSettings(BaseSettings):
    """Names of ArangoDB's collections of profiles and conversions, if they differ from those of LEO CDP."""

    model_config = SettingsConfigDict(**_FROM_ENVIRONMENT, env_prefix="ARANGO_")

    profile_collection: str = Field(default="cdp_profile", pattern=_COLLECTION)
    conversion_collection: str = Field(default="cdp_profile2conversion", pattern=_COLLECTION)

    @property
    def names(self) -> dict[str, str]:
        """The name on the server for each name of LEO CDP. All tables and messages have LEO CDP's names."""
        return {"cdp_profile": self.profile_collection, "cdp_profile2conversion": self.conversion_collection}


class EmbeddingSettings(BaseSettings):
    """The provider of embeddings and its budget. ``EMBED_DAILY_BUDGET`` is in US dollars per tenant and day."""

    model_config = _FROM_ENVIRONMENT

    embedding_provider: Literal["local", "openai", "sentence-transformers"] = "local"
    embed_model_id: str = ""
    embed_batch_size: int = Field(default=64, ge=1, le=2048)
    embed_daily_budget: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)
    openai_base_url: Annotated[str, AfterValidator(_service("Give the key in OPENAI_API_KEY"))] = (
        "https://api.openai.com/v1"
    )
    openai_api_key: SecretStr = SecretStr("")


class CatalogSettings(BaseSettings):
    """Registries and feeds: the file that lists them, how often they are checked, how long removed rows are kept.

    Intervals are in seconds.
    """

    model_config = _FROM_ENVIRONMENT

    ingestion_config_path: Path | None = None
    trigger_ingestion_on_startup: bool = False
    feed_check_interval: int = Field(default=300, ge=30)
    cleanup_interval: int = Field(default=86_400, ge=60)
    product_retention_days: int = Field(default=30, ge=0)
    round_retention_days: int = Field(default=7, ge=0)


class ReferralSettings(BaseSettings):
    """The database of the referral tracker, if its tables are not in the warehouse."""

    model_config = _FROM_ENVIRONMENT

    referral_database_url: SecretStr = SecretStr("")


class GoogleSettings(BaseSettings):
    """The account that writes worksheets. ``GOOGLE_SHEET_ID`` is for tenants without a spreadsheet of their own."""

    model_config = _FROM_ENVIRONMENT

    google_service_account_json: SecretStr = SecretStr("")
    google_sheet_id: str = ""
    google_sheets_url: Annotated[str, AfterValidator(_service("GOOGLE_SERVICE_ACCOUNT_JSON is the login"))] = (
        "https://sheets.googleapis.com"
    )


def _web_keys(value: SecretStr) -> SecretStr:
    """Check that each key is long enough that nobody guesses it. The message does not repeat it."""
    if any(len(key) < _SHORTEST_KEY for key in _separated(value)):
        raise PydanticCustomError(
            "keys",
            "a key has fewer than {least} characters. `openssl rand -hex 32` makes one; commas separate several",
            {"least": _SHORTEST_KEY},
        )
    return value


class ChannelSettings(BaseSettings):
    """The file that lists the channels that messages go through."""

    model_config = _FROM_ENVIRONMENT

    channels_config_path: Path | None = None


def _routes(value: str) -> str:
    for route in filter(None, map(str.strip, value.split(","))):
        if not _ROUTE.fullmatch(route):
            raise PydanticCustomError("routes", "write each part as OWNER=CHANNEL:ADDRESS, with * for all other owners")
    return value


class AlertSettings(BaseSettings):
    """Who is told of what is wrong, and where links to runs lead.

    ``CDP_ALERTS_TO`` has ``OWNER=CHANNEL:ADDRESS`` for each owner of assets, separated by commas. The channel is one of
    channels.yaml, the address one that it takes.
    """

    model_config = _FROM_ENVIRONMENT

    cdp_alerts_to: Annotated[str, AfterValidator(_routes)] = ""
    cdp_dagster_url: Annotated[str, AfterValidator(_service("Links need none"))] | None = None

    @property
    def routes(self) -> dict[str, tuple[str, str]]:
        """Channel and address by owner; ``*`` has those of all other owners."""
        matches = map(_ROUTE.fullmatch, map(str.strip, self.cdp_alerts_to.split(",")))
        return {match["owner"]: (match["channel"], match["address"]) for match in matches if match}


class MetricsSettings(BaseSettings):
    """Who may read ``/metrics``, and of how many tenants it has figures of their own."""

    model_config = _FROM_ENVIRONMENT

    cdp_metrics_token: Annotated[SecretStr, AfterValidator(_web_keys)] = SecretStr("")
    cdp_metrics_tenants: int = Field(default=200, ge=0)


class EnrichmentSettings(BaseSettings):
    """The account at Apollo.io, its limits, and the payments that start a search.

    ``APOLLO_CREDIT_PRICE`` is the price of a credit in ``APOLLO_CREDIT_CURRENCY``. ``ENRICHMENT_DAILY_CREDITS`` and
    ``ENRICHMENT_DAILY_BUDGET`` (in that currency) are the most that a tenant uses per day (UTC). Of
    ``PAYMENT_SECRETS``, separated by commas, each verifies payments, so that they can be rotated.
    ``ENRICHMENT_UNKNOWN`` says what becomes of people whose answer was lost: they are held, or asked about again.
    """

    model_config = _FROM_ENVIRONMENT

    apollo_api_key: SecretStr = SecretStr("")
    apollo_base_url: Annotated[str, AfterValidator(_service("Give the key in APOLLO_API_KEY"))] = (
        "https://api.apollo.io"
    )
    apollo_max_contacts_per_request: int = Field(default=10, ge=1, le=10)
    apollo_rate_limit_per_minute: int = Field(default=100, ge=1)
    apollo_rate_limit_per_hour: int | None = Field(default=None, ge=1)
    apollo_rate_limit_per_day: int | None = Field(default=None, ge=1)
    apollo_credit_price: Decimal = Field(default=Decimal("0.10"), ge=0, allow_inf_nan=False)
    apollo_credit_currency: str = Field(default="USD", pattern="^[A-Z]{3}$")
    enrichment_daily_credits: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)
    enrichment_daily_budget: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)
    enrichment_unknown: Literal["hold", "ask-again"] = "hold"
    payment_secrets: SecretStr = SecretStr("")

    @property
    def secrets(self) -> list[str]:
        """The secrets, any of which may have signed a payment."""
        return _separated(self.payment_secrets)


class LeoActivationSettings(BaseSettings):
    """The database of the LEO data workers, whose history `cdp campaign import` takes."""

    model_config = _FROM_ENVIRONMENT

    leo_activation_database_url: SecretStr = SecretStr("")


class WebSettings(BaseSettings):
    """The web app that links in messages lead to.

    ``CDP_WEB_URL`` is its address as recipients reach it. Of ``CDP_WEB_KEYS``, separated by commas, the first signs the
    links and all verify them. ``OPT_OUT_JOURNAL`` is the file that keeps opt-outs outside the warehouse.
    """

    model_config = _FROM_ENVIRONMENT

    cdp_web_url: Annotated[str, AfterValidator(_service("Links need none"))] | None = None
    cdp_web_keys: Annotated[SecretStr, AfterValidator(_web_keys)] = SecretStr("")
    cdp_web_port: int = Field(default=8600, ge=1, le=65535)
    opt_out_journal: Path | None = None

    @property
    def keys(self) -> list[str]:
        """The keys, the one that signs first."""
        return _separated(self.cdp_web_keys)


class RedisSettings(BaseSettings):
    """The broker between the Dagster daemon and workers on other machines. Nothing else uses it."""

    model_config = SettingsConfigDict(**_FROM_ENVIRONMENT, env_prefix="REDIS_")

    host: Host
    port: int = Field(default=6379, ge=1, le=65535)
    password: SecretStr = Field(min_length=1)


class RetentionSettings(BaseSettings):
    """How many days records are kept that nobody needs for ever. `cdp retention` counts what is past its time.

    Attributes:
        run_retention_days: of Dagster's runs, events and logs.
        run_retention_deletes: whether the daily job deletes those, or only counts them.
    """

    model_config = _FROM_ENVIRONMENT

    run_retention_days: int = Field(default=30, ge=7)
    run_retention_deletes: bool = False

    rejected_retention_days: int = Field(default=30, ge=0)
    reconciliation_retention_days: int = Field(default=365, ge=0)
    usage_retention_days: int = Field(default=730, ge=1)
    export_retention_days: int = Field(default=90, ge=0)
    delivery_retention_days: int = Field(default=730, ge=30)
    enrichment_retention_days: int = Field(default=365, ge=1)


class PlatformSettings(BaseSettings):
    """Settings that belong to no outside system. ``ERASURE_JOURNAL`` keeps erasures outside the warehouse."""

    model_config = _FROM_ENVIRONMENT

    default_tenant_id: str = ""
    erasure_journal: Path | None = None
    dagster_webserver_port: int = Field(default=3000, ge=1, le=65535)


def environment(env_file: Path = Path(".env")) -> dict[str, str]:
    """The variables of the environment and those of ``.env``. The environment wins; an empty one counts as not set."""
    both = (dotenv_values(env_file), os.environ)
    return {name: value for source in both for name, value in source.items() if value}


def _load(kind: type[S]) -> S:
    try:
        return kind()
    except ValidationError as error:
        prefix = kind.model_config.get("env_prefix", "")
        problems = {f"{prefix}{e['loc'][0]}".upper(): e for e in error.errors()}
        missing = [name for name, problem in problems.items() if problem["type"] == "missing"]
        names = " and ".join(filter(None, (", ".join(missing[:-1]), *missing[-1:])))
        are = "are" if len(missing) > 1 else "is"
        sentences = [f"The environment is not complete: {names} {are} missing."] if missing else []
        sentences += [f"{name} is wrong: {problems[name]['msg']}." for name in problems if name not in missing]
        advice = "Correct that in the environment or in .env."
        if missing:
            advice = (
                "`cdp init` writes a .env to fill in, `cdp sandbox start` one that points at embedded services; "
                "variables of the environment win over both."
            )
        # From None, because pydantic's own text repeats the values, and one of them may be a secret.
        raise ConfigurationError(f"{' '.join(sentences)} {advice}") from None


@lru_cache
def postgres() -> PostgresSettings:
    """Settings of the warehouse; raises ConfigurationError naming each variable that is missing or wrong."""
    return _load(PostgresSettings)


@lru_cache
def arango() -> ArangoSettings:
    """Settings of ArangoDB; raises ConfigurationError naming each variable that is missing or wrong."""
    return _load(ArangoSettings)


@lru_cache
def collections() -> CollectionSettings:
    """Names of ArangoDB's collections; raises ConfigurationError naming each variable that is wrong."""
    return _load(CollectionSettings)


@lru_cache
def embeddings() -> EmbeddingSettings:
    """Settings of the embedding provider; raises ConfigurationError naming each variable that is wrong."""
    return _load(EmbeddingSettings)


@lru_cache
def catalog() -> CatalogSettings:
    """Settings of the product catalogues; raises ConfigurationError naming each variable that is wrong."""
    return _load(CatalogSettings)


@lru_cache
def referrals() -> ReferralSettings:
    """Settings of the referral tracker; raises ConfigurationError naming each variable that is wrong."""
    return _load(ReferralSettings)


@lru_cache
def google() -> GoogleSettings:
    """Settings of Google Sheets; raises ConfigurationError naming each variable that is wrong."""
    return _load(GoogleSettings)


@lru_cache
def channels() -> ChannelSettings:
    """Settings of the channels; raises ConfigurationError naming each variable that is wrong."""
    return _load(ChannelSettings)


@lru_cache
def alerts() -> AlertSettings:
    """Settings of alerts; raises ConfigurationError naming each variable that is wrong."""
    return _load(AlertSettings)


@lru_cache
def metrics() -> MetricsSettings:
    """Settings of metrics; raises ConfigurationError naming each variable that is wrong."""
    return _load(MetricsSettings)


@lru_cache
def enrichment() -> EnrichmentSettings:
    """Settings of the enrichment provider; raises ConfigurationError naming each variable that is wrong."""
    return _load(EnrichmentSettings)


@lru_cache
def leo_activation() -> LeoActivationSettings:
    """Settings of the import of history; raises ConfigurationError naming each variable that is wrong."""
    return _load(LeoActivationSettings)


@lru_cache
def web() -> WebSettings:
    """Settings of the web app; raises ConfigurationError naming each variable that is wrong."""
    return _load(WebSettings)


@lru_cache
def redis() -> RedisSettings:
    """Settings of the broker; raises ConfigurationError naming each variable that is missing or wrong."""
    return _load(RedisSettings)


@lru_cache
def retention() -> RetentionSettings:
    """Settings of the retention of records; raises ConfigurationError naming each variable that is wrong."""
    return _load(RetentionSettings)


@lru_cache
def platform() -> PlatformSettings:
    """The remaining settings; raises ConfigurationError naming each variable that is wrong."""
    return _load(PlatformSettings)


def forget() -> None:
    """Read the environment again at the next use, as after `.env` was written or a test changed it."""
    rooms = (arango, collections, embeddings, catalog, referrals, google, channels, enrichment, leo_activation, web)
    for cached in (postgres, *rooms, redis, alerts, metrics, retention, platform):
        cached.cache_clear()
