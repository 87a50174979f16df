"""One run of avabuild: a recipe, this host and the user's wishes in; built images and a written lock out."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from avabuild import stamp
from avabuild.base import Base, Facts, assumed, forget, obtain, obtained, reference
from avabuild.build.build import Build as BuildResult
from avabuild.build.build import Job, build
from avabuild.build.context import Context
from avabuild.build.output import Output
from avabuild.build.workshop import Workshop
from avabuild.buildah import Tools
from avabuild.errors import LockError, TargetError
from avabuild.host import Host
from avabuild.lock import Lock, Package, TargetLock
from avabuild.plan import Plan
from avabuild.prepare import Project, make_plan, open_project, request_of, requirements, targets
from avabuild.recipe import DebianBase, RecipeBase, ScratchBase
from avabuild.report import Event, Report
from avabuild.resolve import (
    Fetcher,
    Indexes,
    NeedsBuild,
    Platform,
    Progress,
    Resolver,
    from_host,
    pip_conf_paths,
    read_lock,
    write_lock,
)
from avabuild.store import Scratch, Store
from avabuild.store.scratch import sweep
