from pathlib import Path
from textwrap import dedent

import pytest

from cdp_platform import settings
from cdp_platform.campaigns.channels.config import Channels, configured, load
from cdp_platform.campaigns.channels.email import EmailChannel
from cdp_platform.campaigns.channels.webhook import WebhookChannel
from cdp_platform.errors import ConfigurationError
from cdp_platform_tests.configuration_files import problem_of

ROOT = Path(__file__).resolve().parents[2]
EMAIL = """\
channels:
  - name: email
    kind: email
    address: smtp.example.com
    from: news@shop.example
"""
WEBHOOK = """\
channels:
  - name: sms
    kind: webhook
    to: phone
    address: https://gateway.example.com/messages
    secret: hush
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "channels.yaml"


def loaded(file: Path, text: str) -> Channels:
    file.write_text(dedent(text), encoding="utf-8")
    return load(file)


def refused(file: Path, text: str) -> str:
    message = problem_of(file, lambda: loaded(file, text))
    assert "hush" not in message
    return message


def test_everything_that_the_file_says_is_there(file: Path) -> None:
    channels = loaded(
        file,
        """
        channels:
          - name: email
            kind: email
            aliases: [newsletter]
            address: smtp.example.com:2525
            tls: implicit
            ca_file: relay.pem
            user: shop
            password: hush
            from: Cửa hàng <news@shop.example>
            reply_to: hello@shop.example
            return_path: bounces@shop.example
            unsubscribe_mailto: stop@shop.example
            connections: 8
            per_minute: 600
            per_day: 50000
            key_hours: 1.5
            outcome_secret: hush
          - name: sms
            kind: webhook
            to: phone
            address: https://gateway.example.com/messages
            status_url: https://gateway.example.com/messages/{key}
            secret: hush
        """,
    )
    email, sms = channels["email"], channels["sms"]
    assert isinstance(email, EmailChannel)
    assert (email.kind, email.to, email.connections, email.per_minute, email.per_day) == (
        "email",
        "email",
        8,
        600,
        50000,
    )
    assert (email.key_seconds, email.can_answer, email.ca_file) == (5400, False, file.parent / "relay.pem")
    assert isinstance(sms, WebhookChannel)
    assert (sms.kind, sms.to, sms.per_minute, sms.key_seconds, sms.can_answer) == ("webhook", "phone", None, 0, True)
    assert "hush" not in f"{email!r} {sms!r}"


@pytest.mark.parametrize("name", ["email", "E-Mail", "e_mail", "newsletter", "News-Letter"])
def test_a_channel_is_found_by_each_way_to_write_its_name(file: Path, name: str) -> None:
    channels = loaded(file, EMAIL + "    aliases: [newsletter]\n")
    assert channels[name].name == channels.required(name).name == "email"
    assert list(channels) == ["email"]


def test_a_channel_that_is_not_there_is_answered_with_those_that_are(file: Path) -> None:
    channels = loaded(file, EMAIL)
    assert channels.get("sms") is None
    with pytest.raises(ConfigurationError, match="no channel 'sms': there are email"):
        channels.required("sms")
    with pytest.raises(ConfigurationError, match="CHANNELS_CONFIG_PATH"):
        Channels().required("sms")


def test_without_a_file_there_are_no_channels(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not configured()
    file.write_text(EMAIL)
    monkeypatch.setenv("CHANNELS_CONFIG_PATH", str(file))
    settings.forget()
    assert list(configured()) == ["email"]


def test_the_file_that_is_shipped_names_the_channels_of_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SANDBOX_URL", "SANDBOX_SMTP_USER", "SANDBOX_SMTP_PASSWORD", "SANDBOX_CA_FILE", "OUTBOX_SECRET"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("SANDBOX_SMTP_PORT", "2525")
    channels = load(ROOT / "channels.yaml")
    assert [(channel.name, channel.kind, channel.to) for channel in channels.values()] == [
        ("email", "email", "email"),
        ("sms", "webhook", "phone"),
        ("zalo", "webhook", "phone"),
    ]
    assert channels["e-mail"] is channels["email"]
    assert channels["zalo_oa"] is channels["zalo"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            EMAIL + "    conections: 3\n",
            "line 6, channel 'email', conections: there is no such field; connections may be",
        ),
        (EMAIL + "    secret: hush\n", "line 6, channel 'email', secret: there is no such field"),
        (
            EMAIL.replace("kind: email", "kind: hush"),
            "line 3, channel 'email', kind: there is no such kind. Choose one of",
        ),
        (EMAIL.replace("    kind: email\n", ""), "line 2, channel 'email', kind: is missing"),
        (EMAIL.replace("    from: news@shop.example\n", ""), "line 2, channel 'email', from: is missing"),
        (EMAIL.replace("news@shop.example", "hush"), "line 5, channel 'email', from: is no address"),
        (EMAIL.replace("news@", "news@hush@"), "line 5, channel 'email', from: is no address"),
        (EMAIL.replace("news@shop.example", '"a <hush@b.example>\\r\\nBcc: c"'), "from: is no address"),
        (EMAIL + "    return_path: Shop <hush@shop.example>\n", "line 6, channel 'email', return_path: is more than"),
        (EMAIL + "    user: shop\n", "line 6, channel 'email', user: is there alone"),
        (EMAIL + "    password: hush\n", "line 6, channel 'email', password: is there alone"),
        (
            EMAIL + "    tls: none\n    user: shop\n    password: hush\n",
            "line 6, channel 'email', tls: is none, so that everybody on the way could read the password",
        ),
        (EMAIL + "    connections: 0\n", "line 6, channel 'email', connections: Input should be greater than"),
        (WEBHOOK.replace("    secret: hush\n", ""), "line 2, channel 'sms', secret: is missing"),
        (WEBHOOK.replace("    to: phone\n", ""), "line 2, channel 'sms', to: is missing"),
        (WEBHOOK.replace("https://", "ftp://"), "line 5, channel 'sms', address: is no address"),
        (WEBHOOK.replace("https://", "https://u:hush@"), "line 5, channel 'sms', address: is no address"),
        (WEBHOOK + "    status_url: https://gateway.example.com/\n", "line 7, channel 'sms', status_url: does not say"),
        (WEBHOOK + "    status_url: hush/{key}\n", "line 7, channel 'sms', status_url: is no address"),
        (EMAIL + EMAIL.removeprefix("channels:\n"), "line 6: 'email' is a name or alias of the channel on line 2 too"),
        (
            EMAIL + WEBHOOK.removeprefix("channels:\n") + "    aliases: [E-mail]\n",
            "line 6: 'E-mail' is a name or alias of the channel on line 2 too",
        ),
        ("channels: hush\n", "line 1, channels: Input should be"),
        ("chanels: []\n", "chanels: there is no such field; channels may be meant"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_without_its_value(file: Path, text: str, problem: str) -> None:
    assert problem in refused(file, text)


@pytest.mark.parametrize(
    ("address", "tls", "host", "port"),
    [
        ("smtp.example.com", "starttls", "smtp.example.com", 587),
        ("smtp.example.com", "implicit", "smtp.example.com", 465),
        ("127.0.0.1", "none", "127.0.0.1", 25),
        ("127.0.0.1:2525", "none", "127.0.0.1", 2525),
        ("[::1]:2525", "none", "::1", 2525),
        ("[::1]", "none", "::1", 25),
    ],
)
def test_a_relay_has_a_port_by_the_way_it_encrypts(file: Path, address: str, tls: str, host: str, port: int) -> None:
    text = EMAIL.replace("smtp.example.com", f"'{address}'") + f"    tls: {tls}\n"
    email = loaded(file, text)["email"]
    assert isinstance(email, EmailChannel)
    assert (email.host, email.port) == (host, port)


def test_certificates_that_cannot_be_read_are_an_error_that_names_the_channel(file: Path) -> None:
    email = loaded(file, EMAIL + "    ca_file: absent.pem\n")["email"]
    with pytest.raises(ConfigurationError, match=r"channel email cannot be read .*ca_file"):
        email.look()
