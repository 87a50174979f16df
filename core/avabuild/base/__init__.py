"""Bases: what an image stands on, brought into the store whole and looked at once per digest."""

from avabuild.base.base import Base
from avabuild.base.facts import Facts, assumed, assumed_image, homes, is_debian, releases_with
from avabuild.base.obtain import forget, obtain, obtained, reference

__all__ = [
    "Base",
    "Facts",
    "assumed",
    "assumed_image",
    "forget",
    "homes",
    "is_debian",
    "obtain",
    "obtained",
    "reference",
    "releases_with",
]
