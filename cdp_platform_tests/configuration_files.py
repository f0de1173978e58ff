"""How the YAML files that a person writes are refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cdp_platform.errors import ConfigurationError


def problem_of(file: Path, read: Callable[[], object]) -> str:
    """The message with which reading a file is refused, without the path in front.

    It is one line, and no other error, which might print values of the file, is shown with it.
    """
    with pytest.raises(ConfigurationError) as raised:
        read()
    message = str(raised.value)
    assert "\n" not in message
    assert message.startswith(str(file))
    assert raised.value.__suppress_context__ or raised.value.__cause__ is not None or raised.value.__context__ is None
    return message.removeprefix(str(file)).removeprefix(", ")
