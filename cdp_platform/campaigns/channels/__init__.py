"""The channels that messages go out through. Each kind is one file."""
