"""Export: images as Containerfiles, definitions and archives."""
