"""What is tried again, and what is not."""

import os
import signal

import dagster as dg
import pytest

from cdp_platform.orchestration.failures import IO_RETRIES


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_step_is_not_tried_again_and_no_other_begins(number: signal.Signals):
    begun: list[str] = []

    @dg.asset(retry_policy=IO_RETRIES)
    def first() -> None:
        begun.append("first")
        os.kill(os.getpid(), number)

    @dg.asset(retry_policy=IO_RETRIES)
    def second() -> None:
        begun.append("second")

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([first, second], instance=instance, raise_on_error=False)
    assert not result.success
    assert begun == ["first"]


def test_a_failed_step_is_tried_again():
    begun: list[str] = []
    at_once = IO_RETRIES._replace(delay=0.01)

    @dg.asset(retry_policy=at_once)
    def first() -> None:
        begun.append("first")
        if len(begun) < 3:
            raise ConnectionResetError

    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize([first], instance=instance).success
    assert len(begun) == 3
