"""The recipe: a TOML file, validated and frozen, with the line of everything it says."""

from avabuild.recipe.bases import ArchiveBase, Base, DebianBase, ImageBase, Offer, RecipeBase, ScratchBase
from avabuild.recipe.choices import Bases, Point
from avabuild.recipe.document import Source
from avabuild.recipe.model import Recipe, Wanted
from avabuild.recipe.packages import Packages, PipKind, pip_kind
from avabuild.recipe.plugins import Known, check_frameworks, parse_options
from avabuild.recipe.project import candidates
from avabuild.recipe.read import load
from avabuild.recipe.schema import json_schema
from avabuild.recipe.tables import Build, FileEntry, ImageConfig, Matrix, MountEntry, RunStep
from avabuild.recipe.variants import Variant, variants

__all__ = [
    "ArchiveBase",
    "Base",
    "Bases",
    "Build",
    "DebianBase",
    "FileEntry",
    "ImageBase",
    "ImageConfig",
    "Known",
    "Matrix",
    "MountEntry",
    "Offer",
    "Packages",
    "PipKind",
    "Point",
    "Recipe",
    "RecipeBase",
    "RunStep",
    "ScratchBase",
    "Source",
    "Variant",
    "Wanted",
    "candidates",
    "check_frameworks",
    "json_schema",
    "load",
    "parse_options",
    "pip_kind",
    "variants",
]
