"""Answers of a channel become states of deliveries, and are told to the channel's gate.

================== ============ ========= ================================================= ==========
answer             state        attempts  goes again                                        gate
================== ============ ========= ================================================= ==========
accepted           confirmed                                                                answered
not taken          reserved               after some seconds                                failed
rest               reserved               after the rest                                    rests
later              reserved     one more  after a wait that doubles, until the event ends   answered
five later in row  reserved               after the rest                                    rests
failed             failed                                                                   answered
bad address        failed                 never: the address is suppressed                  answered
about us           reserved               after some minutes                                failed
unknown            unknown                while the provider honours the key                failed
================== ============ ========= ================================================= ==========
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from cdp_platform.campaigns.channels.contract import Answer, Verdict
from cdp_platform.ops.effects import State
from cdp_platform.ops.gate import Gate

REST_SECONDS = 60.0
"""How long a channel rests where the provider does not say."""
LATER_IN_A_ROW = 5
"""So many people in a row who are to be tried later mean that the provider wants a rest."""
_AGAIN_SECONDS = {Verdict.NOT_TAKEN: 10.0, Verdict.OURS: 300.0, Verdict.UNKNOWN: 60.0}
_EACH_FAILED = {Verdict.OURS, Verdict.UNKNOWN}


@dataclass(frozen=True)
class Outcome:
    """The outcome of one delivery that was handed over, as it is written.

    Attributes:
        state: to have.
        reason: stable word of a failure or of what is unknown.
        answer: the provider's code.
        attempts: number of attempts that count against the person.
        wait_seconds: until the next attempt; None where the attempts so far say how long.
    """

    state: State
    reason: str | None = None
    answer: str = ""
    attempts: int = 0
    wait_seconds: float | None = None


TEMPLATE_FAILED = Outcome("failed", "template")
CUT_SHORT = Outcome("unknown", "no_answer", wait_seconds=_AGAIN_SECONDS[Verdict.UNKNOWN])
NOT_SENT = Outcome("reserved", wait_seconds=0.0)


def outcome(answer: Answer) -> Outcome:
    """The outcome that an answer means for its delivery."""
    wait = _AGAIN_SECONDS.get(answer.verdict)
    match answer.verdict:
        case Verdict.ACCEPTED:
            return Outcome("confirmed", answer=answer.code)
        case Verdict.FAILED:
            return Outcome("failed", "refused", answer.code)
        case Verdict.BAD_ADDRESS:
            return Outcome("failed", "bad_address", answer.code)
        case Verdict.UNKNOWN:
            return Outcome("unknown", "no_answer", answer.code, wait_seconds=wait)
        case Verdict.LATER:
            return Outcome("reserved", answer=answer.code, attempts=1, wait_seconds=answer.retry_after_seconds)
        case Verdict.REST:
            wait = answer.retry_after_seconds or REST_SECONDS
    return Outcome("reserved", answer=answer.code, wait_seconds=wait)


def resting(answers: Sequence[Answer]) -> list[Answer]:
    """The answers, where those that are too many ``LATER`` in a row ask the channel to rest."""
    judged: list[Answer] = []
    for verdict, row in groupby(answers, key=lambda answer: answer.verdict):
        several = list(row)
        too_many = verdict is Verdict.LATER and len(several) >= LATER_IN_A_ROW
        judged += [replace(answer, verdict=Verdict.REST) for answer in several] if too_many else several
    return judged


def tell(gate: Gate, answers: Sequence[Answer]) -> None:
    """Tell the gate how the calls ended, in their order; of several equal ones in a row no more than count.

    A channel that reaches nobody answers so for the whole batch: that is one failure.
    """
    for verdict, row in groupby(answers, key=lambda answer: answer.verdict):
        several = list(row)
        if verdict is Verdict.REST:
            longest = max(several, key=lambda answer: answer.retry_after_seconds or REST_SECONDS)
            gate.rest(longest.retry_after_seconds or REST_SECONDS, _said(longest))
        elif verdict is Verdict.NOT_TAKEN or verdict in _EACH_FAILED:
            for answer in several[: gate.breaker.failures if verdict in _EACH_FAILED else 1]:
                gate.failed(_said(answer), rest_seconds=answer.retry_after_seconds or 0.0)
        else:
            gate.answered()


def _said(answer: Answer) -> str:
    return " ".join(part for part in (answer.code, answer.reason) if part)
