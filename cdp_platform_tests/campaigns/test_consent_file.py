"""Files of consents: every row is taken, or reported with its line."""

from pathlib import Path
from typing import Any

import pytest

from cdp_platform.campaigns import consent_file
from cdp_platform.campaigns.consent_file import ImportResult
from cdp_platform.errors import ConfigurationError
from cdp_platform_tests.campaigns.audiences import EMAIL, MEMBER, SMS, decisions, frozen
from cdp_platform_tests.campaigns.sender import Sender

_CHANNELS: dict[str, Any] = {"email": EMAIL, "e-mail": EMAIL, "sms": SMS}


def _taken(sender: Sender, folder: Path, content: str | bytes) -> ImportResult:
    path = folder / "consents.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return consent_file.import_file(sender.connection, sender.tenant, path, _CHANNELS)


def _held(sender: Sender) -> list[tuple]:
    return sender.rows("SELECT profile_id, channel, state FROM campaigns.consent_management ORDER BY 1, 2")


def test_a_row_names_a_person_by_key_address_or_number(sender: Sender, tmp_path: Path) -> None:
    sender.people(2, consent=None, primary_phone="+84901234567")
    result = _taken(
        sender,
        tmp_path,
        "profile_id,email,phone,channel,state,happened_at,legal_basis,source,evidence\n"
        "p0000,,,email,given,2026-06-01T09:30:00+07:00,consent,shop,form 3\n"
        ", P0001@Example.ORG ,,e-mail,Refused,2026-06-01,,,\n"
        ",,0901 234 567,sms,withdrawn,2026-06-01T00:00:00Z,,,\n",
    )
    assert (result.rows, result.taken, result.refused) == (3, 4, [])
    assert _held(sender) == [
        ("p0000", "email", "given"),
        ("p0000", "sms", "withdrawn"),
        ("p0001", "email", "refused"),
        ("p0001", "sms", "withdrawn"),
    ]
    assert sender.rows(
        "SELECT legal_basis, source, evidence, happened_at::text FROM campaigns.consent_management"
        " WHERE state = 'given'"
    ) == [("consent", "shop", "form 3", "2026-06-01 02:30:00+00")]


def test_a_file_that_is_taken_again_changes_nothing(sender: Sender, tmp_path: Path) -> None:
    sender.people(1, consent=None)
    content = "profile_id,channel,state,happened_at\np0000,email,given,2026-06-01\n"
    assert _taken(sender, tmp_path, content).taken == 1
    again = _taken(sender, tmp_path, content)
    assert (again.taken, again.older) == (0, 1)
    assert len(sender.rows("SELECT 1 FROM campaigns.consent_change")) == 1


def test_a_bad_row_costs_itself_and_is_reported_with_its_line(sender: Sender, tmp_path: Path) -> None:
    sender.people(1, consent=None)
    result = _taken(
        sender,
        tmp_path,
        "profile_id,email,phone,channel,state,happened_at,evidence\n"
        'p0000,,,email,given,2026-06-01,"two\nlines"\n'
        "p0000,,,fax,given,2026-06-01,\n"
        "p0000,,,email,perhaps,2026-06-01,\n"
        "p0000,,,email,given,yesterday,\n"
        "p0000,,,email,given,2999-01-01,\n"
        ",,,email,given,2026-06-01,\n"
        ",secret@,,email,given,2026-06-01,\n"
        ",,12,sms,given,2026-06-01,\n"
        "nobody,,,email,given,2026-06-01,\n"
        ",nobody@example.org,,email,given,2026-06-01,\n"
        "p0000,,,email\n"
        "p0000,,,email,given,2026-06-01,,more\n"
        "p0000,,,email,given,2026-06-01,a\x00b\n"
        "p0000,,,sms,given,2026-06-01,\n",
    )
    assert (result.rows, result.taken) == (14, 2)
    assert [row.line for row in result.refused] == list(range(4, 16))
    reasons = {row.line: row.reason for row in result.refused}
    assert reasons[4] == "channel is none of email, e-mail, sms"
    assert reasons[5].startswith("state is none of unknown, requested")
    assert "2026-06-01T09:30:00+07:00" in reasons[6]
    assert reasons[7] == "happened_at lies in the future"
    assert reasons[8].startswith("it names nobody")
    assert (reasons[9], reasons[10]) == ("email is not valid", "phone is not valid")
    assert (reasons[11], reasons[12]) == ("there is no profile", "there is no profile with this email")
    assert reasons[13] == reasons[14] == "it has not as many fields as the header, or its quotation marks do not fit"
    assert reasons[15] == "a field has a NUL character"
    assert not any("secret" in reason or "nobody@" in reason for reason in reasons.values())


def test_a_refusal_of_an_address_that_nobody_has_holds_for_who_comes_with_it(sender: Sender, tmp_path: Path) -> None:
    result = _taken(
        sender,
        tmp_path,
        "email,channel,state,happened_at\nlate0000@example.org,email,withdrawn,2026-06-01\n"
        "late0001@example.org,sms,withdrawn,2026-06-01\n",
    )
    assert (result.suppressed, [row.line for row in result.refused]) == (1, [3])
    sender.people(1, prefix="late", segments=MEMBER, receive_email=True, consent=None)
    sender.event()
    frozen(sender, trust_cdp_consent=True)
    assert decisions(sender) == {"late0000": "suppressed"}
    again = _taken(sender, tmp_path, "email,channel,state,happened_at\nlate0000@example.org,email,given,2026-06-02\n")
    assert again.taken == 1
    assert sender.rows("SELECT 1 FROM campaigns.suppression") == []


def test_many_rows_go_in_several_transactions(sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent_file, "_AT_ONCE", 10)
    sender.people(35, consent=None)
    lines = "".join(f"p{number:04},email,given,2026-06-01\n" for number in range(35))
    assert _taken(sender, tmp_path, f"profile_id,channel,state,happened_at\n{lines}").taken == 35
    assert len({row[0] for row in sender.rows("SELECT xmin::text FROM campaigns.consent_management")}) == 4


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "lacks the columns channel, state, happened_at, profile_id or email or phone"),
        ("profile_id,channel,state\n", "lacks the columns happened_at"),
        ("profile_id,channel,state,happened_at,mail\n", "columns that mean nothing here: mail"),
        ("profile_id,channel,state,happened_at\nÜ,email,given,2026\n".encode("latin-1"), "is not UTF-8"),
    ],
)
def test_what_is_no_such_table_is_refused_with_what_to_do(
    sender: Sender, tmp_path: Path, content: str | bytes, told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        _taken(sender, tmp_path, content)


def test_a_file_that_is_not_there_is_named(sender: Sender, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.csv cannot be read: No such file"):
        consent_file.import_file(sender.connection, sender.tenant, tmp_path / "absent.csv", _CHANNELS)
