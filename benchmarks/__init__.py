"""How a number is made: networks by name, data, recipe, training, measuring."""
