"""The code server of `cdp up`: one process loads the platform's code, for the webserver, the daemon and their runs.

Left to themselves, webserver and daemon start one each, and the daemon another one every minute.
"""

from pathlib import Path

import psutil
import yaml

from cdp_sandbox.processes import HOST, is_alive

_MODULE = "cdp_platform.definitions"
_LOCATION = "cdp_platform"
# The sensors that listen keep a thread each for 45 seconds, and the pages of the UI ask beside them.
_THREADS = 16


def workspace(own: Path, port: int) -> str | None:
    """The content of a workspace file by which Dagster's programs find the code server at this port.

    Returns:
        None if the folder's own workspace file says something else than the one that `cdp init` writes. Then that one
        is used, and Dagster's programs start the servers that it asks for.
    """
    module = {"module_name": _MODULE, "location_name": _LOCATION, "working_directory": "."}
    if yaml.safe_load(own.read_text()) != {"load_from": [{"python_module": module}]}:
        return None
    server = {"host": HOST, "port": port, "location_name": _LOCATION}
    return yaml.safe_dump({"load_from": [{"grpc_server": server}]})


def command(port: int) -> list[str]:
    """The program and its arguments. It reloads the code when the UI asks for that."""
    where = ["-h", HOST, "-p", str(port)]
    return ["dagster", "code-server", "start", *where, "-m", _MODULE, "-d", ".", "--location-name", _LOCATION]


ENVIRONMENT = {"DAGSTER_CODE_SERVER_MAX_WORKERS": str(_THREADS), "DAGSTER_GRPC_MAX_WORKERS": str(_THREADS)}
"""Variables for the program and for the process below it that loads the code."""


class Loader:
    """Watches the process below a code server that loads the code: the server does not notice when it is killed."""

    def __init__(self) -> None:
        self._process: psutil.Process | None = None

    def is_gone(self, server_pid: int) -> bool:
        """Tell whether there is none. After a reload it is another one."""
        if self._process is None or not is_alive(self._process):
            children = psutil.Process(server_pid).children()
            self._process = next((child for child in children if is_alive(child)), None)
        return self._process is None
