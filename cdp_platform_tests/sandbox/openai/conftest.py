from cdp_platform_tests.embeddings.conftest import openai_stub  # noqa: F401 (the stand-in under test)
