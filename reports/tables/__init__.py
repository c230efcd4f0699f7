"""One file per table; grid and cells hold what several share, and all.py lists them."""
