"""All that a plugin author imports. Anything outside `__all__` may change without notice."""

from avabuild.driver import driver_minimum
from avabuild.framework import Framework, Options, Release, Request
from avabuild.hookspecs import hookimpl
from avabuild.layers import Apt, Env, File, Files, Libraries, Mount, Python, Repository, Run
from avabuild.target import Device, Target

__all__ = [
    "Apt",
    "Device",
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
    "Target",
    "driver_minimum",
    "hookimpl",
]
