import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cdp_platform.errors import ConfigurationError
from cdp_platform.resources.google_account import service_account


@cache
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def a_key(**fields: Any) -> dict[str, Any]:
    """A key as Google's console gives it."""
    key = {
        "type": "service_account",
        "project_id": "harbour-42",
        "private_key_id": "0123456789abcdef0123456789abcdef01234567",
        "private_key": private_key(),
        "client_email": "export@harbour-42.iam.gserviceaccount.com",
        "client_id": "123456789012345678901",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
        "universe_domain": "googleapis.com",
    }
    return {name: value for name, value in (key | fields).items() if value is not None}


def _base64(text: str, *, urlsafe: bool, padded: bool, width: int) -> str:
    encoded = (base64.urlsafe_b64encode if urlsafe else base64.b64encode)(text.encode()).decode()
    encoded = encoded if padded else encoded.rstrip("=")
    return "\n".join(encoded[at : at + width] for at in range(0, len(encoded), width))


# What shells and compose files make of a JSON text.
MANGLED: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "with blank lines around": lambda text: f"\n\n  {text} \n",
    "with a byte order mark": lambda text: "\ufeff" + text,
    "escaped": lambda text: json.dumps(text)[1:-1],
    "escaped twice": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "only quotes escaped": lambda text: text.replace('"', '\\"'),
    "only newlines escaped": lambda text: text.replace("\\n", "\\\\n"),
    "lines escaped": lambda text: text.replace("\n", "\\n"),
    "a JSON string": json.dumps,
    "a JSON string of a JSON string": lambda text: json.dumps(json.dumps(text)),
    "literal newlines": lambda text: text.replace("\\n", "\n"),
    "literal newlines as of Windows": lambda text: text.replace("\\n", "\r\n"),
    "in single quotes": lambda text: f"'{text}'",
    "in double quotes": lambda text: f'"{text}"',
    "escaped in single quotes": lambda text: f"'{json.dumps(text)[1:-1]}'",
    "slashes escaped": lambda text: text.replace("/", "\\/"),
}

# No value of a key has a quote or a backslash, and nothing else could be told from what a shell does to it.
_PLAIN = st.text(
    st.characters(min_codepoint=32, exclude_characters='"\\\x7f\u2028', exclude_categories=["C"]), max_size=40
)


@pytest.mark.parametrize("how", MANGLED)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_key_is_read_whatever_shells_and_compose_files_made_of_it(how: str, indent: int | None) -> None:
    read = service_account(MANGLED[how](json.dumps(a_key(), indent=indent)))
    assert read | {"private_key": ""} == a_key(private_key="")
    assert read["private_key"].replace("\r\n", "\n") == private_key()


@hypothesis_settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    project=_PLAIN,
    how=st.sampled_from([name for name in MANGLED if "Windows" not in name]),
    form=st.sampled_from(["JSON", "base64", "path"]),
    urlsafe=st.booleans(),
    padded=st.booleans(),
    width=st.sampled_from([64, 76, 100_000]),
    ascii_only=st.booleans(),
)
def test_a_key_survives_every_form_it_can_travel_in(
    tmp_path: Path, *, project: str, how: str, form: str, urlsafe: bool, padded: bool, width: int, ascii_only: bool
) -> None:
    key = a_key(project_id=project)
    text = MANGLED[how](json.dumps(key, indent=2, ensure_ascii=ascii_only))
    if form == "base64":
        text = _base64(text, urlsafe=urlsafe, padded=padded, width=width)
    elif form == "path":
        file = tmp_path / "key.json"
        file.write_text(text, "utf-8")
        text = str(file)
    assert service_account(text) == key


