"""Bases: what an image stands on, brought into the store whole and looked at once per digest."""

from avabuild.base.obtain import bring_base, forget, obtain, obtained, offer_base, reference
from avabuild.layer.base import Base
from avabuild.layer.facts import Facts, assumed, assumed_image, homes, is_debian, releases_with

__all__ = [
    "Base",
    "Facts",
    "assumed",
    "assumed_image",
    "bring_base",
    "forget",
    "homes",
    "is_debian",
    "obtain",
    "obtained",
    "offer_base",
    "reference",
    "releases_with",
]
