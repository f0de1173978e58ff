"""Stand-in for Apollo.io: people enrichment, its credits and limits, and the delivery of phone numbers."""

PATH = "/apollo"
# Both protect nothing: the stand-in listens on this machine alone and has no secrets. The first is a master key, the
# second may ask for people and for nothing else.
KEY = "sandbox"
PEOPLE_KEY = "sandbox-people"
