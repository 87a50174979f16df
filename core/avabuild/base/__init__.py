"""Bases: what an image stands on, brought into the store whole and looked at once per digest."""

from avabuild.base.base import Base
from avabuild.base.facts import Facts, assumed, homes, releases_with
from avabuild.base.obtain import forget, obtain, obtained, reference

__all__ = ["Base", "Facts", "assumed", "forget", "homes", "obtain", "obtained", "reference", "releases_with"]
