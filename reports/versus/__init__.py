"""Two networks, runs or results folders against each other."""
