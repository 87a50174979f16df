"""All that a plugin author imports. Anything outside `__all__` may change without notice."""

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
from avabuild.target import Device, Target

__all__ = [
    "Apt",
    "Compile",
    "DebianSource",
    "Device",
    "Download",
    "Env",
    "File",
    "Files",
    "Framework",
    "Libraries",
    "Mount",
    "Options",
    "ProjectFile",
    "Python",
    "Release",
    "Repository",
    "Request",
    "Run",
    "SourceFile",
    "Target",
    "driver_minimum",
    "hookimpl",
]
