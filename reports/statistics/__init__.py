"""How sure we are: intervals and tests (estimates), networks against each other (contrasts), and ranks (ranks)."""
