"""Trained networks at work: weights with their preprocessing, pictures in, masks out, and files for other programs."""
