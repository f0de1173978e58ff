"""Where registries and feeds are read from: one contract, and a module for each kind of place."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pydantic import SecretStr

from cdp_platform.catalog.config import Ingestor, variable
from cdp_platform.catalog.sources.contract import Fetched, NotModified, Source, Validators
from cdp_platform.catalog.sources.retries import Patience
from cdp_platform.errors import ConfigurationError

__all__ = ["Fetched", "NotModified", "Source", "Validators", "open_source"]


@contextmanager
def open_source(ingestor: Ingestor) -> Generator[Source]:
    """What an ingestor's documents are read from, until the end of the block. Nothing is sent before the first.

    Raises:
        ConfigurationError: The variable that should hold the password is not set.
    """
    patience = replace(Patience(), document=ingestor.limits.timeout_seconds)
    allowed = ingestor.allowed
    # Definitions load without what only reading needs.
    if ingestor.source == "local":
        from cdp_platform.catalog.sources.local import LocalSource  # noqa: PLC0415

        yield LocalSource(Path(ingestor.root))
    elif ingestor.source == "ftp":
        from cdp_platform.catalog.sources.ftp import FtpSource  # noqa: PLC0415

        with FtpSource(
            ingestor.root,
            user=ingestor.user,
            password=_password(ingestor),
            allowed=allowed,
            patience=patience,
        ) as source:
            yield source
    else:
        from cdp_platform.catalog.sources.http import HttpSource  # noqa: PLC0415

        with HttpSource(ingestor.root, allowed=allowed, patience=patience) as source:
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
