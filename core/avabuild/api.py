"""All that a plugin author imports. Anything outside `__all__` may change without notice."""

from avabuild.contract import CONTRACT
from avabuild.driver import driver_minimum
from avabuild.framework import Framework, Options, Release, Request
from avabuild.hookspecs import hookimpl
from avabuild.layers import (
    Apt,
    Compile,
    DebianSource,
    Download,
    Env,
    File,
    Files,
    Libraries,
    Mount,
    ProjectFile,
    Python,
    Repository,
    Run,
    SourceFile,
)
from avabuild.offered import BaseOptions, OfferedBase
from avabuild.policy import Draft, Index, Label, Policy, Refuse
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
