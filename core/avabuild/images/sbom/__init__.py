"""Bills of materials: what is in an image, in the formats of others."""
