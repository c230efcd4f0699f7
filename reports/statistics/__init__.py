"""How sure we are: intervals and tests (estimates), networks against each other (contrasts), ranks and standing.

`block.RunBlock` holds the runs of one data set and recipe, and computes each of these once.
"""
