"""Stand-in for OpenAI: its `/v1/embeddings`."""

PATH = "/openai"
# The one key that it takes. It protects nothing: the stand-in listens on this machine alone and has no secrets.
KEY = "sandbox"
