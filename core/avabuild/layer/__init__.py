"""Layer: the bytes of layers, and what of them is known by key."""
