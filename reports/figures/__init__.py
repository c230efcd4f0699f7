"""One file per figure; style, labels, picture and scatter hold what several share, and all.py lists them."""
