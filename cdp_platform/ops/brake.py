"""The brake: rows may vanish up to a share of what is there. What is more waits for a person.

A source that is half read, or empty by mistake, looks like one whose documents were deleted. The rule is the same for
whoever removes rows; its figures are not. What a person does to let it happen belongs to the room.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Brake:
    """How much may vanish at once without a person's word.

    Attributes:
        max_share: share of the rows that are there which may vanish, 0 to 1. With 1 a person has looked.
        free: number of rows up to which the share does not matter.
        stops_at_all: whether it also stops when all rows would vanish, however few they are.
    """

    max_share: float
    free: int
    stops_at_all: bool = False

    def stops(self, vanishing: int, held: int) -> bool:
        """Whether a person has to look first.

        Args:
            vanishing: rows that would vanish.
            held: rows that are there, those among them.
        """
        if self.stops_at_all and vanishing == held > 0:
            return True
        return vanishing > max(self.free, self.max_share * held)
