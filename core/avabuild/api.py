"""All that a plugin author imports. Anything outside `__all__` may change without notice."""

from avabuild.contract import CONTRACT
from avabuild.driver import driver_minimum
from avabuild.framework import ForDevice, Framework, Impossible, Options, Release, Request, Wanted
from avabuild.hookspecs import hookimpl
from avabuild.layers import (
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
from avabuild.offered import BaseOptions, OfferedBase
from avabuild.policy import Draft, Index, Label, Policy, Refuse, Warn
from avabuild.sources import DebianSource, Download, ProjectFile, SourceFile
from avabuild.target import Device, Target

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
