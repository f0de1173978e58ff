"""The environment, typed and validated once.

What belongs here: every variable that the platform reads, its type and what to do when it is wrong.
What does not: connections (``warehouse``, ``resources``) and anything a tenant can have differently
(``ops.tenant.settings``).

Nothing is read at import: definitions load with an empty environment, and the first use of a missing variable
says which one it is.
"""

from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from cdp_platform.errors import ConfigurationError

_FROM_ENVIRONMENT = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

S = TypeVar("S", bound=BaseSettings)


class PostgresSettings(BaseSettings):
    """Where the warehouse is, and the two roles that use it.

    The platform connects as ``PGSQL_DB_USER``, which owns nothing. Only ``cdp migrate`` uses the owner.
    """

    model_config = SettingsConfigDict(**_FROM_ENVIRONMENT, env_prefix="PGSQL_")

    db_host: str
    db_port: int = Field(default=5432, ge=1, le=65535)
    db_name: str
    db_user: str
    db_password: SecretStr = SecretStr("")
    owner_user: str = ""
    owner_password: SecretStr = SecretStr("")


class ArangoSettings(BaseSettings):
    """Where LEO CDP's ArangoDB is. Each tenant names its own database; ``ARANGO_DB`` is the default for a new one."""

    model_config = SettingsConfigDict(**_FROM_ENVIRONMENT, env_prefix="ARANGO_")

    host: str
    db: str = ""
    user: str = "root"
    password: SecretStr = SecretStr("")


class DagsterStorageSettings(BaseSettings):
    """Where Dagster keeps its runs and events. dagster.yaml reads the same variables; here they are only looked at."""

    model_config = SettingsConfigDict(**_FROM_ENVIRONMENT, env_prefix="DAGSTER_PG_")

    host: str
    port: int = Field(default=5432, ge=1, le=65535)
    db: str
    username: str
    password: SecretStr = SecretStr("")


class EmbeddingSettings(BaseSettings):
    """Who makes vectors of texts, and what that may cost. ``EMBED_DAILY_BUDGET`` is US dollars per tenant and day."""

    model_config = _FROM_ENVIRONMENT

    embedding_provider: Literal["local", "openai", "sentence-transformers"] = "local"
    embed_model_id: str = ""
    embed_batch_size: int = Field(default=64, ge=1, le=2048)
    embed_daily_budget: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)
    openai_base_url: str = Field(default="https://api.openai.com/v1", pattern=r"^https?://[^\s/]")
    openai_api_key: SecretStr = SecretStr("")


class CatalogSettings(BaseSettings):
    """Which registries and feeds are taken over, and how often is looked after them. Intervals are seconds."""

    model_config = _FROM_ENVIRONMENT

    ingestion_config_path: Path | None = None
    trigger_ingestion_on_startup: bool = False
    feed_check_interval: int = Field(default=300, ge=30)
    cleanup_interval: int = Field(default=86_400, ge=60)


class ReferralSettings(BaseSettings):
    """Where the referral tracker keeps its tables, if not in the warehouse."""

    model_config = _FROM_ENVIRONMENT

    referral_database_url: SecretStr = SecretStr("")


class GoogleSettings(BaseSettings):
    """Who writes worksheets. ``GOOGLE_SHEET_ID`` is for tenants that name no spreadsheet of their own."""

    model_config = _FROM_ENVIRONMENT

    google_service_account_json: SecretStr = SecretStr("")
    google_sheet_id: str = ""
    google_sheets_url: str = Field(default="https://sheets.googleapis.com", pattern=r"^https?://[^\s/]")


class PlatformSettings(BaseSettings):
    """What belongs to no outside system."""

    model_config = _FROM_ENVIRONMENT

    default_tenant_id: str = ""
    dagster_webserver_port: int = Field(default=3000, ge=1, le=65535)


def _load(kind: type[S]) -> S:
    try:
        return kind()
    except ValidationError as error:
        prefix = kind.model_config.get("env_prefix", "")
        problems = "; ".join(
            f"{prefix}{'_'.join(map(str, e['loc']))}".upper() + f": {e['msg']}" for e in error.errors()
        )
        # Not `from error`: pydantic's own text repeats the values, and one of them may be a secret.
        raise ConfigurationError(
            f"The environment is not complete: {problems}. "
            "Set it in the environment or in .env (.env.example says what each variable means); "
            "`cdp sandbox start` writes a .env that points at embedded services."
        ) from None


@lru_cache
def postgres() -> PostgresSettings:
    """Settings of the warehouse; raises ConfigurationError naming each variable that is missing or wrong."""
    return _load(PostgresSettings)


@lru_cache
def arango() -> ArangoSettings:
    """Settings of ArangoDB; raises ConfigurationError naming each variable that is missing or wrong."""
    return _load(ArangoSettings)


@lru_cache
def dagster_storage() -> DagsterStorageSettings:
    """Settings of Dagster's own database; raises ConfigurationError naming each variable that is missing or wrong."""
    return _load(DagsterStorageSettings)


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
def platform() -> PlatformSettings:
    """The remaining settings; raises ConfigurationError naming each variable that is wrong."""
    return _load(PlatformSettings)


def forget() -> None:
    """Read the environment again at the next use (after `.env` was written, or a test changed it)."""
    for cached in (postgres, arango, dagster_storage, embeddings, catalog, referrals, google, platform):
        cached.cache_clear()
