"""Registries: images, and layers by their keys, in registries of the OCI distribution-spec."""
