"""The `.env` that points the platform at the sandbox: its text, and whether a person changed it."""

import hashlib
import re
from collections.abc import Mapping

_HEADER = """\
# Written by the sandbox: it points the platform at the services that `cdp sandbox start` runs in this checkout.
# Can be deleted; the next start writes it again. Once you change it, the sandbox leaves it alone.
"""


def text(variables: Mapping[str, str]) -> str:
    """Write the variables, below a header that says by whom and seals them."""
    body = "".join(f"{name}={_quoted(value)}\n" for name, value in variables.items())
    return f"{_HEADER}{_seal(body)}\n{body}"


def is_as_written(found: str) -> bool:
    """Tell whether this is the text that a sandbox wrote, of this checkout or of another."""
    seal, _, body = found.removeprefix(_HEADER).partition("\n")
    return found.startswith(_HEADER) and seal == _seal(body)


def _seal(body: str) -> str:
    return f"# Unchanged as long as the lines below have this SHA-256: {hashlib.sha256(body.encode()).hexdigest()}"


def _quoted(value: str) -> str:
    """Write a value as `.env` files do, in quotes only where it needs them."""
    if re.fullmatch(r"[\w./:+-]*", value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
