"""avabuild: OCI images for machine-learning frameworks from a TOML recipe."""

__version__ = "0.1.0"
