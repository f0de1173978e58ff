"""Running the platform: what state it is in, what is wrong, and what to do about it."""
