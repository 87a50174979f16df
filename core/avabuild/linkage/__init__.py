"""Linkage: whether every shared object that an image's programs need is in it; nothing of it is run."""
