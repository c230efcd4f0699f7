"""Training objectives: what a network minimises, as pure functions of tensors."""
