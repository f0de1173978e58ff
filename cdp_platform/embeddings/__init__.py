"""The room of embeddings: vectors of texts, who makes them, and what they are good for."""
