"""All that a plugin author imports. Anything outside `__all__` may change without notice."""

from avabuild.plugins.bases_offered import BaseOptions, OfferedBase
from avabuild.plugins.contract import CONTRACT
from avabuild.plugins.cuda import driver_minimum
from avabuild.plugins.framework import ForDevice, Framework, Impossible, Options, Release, Request, Wanted
from avabuild.plugins.hookspecs import hookimpl
from avabuild.plugins.kinds import (
    Apt,
    Compile,
    Defaults,
    Env,
    File,
    Files,
    Libraries,
    Mount,
    Python,
    Repository,
    Run,
)
from avabuild.plugins.policy import Draft, Index, Label, Policy, Refuse, Warn
from avabuild.plugins.sources import DebianSource, Download, ProjectFile, SourceFile
from avabuild.plugins.target import Device, Target

__all__ = [
    "CONTRACT",
    "Apt",
    "BaseOptions",
    "Compile",
    "DebianSource",
    "Defaults",
    "Device",
    "Download",
    "Draft",
    "Env",
    "File",
    "Files",
    "ForDevice",
    "Framework",
    "Impossible",
    "Index",
    "Label",
    "Libraries",
    "Mount",
    "OfferedBase",
    "Options",
    "Policy",
    "ProjectFile",
    "Python",
    "Refuse",
    "Release",
    "Repository",
    "Request",
    "Run",
    "SourceFile",
    "Target",
    "Wanted",
    "Warn",
    "driver_minimum",
    "hookimpl",
]
