"""Brand registries and product feeds: who sells, what they sell, and at which price."""
