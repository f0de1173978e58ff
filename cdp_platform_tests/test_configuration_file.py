from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from cdp_platform import configuration_file
from cdp_platform.configuration_file import Entries, wrong
from cdp_platform.errors import ConfigurationError
from cdp_platform_tests.configuration_files import problem_of

SETTING = "FLEET_CONFIG_PATH"
STRICT = ConfigDict(extra="forbid")


class Engine(BaseModel):
    model_config = STRICT

    power: int = Field(gt=0)


class Ferry(BaseModel):
    model_config = STRICT

    name: str
    kind: Literal["ferry"]
    passengers: int = 0
    engine: Engine | None = None


class Tanker(BaseModel):
    model_config = STRICT

    name: str
    kind: Literal["tanker"]
    cargo: str = Field(default="", alias="load")

    @model_validator(mode="after")
    def _named(self) -> "Tanker":
        if self.cargo == self.name:
            raise wrong("load", "is its name. Say what it carries")
        return self


class Fleet(BaseModel):
    model_config = STRICT

    ships: tuple[Annotated[Ferry | Tanker, Field(discriminator="kind")], ...]
    harbour: str = ""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fleet.yaml"


def loaded(file: Path, text: str) -> Fleet:
    file.write_text(text, encoding="utf-8")
    read = configuration_file.read(file, setting=SETTING, needs="It needs a list `ships`.")
    return read.checked(
        Fleet, entries={"ships": Entries("ship")}, hints={("missing", "name"): "is missing. Christen it"}
    )


def refused(file: Path, text: str) -> str:
    return problem_of(file, lambda: loaded(file, text))


def fleet(*lines: str) -> str:
    """A file with one ferry and some lines of its own, the first of them on line 4."""
    return "\n".join(["ships:", "  - name: anna", "    kind: ferry", *(f"    {line}" for line in lines)]) + "\n"


# --- what is wrong ---


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (fleet("passenger: 3"), "line 4, ship 'anna', passenger: there is no such field; passengers may be meant."),
        (fleet("load: oil"), "line 4, ship 'anna', load: there is no such field. Take it out."),
        (fleet("engine: {pwer: 1}"), "line 4, ship 'anna', engine.pwer: there is no such field; power may be meant."),
        (fleet("engine: {power: -1}"), "line 4, ship 'anna', engine.power: Input should be greater than 0."),
        (fleet("passengers: many"), "line 4, ship 'anna', passengers: Input should be a valid integer"),
        ("ships:\n  - kind: ferry\n", "line 2, ship 1, name: is missing. Christen it."),
        ("ships:\n  - name: anna\n", "line 2, ship 'anna', kind: is missing."),
        ("ships:\n  - name: anna\n    kind: raft\n", "kind: there is no such kind. Choose one of 'ferry', 'tanker'."),
        (
            "ships:\n  - {name: a, kind: tanker,\n     lod: x}\n",
            "line 3, ship 'a', lod: there is no such field; load may",
        ),
        (
            "ships:\n  - {name: a, kind: tanker,\n     load: a}\n",
            "line 3, ship 'a', load: is its name. Say what it carries.",
        ),
        ("ships: [1]\n", "line 1, ship 1: Input should be"),
        ("ships: {a: 1}\n", "line 1, ships: Input should be"),
        ("ship: []\n", "line 1, ship: there is no such field; ships may be meant."),
        ("harbour: hue\n", "line 1, ships: is missing."),
    ],
)
def test_a_problem_names_its_line_its_entry_and_the_field_that_may_be_meant(
    file: Path, text: str, problem: str
) -> None:
    assert problem in refused(file, text)


def test_all_problems_are_told_at_once(file: Path) -> None:
    message = refused(file, fleet("passengers: many", "engine: 3") + "  - kind: tanker\nharbor: hue\n")
    assert "line 4, ship 'anna', passengers" in message
    assert "line 5, ship 'anna', engine" in message
    assert "line 6, ship 2, name: is missing" in message
    assert "line 7, harbor: there is no such field; harbour may be meant" in message


