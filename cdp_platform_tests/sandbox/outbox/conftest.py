"""Senders that the outbox knows, and an outbox without messages."""

import smtplib
import ssl
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson
import pytest

from cdp_platform_tests.sandbox.conftest import WebApp
from cdp_platform_tests.sandbox_process import OUTBOX_SECRET, SandboxProcess
from cdp_sandbox.outbox.reports import signed


@dataclass
class Sender:
    """Sends to the stand-ins for mail and message providers, and looks into the outbox."""

    sandbox: SandboxProcess

    @property
    def url(self) -> str:
        return f"{self.sandbox.url}/outbox"

    @contextmanager
    def smtp(self, *, tls: bool = True) -> Generator[smtplib.SMTP]:
        with smtplib.SMTP("127.0.0.1", self.sandbox.smtp_port, timeout=30) as client:
            if tls:
                client.starttls(context=ssl.create_default_context(cafile=self.sandbox.certificate_file))
            yield client

    def mail(self, address: str = "an@example.com", *, key: str = "key-1", **parts: str) -> None:
        with self.smtp() as client:
            client.sendmail("shop@example.net", [address], mail(address, key=key, **parts))

    def post(self, key: str = "key-1", *, channel: str = "sms", secret: str = OUTBOX_SECRET, **fields: Any) -> Any:
        body = orjson.dumps({"to": "+84901234567", "text": "Hello", **fields})
        headers = {**signed(secret, body), "idempotency-key": key}
        return httpx2.post(f"{self.url}/webhook/{channel}", content=body, headers=headers, timeout=30)

    def messages(self) -> list[dict[str, Any]]:
        return httpx2.get(f"{self.url}/messages", timeout=30).json()


def mail(
    address: str,
    *,
    key: str = "key-1",
    subject: str = "Hello",
    text: str = "Hello An",
    html: str = "",
    headers: str = "",
) -> bytes:
    head = (
        f"From: Shop <shop@example.net>\r\nTo: {address}\r\nSubject: {subject}\r\nMessage-ID: <{key}@shop.invalid>\r\n"
        f"MIME-Version: 1.0\r\n{headers}"
    )
    if not html:
        return f"{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()
    parts = "".join(
        f"--x\r\nContent-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{content}\r\n"
        for kind, content in (("plain", text), ("html", html))
    )
    return f'{head}Content-Type: multipart/alternative; boundary="x"\r\n\r\n{parts}--x--\r\n'.encode()


@pytest.fixture
def sender(sandbox: SandboxProcess) -> Sender:
    """A sender to an outbox in which there is nothing."""
    made = Sender(sandbox)
    httpx2.delete(f"{made.url}/messages", timeout=30).raise_for_status()
    return made


@pytest.fixture
def reported(sender: Sender, web_app: WebApp) -> Iterator[Callable[..., tuple[str, dict[str, str], bytes]]]:
    """Sends something that is reported on later, and returns what was posted: path, headers and body."""
    httpx2.put(f"{sender.url}/report_to", json={"url": web_app.url}, timeout=30).raise_for_status()
    yield web_app.wait
    httpx2.put(f"{sender.url}/report_to", json={"url": ""}, timeout=30)
