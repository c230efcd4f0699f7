"""Cells become run folders: a plan, groups that train from a specification, scoring, and what is written."""
