"""How one group is trained: its data, batches, replicas, loop, checkpoints, and what computes a step."""
