"""Stand-ins for every outside system on loopback, and demo data. Only the command line and the tests start them."""
