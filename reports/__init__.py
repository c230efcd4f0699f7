"""How numbers become pages. Nothing here imports torch."""
