"""What networks cost: operations, memory traffic, speed of training and of inference."""
