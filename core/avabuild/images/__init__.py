"""Finished images: found, described, exported, accounted for and removed."""
