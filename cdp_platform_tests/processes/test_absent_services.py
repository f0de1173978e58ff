"""A command whose outside system does not answer ends within seconds, and says what to do."""

from dataclasses import dataclass

import pytest

from cdp_platform_tests import silence
from cdp_platform_tests.processes.conftest import Checkout

BOUND_SECONDS = 30


@dataclass(frozen=True)
class Case:
    """A command, the variables that lead it to a server which takes connections and says nothing, and its advice."""

    command: str
    variables: dict[str, str]
    advice: str


CASES = [
    Case("sync --tenant tiny", {"ARANGO_HOST": "http://127.0.0.1:{}"}, "ARANGO_HOST"),
    Case("reconcile --tenant tiny", {"ARANGO_HOST": "http://127.0.0.1:{}"}, "ARANGO_HOST"),
    Case("status", {"ARANGO_HOST": "http://127.0.0.1:{}"}, "ARANGO_HOST"),
    Case("export-data --tenant tiny", {"GOOGLE_SHEETS_URL": "http://127.0.0.1:{}"}, "GOOGLE_SHEETS_URL"),
    Case("export-data --tenant tiny --dry-run", {"GOOGLE_SHEETS_URL": "http://127.0.0.1:{}"}, "GOOGLE_SHEETS_URL"),
    Case(
        "export-data --tenant tiny --type metrics",
        {"REFERRAL_DATABASE_URL": "postgresql://reader@127.0.0.1:{}/tracker"},
        "REFERRAL_DATABASE_URL",
    ),
    Case(
        "embeddings model add --provider openai --name text-embedding-3-small",
        {"OPENAI_BASE_URL": "http://127.0.0.1:{}/v1", "OPENAI_API_KEY": "any"},
        "OPENAI_BASE_URL",
    ),
    Case("tenant list", {"PGSQL_DB_PORT": "{}"}, "PGSQL_"),
    Case("migrate", {"PGSQL_DB_PORT": "{}"}, "PGSQL_"),
    Case("sync --tenant tiny", {"DAGSTER_PG_PORT": "{}"}, "DAGSTER_PG_"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.command} without {case.advice}")
def test_a_command_ends_soon_and_says_what_to_do(tiny_checkout: Checkout, case: Case):
    with silence.mute() as port:
        variables = {name: value.format(port) for name, value in case.variables.items()}
        done = tiny_checkout.cdp(*case.command.split(), **variables)
    assert done.code == 1, (done.out, done.err)
    assert case.advice in done.out + done.err
    assert "Traceback" not in done.err
    # What the machine takes to start a program at all is not the command's.
    assert done.seconds < BOUND_SECONDS + tiny_checkout.cdp("--help").seconds
