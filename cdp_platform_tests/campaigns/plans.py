"""Files of plans, and the channels that they name: of the sandbox where it is given, else of nobody."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cdp_platform import settings
from cdp_platform_tests.sandbox_process import OUTBOX_SECRET, SandboxProcess

TEXT = "Hello {{ first_name|default('you') }}. {{ postal_address }} {{ opt_out_url }}"
HTML = "<p>Hello {{ first_name|default('you') }}</p><p>{{ postal_address }} <a href='{{ opt_out_url }}'>Opt out</a></p>"
# As in the CDP, a missing number is less than any.
EVERYBODY = {
    "condition": "AND",
    "rules": [{"id": "status", "field": "status", "type": "integer", "operator": "less", "value": 1_000}],
}


def use_channels(folder: Path, monkeypatch: pytest.MonkeyPatch, sandbox: SandboxProcess | None = None) -> None:
    """Set the variables of channels, with an address for the links of messages."""
    smtp, web = (sandbox.smtp_port, sandbox.url) if sandbox else (1, "http://127.0.0.1:1")
    email: dict[str, Any] = {
        "name": "email",
        "aliases": ["newsletter"],
        "kind": "email",
        "address": f"127.0.0.1:{smtp}",
        "from": "Shop <news@shop.example>",
    }
    sms: dict[str, Any] = {
        "name": "sms",
        "kind": "webhook",
        "to": "phone",
        "address": f"{web}/outbox/webhook/sms",
        "secret": OUTBOX_SECRET,
        "key_hours": 24,
    }
    if sandbox:
        email["ca_file"] = str(sandbox.certificate_file)
    path = folder / "channels.yaml"
    path.write_text(yaml.safe_dump({"channels": [email, sms]}))
    monkeypatch.setenv("CHANNELS_CONFIG_PATH", str(path))
    monkeypatch.setenv("CDP_WEB_URL", "https://web.shop.example")
    monkeypatch.setenv("CDP_WEB_KEYS", "a key of thirty-two characters and more")
    settings.forget()


def plan(**changes: Any) -> dict[str, Any]:
    """A file with one entry of each kind; ``changes`` are fields of the event."""
    event = {
        "event": "spring-1",
        "campaign": "spring",
        "name": "Spring sale",
        "description": "Ten percent off",
        "channel": "email",
        "segment": "everybody",
        "template": "spring-mail",
        "start": "2099-03-01T09:00:00",
        "end": "2099-03-01T20:00:00",
    }
    return {
        "campaigns": [{"code": "spring", "name": "Spring", "start": "2099-03-01T00:00:00"}],
        "templates": [
            {
                "template": "spring-mail",
                "channel_kind": "email",
                "subject": "Spring",
                "text": TEXT,
                "html": HTML,
                "approve": True,
            }
        ],
        "segments": [{"segment": "everybody", "name": "Everybody", "rules": EVERYBODY}],
        "events": [{name: value for name, value in (event | changes).items() if value is not None}],
    }


def write(folder: Path, content: Any, name: str = "plan.yaml") -> Path:
    """The file with this content: a text as it is, or what is written as YAML."""
    path = folder / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return path