def test_a_relative_path_and_one_in_the_home_folder_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text(json.dumps(a_key()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert service_account("secrets/key") == service_account("~/secrets/key") == a_key()


_OAUTH_CLIENT = {"installed": {"client_id": "1-x.apps.googleusercontent.com", "client_secret": "GOCSPX-secretsecret"}}
_LOGIN = {"type": "authorized_user", "client_id": "1", "client_secret": "GOCSPX-secretsecret", "refresh_token": "1//0"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", ["is not set", "Make a JSON key"]),
        ("  \n", ["is not set"]),
        ("{", ["seems to be JSON", "ends too early"]),
        (lambda: json.dumps(a_key())[:700], ["seems to be JSON", "ends too early"]),
        (lambda: json.dumps(a_key()).replace(":", "=", 1), ["seems to be JSON", "not JSON: line 1, column 8"]),
        ("[1, 2]", ["seems to be JSON", "no object"]),
        (json.dumps(_OAUTH_CLIENT), ["OAuth client", "Make a JSON key"]),
        (json.dumps(_OAUTH_CLIENT).replace('"', '\\"'), ["seems to be JSON", "OAuth client"]),
        (json.dumps(_LOGIN), ["authorized_user", "Make a JSON key"]),
        (json.dumps({"type": "external_account"}), ["workload identity", "Make a JSON key"]),
        ("{}", ["another kind"]),
        (lambda: json.dumps(a_key(client_email=None)), ["lacks client_email"]),
        (lambda: json.dumps(a_key(private_key=" ", token_uri=None)), ["lacks private_key, token_uri"]),
        (lambda: json.dumps(a_key(private_key=[1])), ["lacks private_key"]),
        (lambda: json.dumps(a_key(private_key=private_key()[:900])), ["private_key cannot be read", "base64 -w0"]),
        (lambda: json.dumps(a_key(private_key="hunter2hunter2")), ["private_key cannot be read"]),
        (private_key, ["private key alone"]),
        (lambda: base64.b64encode(json.dumps(_LOGIN).encode()).decode(), ["seems to be base64", "authorized_user"]),
        (lambda: base64.b64encode(json.dumps(a_key()).encode()).decode()[:1001], ["seems to be base64"]),
        (lambda: base64.b64encode(json.dumps(a_key()).encode()).decode()[:1000], ["seems to be base64", "too early"]),
        (lambda: base64.b64encode(os.urandom(999)).decode(), ["seems to be base64", "does not decode to a text"]),
        ("/nowhere/key.json", ["seems to be the path /nowhere/key.json", "no file is there"]),
        ("/dev/null/key.json", ["seems to be the path /dev/null/key.json", "no file is there"]),
        ("key.json", ["seems to be the path", "key.json", "no file is there"]),
        ("~nobody-of-this-name/key", ["seems to be a path", "no file is there"]),
        ("/", ["seems to be the path /", "it is a folder"]),
        ("hunter2hunter2", ["seems to be a path", "no file is there"]),
        ("a\0b", ["seems to be a path"]),
        ("x" * 5000 + "!", ["seems to be a path"]),
        ("secret, words " * 100, ["seems to be a path"]),
    ],
)
def test_a_wrong_value_says_what_it_seems_to_be_and_what_to_do_and_no_secret(
    value: str | Callable[[], str], words: list[str]
) -> None:
    given = value if isinstance(value, str) else value()
    with pytest.raises(ConfigurationError) as raised:
        service_account(given)
    _require_fit_to_show(raised.value, given)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "ends too early"),
        (b"not json", "not JSON: line 1, column 1"),
        (b"\xff\xfe\x00", "it is not a text"),
        (json.dumps(_LOGIN).encode(), "authorized_user"),
    ],
)
def test_a_file_that_is_no_key_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "key.json"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=words) as raised:
        service_account(str(file))
    assert f"seems to be the path {file}" in str(raised.value)
    _require_fit_to_show(raised.value, content.decode("latin-1"))


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's eyes are needed")
@pytest.mark.parametrize("closed", ["secrets", "secrets/key.json"])
def test_a_file_that_this_user_may_not_read_says_so(tmp_path: Path, closed: str) -> None:
    file = tmp_path / "secrets" / "key.json"
    file.parent.mkdir()
    file.write_text(json.dumps(a_key()))
    for folder in (tmp_path, *list(tmp_path.parents)[:-2]):
        folder.chmod(0o755)
    (tmp_path / closed).chmod(0)
    code = f"""
import os
from cdp_platform.errors import ConfigurationError
from cdp_platform.resources.google_account import service_account
os.setuid(65534)
try:
    service_account({str(file)!r})
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"the path {file}, and it cannot be read" in done.stdout


@hypothesis_settings(deadline=None, max_examples=200)
@given(st.one_of(st.text(max_size=300), st.binary(max_size=300).map(lambda raw: base64.b64encode(raw).decode())))
def test_whatever_it_is_the_error_is_one_that_a_person_can_act_on(value: str) -> None:
    with pytest.raises(ConfigurationError):
        service_account(value)


def _require_fit_to_show(error: ConfigurationError, value: str) -> None:
    said = str(error)
    assert "\n" not in said
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    for secret in (value, *private_key().splitlines()[1:-1], "GOCSPX", "1//0", "hunter2"):
        assert len(secret.strip()) < 4 or secret not in said or secret.startswith(("/", "key."))