def test_a_key_is_there_once(file: Path) -> None:
    assert refused(file, fleet("kind: ferry")) == "line 4: kind is there twice. Remove one."


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ships:\n  - name: [a\n", "line 3: no YAML: "),
        ("ships:\n\t- name: a\n", "line 2: no YAML: "),
        ("ships: *unknown\n", "line 1: no YAML: "),
        ("a: \x01\n", "is no YAML"),
        ("", "is empty. It needs a list `ships`."),
        ("# only words\n", "is empty"),
        ("- a\n", "line 1: Input should be"),
        (fleet("load: 2026-99-99"), "line 4: this is no value of its kind"),
        (fleet("load: !!python/object/apply:os.system ['true']"), "line 4"),
        (fleet("load: !!python/name:os.system x"), "line 4: this is no value of its kind"),
    ],
)
def test_what_is_no_such_file_is_refused_with_its_line(file: Path, text: str, problem: str) -> None:
    assert problem in refused(file, text)


def test_a_file_that_is_not_there_says_where_it_is_looked_for(file: Path) -> None:
    with pytest.raises(ConfigurationError, match=SETTING):
        configuration_file.read(file, setting=SETTING, needs="")
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        configuration_file.read(file, setting=SETTING, needs="")


def test_an_error_of_the_reader_of_a_file_names_the_line_too(file: Path) -> None:
    file.write_text(fleet())
    read = configuration_file.read(file, setting=SETTING, needs="")
    for place, line in ((("ships", 0, "kind"), 3), (("ships", 0, "engine", "power"), 2), (("harbour",), 1)):
        assert str(read.error(place, "is wrong")) == f"{file}, line {line}: is wrong."


# --- variables ---


def test_a_variable_is_put_in(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARBOUR", "hue")
    assert loaded(file, "ships: []\nharbour: ${HARBOUR}/a/${HARBOUR}\n").harbour == "hue/a/hue"


def test_a_variable_is_found_in_the_env_file_too(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("HARBOUR=from-file\nOTHER_HARBOUR=from-file\n")
    monkeypatch.setenv("HARBOUR", "from-environment")
    # What is empty is not set.
    monkeypatch.setenv("OTHER_HARBOUR", "")
    found = loaded(file, "ships: []\nharbour: ${HARBOUR}/${OTHER_HARBOUR}\n")
    assert found.harbour == "from-environment/from-file"


@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_is_not_set_is_named(file: Path, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("ABSENT", raising=False)
    if value is not None:
        monkeypatch.setenv("ABSENT", value)
    message = refused(file, fleet("load: ${ABSENT}"))
    assert message == "line 4: the variable ABSENT is not set. Set it in the environment or in .env."


def test_a_value_of_a_variable_is_only_ever_a_value(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tricky = "hue\nships: [1] # ${HOME} ${TRICKY} {}[]*&!"
    monkeypatch.setenv("TRICKY", tricky)
    found = loaded(file, "harbour: ${TRICKY}\nships: []\n")
    assert (found.harbour, found.ships) == (tricky, ())


@pytest.mark.parametrize(
    ("written", "read"), [("$${HOME}", "${HOME}"), ("$HOME", "$HOME"), ("a$b$", "a$b$"), ("100$$", "100$$")]
)
def test_other_dollars_stay(file: Path, written: str, read: str) -> None:
    assert loaded(file, f"ships: []\nharbour: '{written}'\n").harbour == read


@pytest.mark.parametrize("written", ["${}", "${HOME:-x}", "${HO ME}", "${1HOME}", "${HOME", "${$HOME}", "${${HOME}}"])
def test_a_reference_that_is_none_is_refused(file: Path, written: str) -> None:
    assert refused(file, fleet(f"load: '{written}'")).startswith("line 4: only ${NAME} is understood")


def test_names_of_fields_are_not_replaced(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIELD", "passengers")
    assert "there is no such field" in refused(file, fleet("${FIELD}: 3"))


@pytest.mark.parametrize("line", ["kind: ${SECRET}", "passengers: ${SECRET}", "engine: ${SECRET}", "load: ${SECRET}"])
def test_no_error_repeats_what_came_from_the_environment(
    file: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("SECRET", "hush hush")
    field: Any = line.partition(":")[0]
    text = fleet(line) if field != "kind" else f"ships:\n  - name: anna\n    {line}\n"
    assert "hush" not in refused(file, text)
