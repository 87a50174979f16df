"""Check: what must be true of an image before it is handed over."""
