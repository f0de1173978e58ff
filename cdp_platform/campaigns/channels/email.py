"""E-mail, handed in at a relay by SMTP. The relay signs with DKIM and delivers."""

import re
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from cdp_platform.campaigns.channels import mime, smtp
from cdp_platform.campaigns.channels.contract import Verdict
from cdp_platform.campaigns.channels.entry import ChannelEntry, Occasion, Writer
from cdp_platform.configuration_file import wrong
from cdp_platform.errors import ConfigurationError, UnavailableError

_ADDRESS = re.compile(r"^(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>\d{1,5}))?$")
_PORTS = {"starttls": 587, "implicit": 465, "none": 25}
_HERE = {"localhost", "127.0.0.1", "::1"}


def _mailbox(value: str) -> str:
    """Check that it is an address, alone or as ``Name <address>``; messages do not repeat it."""
    name, address = parseaddr(value)
    try:
        Address(name, addr_spec=address)
    except (MessageError, ValueError, IndexError):
        address = ""
    if not address.isascii() or smtp.envelope_address(address) != address or not value.isprintable():
        raise PydanticCustomError("mailbox", "is no address. Write it as news@shop.example or Shop <news@shop.example>")
    return value


def _bare(value: str) -> str:
    if parseaddr(_mailbox(value)) != ("", value):
        raise PydanticCustomError("mailbox", "is more than an address. Write it as bounces@shop.example")
    return value


class EmailChannel(ChannelEntry):
    """A relay, and who writes.

    Attributes:
        address: host and port of the relay; the port is 587, 465 or 25 by ``tls`` if left out.
        tls: ``starttls``, ``implicit``, or ``none``.
        ca_file: certificates that the relay's is checked against, if not those of the system.
        user: '' without a login.
        password: the user's.
        sender: mailbox that messages are from, with the name of the sender; ``from`` in the file.
        reply_to: mailbox that answers go to.
        return_path: address that bounces go to; that of the sender if left out.
        unsubscribe_mailto: address that takes opt-outs by e-mail, beside the link.
        timeout_seconds: longest wait for a reply of the relay.
    """

    kind: Literal["email"]
    to: Literal["email"] = "email"
    address: str = Field(pattern=_ADDRESS)
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    ca_file: Path | None = None
    user: str = ""
    password: SecretStr = SecretStr("")
    sender: Annotated[str, AfterValidator(_mailbox)] = Field(alias="from")
    reply_to: Annotated[str, AfterValidator(_mailbox)] | None = None
    return_path: Annotated[str, AfterValidator(_bare)] | None = None
    unsubscribe_mailto: Annotated[str, AfterValidator(_bare)] | None = None
    timeout_seconds: float = Field(default=60, gt=0, le=600)

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if self.user and self.tls == "none" and self.host not in _HERE:
            raise wrong("tls", "is none, so that everybody on the way could read the password. Give starttls")
        if bool(self.user) != bool(self.password.get_secret_value()):
            raise wrong("user" if self.user else "password", "is there alone. Give both, user and password")
        return self

    @property
    def host(self) -> str:
        """Name or IP address of the relay."""
        return self._split[0]

    @property
    def port(self) -> int:
        """Port of the relay."""
        return int(self._split[1] or _PORTS[self.tls])

    @property
    def _split(self) -> tuple[str, str]:
        match = _ADDRESS.fullmatch(self.address)
        assert match is not None  # noqa: S101 (the field's pattern)
        return match["host"].strip("[]"), match["port"]

    @property
    def _server(self) -> smtp.Server:
        _, address = parseaddr(self.sender)
        return smtp.Server(
            host=self.host,
            port=self.port,
            tls=self.tls,
            context=self._context,
            user=self.user,
            password=self.password.get_secret_value(),
            sender=self.return_path or address,
            me=address.rpartition("@")[2],
            seconds=self.timeout_seconds,
        )

    @property
    def _context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"The certificates of channel {self.name} cannot be read ({type(error).__name__}): give a PEM file as"
                " its ca_file in channels.yaml."
            ) from error

    def beside(self, folder: Path) -> Self:
        """The same entry, whose relative paths start from the folder of channels.yaml."""
        return self.model_copy(update={"ca_file": folder.absolute() / self.ca_file}) if self.ca_file else self

    def writer(self, occasion: Occasion) -> Writer:
        """Writes the messages of one event, as RFC 5322 has them."""
        return mime.writer(
            occasion, sender=self.sender, reply_to=self.reply_to, unsubscribe_mailto=self.unsubscribe_mailto
        )

    @contextmanager
    def open(self) -> Generator[smtp.SmtpSender]:
        """A sender with up to ``connections`` sessions, which begin with their first message."""
        sender = smtp.SmtpSender(self._server, self.connections)
        try:
            yield sender
        finally:
            sender.close()

    def look(self) -> str:
        """Sign in, and say what was found.

        Raises:
            ConfigurationError: it refuses; the entry has to change.
            UnavailableError: it cannot be reached now.
        """
        try:
            connection = smtp.connected(self._server)
        except smtp.NotTakenError as error:
            where = f"The relay of channel {self.name}, {self.host}:{self.port}"
            if error.answer.verdict is Verdict.OURS:
                raise ConfigurationError(
                    f"{where}, does not take mail from us: {error.answer.reason}. Correct its entry in channels.yaml."
                ) from error
            raise UnavailableError(f"{where}, takes no mail now: {error.answer.reason}. Try again later.") from error
        encrypted = connection.sock.version() if isinstance(connection.sock, ssl.SSLSocket) else "no encryption"
        smtp.goodbye(connection)
        signed_in = f"signed in as {self.user}" if self.user else "without a login"
        return f"{self.host}:{self.port}, {encrypted}, {signed_in}"
