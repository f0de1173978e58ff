"""Stand-in for shops that publish a brand registry and product feeds, and for the web server that holds them."""

PATH = "/feeds"
REGISTRY = "registry/brands.json"
