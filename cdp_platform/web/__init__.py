"""Pages and addresses for people and providers outside: `cdp serve`."""
