"""The room of embeddings: texts and their vectors, the providers of vectors, search, clusters and audiences."""
