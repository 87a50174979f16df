"""The engine: what turns a plan into an image."""
