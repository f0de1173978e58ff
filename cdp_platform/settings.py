"""The environment, typed and validated once.

What belongs here: every variable that the platform reads, its type and what to do when it is wrong.
What does not: connections (``warehouse``, ``resources``) and anything a tenant can have differently
(``ops.tenant.settings``).

Nothing is read at import: definitions load with an empty environment, and the first use of a missing variable
says which one it is.
"""

from functools import lru_cache
from typing import TypeVar

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
def platform() -> PlatformSettings:
    """The remaining settings; raises ConfigurationError naming each variable that is wrong."""
    return _load(PlatformSettings)


def forget() -> None:
    """Read the environment again at the next use (after `.env` was written, or a test changed it)."""
    for cached in (postgres, arango, dagster_storage, platform):
        cached.cache_clear()
