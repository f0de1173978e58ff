"""channels.yaml: the channels that messages go through.

The file has the list ``channels`` and is read as every file of `configuration_file`. Names and aliases are the same
whether they are written with capitals, hyphens, underscores or without: ``e-mail``, ``E_Mail`` and ``email``.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from cdp_platform import configuration_file, settings
from cdp_platform.campaigns.channels.entry import ChannelEntry
from cdp_platform.campaigns.channels.known import AnyChannel
from cdp_platform.configuration_file import ConfigurationFile, Entries
from cdp_platform.errors import ConfigurationError


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: tuple[AnyChannel, ...]


class Channels(Mapping[str, ChannelEntry]):
    """The channels of a file by their names; ``[]`` and ``get`` know their aliases too."""

    def __init__(self, channels: tuple[ChannelEntry, ...] = ()) -> None:
        self._channels = {channel.name: channel for channel in channels}
        self._names = {_plain(name): channel.name for channel in channels for name in (channel.name, *channel.aliases)}

    def __getitem__(self, name: str) -> ChannelEntry:
        return self._channels[self._names[_plain(name)]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._channels)

    def __len__(self) -> int:
        return len(self._channels)

    def required(self, name: str) -> ChannelEntry:
        """The channel of a name or alias.

        Raises:
            ConfigurationError: there is none; names those there are.
        """
        found = self.get(name)
        if found is None:
            there = f"there are {', '.join(self)}" if self else "CHANNELS_CONFIG_PATH names a file without any, or none"
            raise ConfigurationError(f"There is no channel {name!r}: {there}. Add it to channels.yaml, or an alias.")
        return found


def configured() -> Channels:
    """The channels of the file that CHANNELS_CONFIG_PATH names; none if it is not set.

    Raises:
        ConfigurationError: as `load`.
    """
    path = settings.channels().channels_config_path
    return load(path) if path is not None else Channels()


def load(path: Path) -> Channels:
    """The channels of a file, in its order.

    Raises:
        ConfigurationError: the file is missing or wrong; names file, line, channel and field, and no value of the
            environment.
    """
    file = configuration_file.read(
        path,
        setting="CHANNELS_CONFIG_PATH",
        needs="It needs a list `channels` (channels.yaml has an example).",
    )
    channels = file.checked(_Document, entries={"channels": Entries("channel")}).channels
    _require_unique(channels, file)
    return Channels(tuple(channel.beside(path.parent) for channel in channels))


def _plain(name: str) -> str:
    return name.casefold().replace("-", "").replace("_", "")


def _require_unique(channels: tuple[ChannelEntry, ...], file: ConfigurationFile) -> None:
    first: dict[str, int] = {}
    for number, channel in enumerate(channels):
        names = {_plain(name): name for name in (channel.name, *channel.aliases)}
        for plain in names.keys() & first.keys():
            raise file.error(
                ("channels", number),
                f"{names[plain]!r} is a name or alias of the channel on line {first[plain]} too. Rename one",
            )
        first |= dict.fromkeys(names, file.lines["channels", number])
