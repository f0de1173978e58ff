"""The brake: rows may vanish up to a share of the rows that are there. A larger removal waits for a person.

A source that is half read, or empty by mistake, looks like one whose documents were deleted. All removals follow this
rule, each with figures of its own. How a person approves a removal belongs to the room.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Brake:
    """How much may vanish at once without a person's approval.

    Attributes:
        max_share: share of the rows that may vanish, 0 to 1. With 1 a person has approved it.
        free: up to this number of rows, a removal is never stopped by its share.
        stops_at_all: whether a removal of all rows is stopped, even if there are few.
    """

    max_share: float
    free: int
    stops_at_all: bool = False

    def stops(self, vanishing: int, held: int) -> bool:
        """Whether a person has to look first.

        Args:
            vanishing: number of rows that would vanish.
            held: number of rows that are there, including those.
        """
        if self.stops_at_all and vanishing == held > 0:
            return True
        return vanishing > max(self.free, self.max_share * held)
