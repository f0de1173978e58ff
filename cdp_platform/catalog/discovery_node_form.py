"""ingestion.yaml in the form of the Commerce Mesh Protocol's discovery node, which has neither tenants nor roots.

Its ingestors belong to the tenant of DEFAULT_TENANT_ID. A local ingestor has absolute paths, or paths below the folder
of DATA_DIR.
"""

import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

_PATHS = ("registry", "feed_path")


def completed(document: Any, variables: Mapping[str, str]) -> Any:
    """The content of a file, completed with tenants and roots where they are missing.

    Args:
        document: as parsed; of any shape, because it has not been checked yet.
        variables: of the environment and of ``.env``.
    """
    ingestors = document.get("ingestion") if isinstance(document, dict) else None
    if not isinstance(ingestors, list):
        return document
    return {**document, "ingestion": [_completed(each, variables) for each in ingestors]}


def _completed(ingestor: Any, variables: Mapping[str, str]) -> Any:
    if not isinstance(ingestor, dict):
        return ingestor
    found = dict(ingestor)
    if "tenant" not in found and (tenant := variables.get("DEFAULT_TENANT_ID")):
        found["tenant"] = tenant
    if found.get("source_type") == "local" and "root" not in found:
        found |= _rooted({name: found[name] for name in _PATHS if isinstance(found.get(name), str)}, variables)
    return found


def _rooted(paths: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """A root for the paths, and the paths relative to it."""
    if paths and all(PurePath(path).is_absolute() for path in paths.values()):
        root = os.path.commonpath([PurePath(path).parent for path in paths.values()])
        return {"root": root, **{name: str(PurePath(path).relative_to(root)) for name, path in paths.items()}}
    return {"root": variables["DATA_DIR"]} if "DATA_DIR" in variables else {}
