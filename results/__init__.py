"""The meeting place of claims and measurements: published tables and stored runs."""
