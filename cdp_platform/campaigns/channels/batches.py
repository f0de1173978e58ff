"""A batch over several connections at once: each takes the next message when it is done with one."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cdp_platform.campaigns.channels.contract import Answer, Outgoing


@dataclass(frozen=True)
class HandedIn:
    """The end of one message.

    Attributes:
        answer: its own.
        for_the_rest: the answer of every message that was not tried yet, where the provider takes none now.
    """

    answer: Answer
    for_the_rest: Answer | None = None


def hand_in(
    threads: ThreadPoolExecutor, connections: Sequence[Callable[[Outgoing], HandedIn]], batch: Sequence[Outgoing]
) -> list[Answer]:
    """Hand a batch in; one answer each, in their order.

    Args:
        threads: as many as there are connections.
        connections: each hands in one message at a time.
        batch: the messages. When one is answered for the rest, those that were not tried yet stay so.
    """
    answers: dict[int, Answer] = {}
    for_the_rest: list[Answer] = []
    waiting = deque(enumerate(batch))

    def work(hand_one_in: Callable[[Outgoing], HandedIn]) -> None:
        while not for_the_rest:
            try:
                number, message = waiting.popleft()
            except IndexError:
                return
            handed_in = hand_one_in(message)
            answers[number] = handed_in.answer
            if handed_in.for_the_rest is not None:
                for_the_rest.append(handed_in.for_the_rest)

    list(threads.map(work, connections[: len(batch)]))
    return [answers[number] if number in answers else for_the_rest[0] for number in range(len(batch))]
