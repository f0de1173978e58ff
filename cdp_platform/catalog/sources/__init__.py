"""Sources of registries and feeds: one contract, and a module for each kind of source."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from cdp_platform.catalog.config import Ingestor, variable
from cdp_platform.catalog.sources.contract import Fetched, NotModified, Source, Validators
from cdp_platform.catalog.sources.retries import RetryLimits
from cdp_platform.errors import ConfigurationError

__all__ = ["Fetched", "NotModified", "Source", "Validators", "open_source"]


@contextmanager
def open_source(ingestor: Ingestor) -> Generator[Source]:
    """The source of an ingestor's documents, open until the block ends. It connects when the first document is read.

    Raises:
        ConfigurationError: the variable that should hold the password is not set.
    """
    limits = RetryLimits(document=ingestor.limits.timeout_seconds)
    # Imported late, because definitions load faster without the clients.
    if ingestor.source == "local":
        from cdp_platform.catalog.sources.local import LocalSource  # noqa: PLC0415

        yield LocalSource(Path(ingestor.root))
    elif ingestor.source == "ftp":
        from cdp_platform.catalog.sources.ftp import FtpSource  # noqa: PLC0415

        password = _password(ingestor)
        with FtpSource(
            ingestor.root, user=ingestor.user, password=password, allowed=ingestor.allowed, limits=limits
        ) as source:
            yield source
    else:
        from cdp_platform.catalog.sources.http import HttpSource  # noqa: PLC0415

        with HttpSource(ingestor.root, allowed=ingestor.allowed, limits=limits) as source:
            yield source


def _password(ingestor: Ingestor) -> SecretStr:
    name = ingestor.password_variable
    if name is None:
        return SecretStr("")
    if (password := variable(name)) is None:
        raise ConfigurationError(
            f"Ingestor {ingestor.name!r} needs the variable {name}. Set it in the environment or in .env."
        )
    return SecretStr(password)
