"""A real Redis with a password, on a free port, which keeps nothing on disk."""

import secrets
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as NotConnected

HOST = "127.0.0.1"


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        return found.getsockname()[1]


@dataclass
class RedisServer:
    """A server that can be stopped and started again on the same port."""

    folder: Path
    port: int = field(default_factory=_free_port)
    password: str = field(default_factory=lambda: secrets.token_hex(16))
    _process: subprocess.Popen[bytes] | None = None

    @property
    def variables(self) -> dict[str, str]:
        return {"REDIS_HOST": HOST, "REDIS_PORT": str(self.port), "REDIS_PASSWORD": self.password}

    def client(self) -> Redis:
        return Redis(HOST, self.port, password=self.password)

    def start(self) -> None:
        program = shutil.which("redis-server")
        assert program, "These tests need redis-server: apt-get install redis-server, or your system's package of it."
        # By a file, since a command line is shown to everyone on the machine.
        configuration = self.folder / "redis.conf"
        configuration.write_text(
            f"bind {HOST}\nport {self.port}\nrequirepass {self.password}\nsave ''\nappendonly no\ndir {self.folder}\n"
        )
        with (self.folder / "redis.txt").open("ab") as output:
            self._process = subprocess.Popen([program, str(configuration)], stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < deadline, (self.folder / "redis.txt").read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except NotConnected:
            return False
