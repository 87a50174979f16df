"""Authoring: what authors of plugins use: new ones are written, and held to the contract."""
