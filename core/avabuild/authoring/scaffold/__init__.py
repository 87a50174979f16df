"""Scaffold: a whole distribution for a framework of one's own, written from templates."""

from avabuild.authoring.scaffold.request import LICENSES, Scaffold, scaffold_for
from avabuild.authoring.scaffold.table import Row, newest
from avabuild.authoring.scaffold.write import require_absent, write

__all__ = ["LICENSES", "Row", "Scaffold", "newest", "require_absent", "scaffold_for", "write"]
