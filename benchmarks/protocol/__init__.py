"""What is trained, and how: recipes with every setting, and suites of cells."""
