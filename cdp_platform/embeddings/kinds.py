"""What texts are of."""

from typing import Literal, get_args

# As the tables have it. A kind has texts once a branch of the view `embeddings.entity_text` brings them.
Kind = Literal["profile", "transaction", "event", "product"]
KINDS: tuple[Kind, ...] = get_args(Kind)
