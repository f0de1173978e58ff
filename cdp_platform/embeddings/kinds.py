"""The kinds of entities that have texts."""

from typing import Literal, get_args

# The values of the column `kind`. A kind has texts when a branch of the view `embeddings.entity_text` selects them.
Kind = Literal["profile", "transaction", "event", "product"]
KINDS: tuple[Kind, ...] = get_args(Kind)
