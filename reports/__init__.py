"""How numbers become pages. Nothing in this room imports torch."""
