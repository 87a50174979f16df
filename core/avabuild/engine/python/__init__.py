"""Python: the environment of an image, from a resolution to its layers."""
