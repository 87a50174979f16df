"""Plugins: what one says, and how it is asked."""
