from cdp_platform_tests.resources.conftest import sheets_stub  # noqa: F401 (a fixture for this room too)
