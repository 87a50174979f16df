"""Registries: images, and layers by their keys, in registries of the OCI distribution-spec."""

from avabuild.registries.cache import Cache
from avabuild.registries.credentials import AuthFiles, Credentials
from avabuild.registries.name import Remote
from avabuild.registries.push import Push, Pushed
from avabuild.registries.registries import BRIEF, Registries
from avabuild.registries.repository import Manifest, Repository

__all__ = [
    "BRIEF",
    "AuthFiles",
    "Cache",
    "Credentials",
    "Manifest",
    "Push",
    "Pushed",
    "Registries",
    "Remote",
    "Repository",
]
