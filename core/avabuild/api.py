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
    Python,
    Repository,
    Run,
    Sdist,
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
    "Python",
    "Release",
    "Repository",
    "Request",
    "Run",
    "Sdist",
    "SourceFile",
    "Target",
    "driver_minimum",
    "hookimpl",
]
