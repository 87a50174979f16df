"""All that a plugin author imports. Anything outside `__all__` may change without notice."""

from avabuild.contract import CONTRACT
from avabuild.driver import driver_minimum
from avabuild.framework import Framework, Impossible, Options, Release, Request
from avabuild.hookspecs import hookimpl
from avabuild.layers import (
    Apt,
    Compile,
    Env,
    File,
    Files,
    Libraries,
    Mount,
    Python,
    Repository,
    Run,
)
from avabuild.offered import BaseOptions, OfferedBase
from avabuild.policy import Draft, Index, Label, Policy, Refuse
from avabuild.sources import DebianSource, Download, ProjectFile, SourceFile
from avabuild.target import Device, Target

__all__ = [
    "CONTRACT",
    "Apt",
    "BaseOptions",
    "Compile",
    "DebianSource",
    "Device",
    "Download",
    "Draft",
    "Env",
    "File",
    "Files",
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
    "driver_minimum",
    "hookimpl",
]
