import pickle

import pytest

from cdp_platform.errors import (
    MissingCollectionError,
    OutcomeUnknownError,
    PacedError,
    RefusedError,
    SourceError,
    UnavailableError,
)


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (SourceError("It is away.", transient=True), True),
        (MissingCollectionError("There is none.", transient=False), False),
        (PacedError("Not so fast.", retry_after_seconds=2.5), True),
        (UnavailableError("It is away."), True),
        (UnavailableError("It is away.", retry_after_seconds=3), True),
        (RefusedError("Not this."), False),
        (OutcomeUnknownError("No answer."), True),
    ],
    ids=repr,
)
def test_an_error_comes_out_of_another_process_as_it_was(error: SourceError, *, transient: bool) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
    assert again.transient is transient
