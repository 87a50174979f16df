"""Exec: layers that come of code that runs in a container."""
