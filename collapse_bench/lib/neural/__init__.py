"""Neural networks: layers, the training loop, generative models."""
