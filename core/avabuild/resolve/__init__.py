"""Requirements to packages, and packages to files: uv, pip, indexes, the lock file and the downloads."""

from avabuild.resolve.fetch import Fetcher, Progress, file_name
from avabuild.resolve.indexes import Indexes, from_host, pip_conf_paths, redact, uv_toml_paths
from avabuild.resolve.lock import read_lock, write_lock
from avabuild.resolve.pip import ClassicResolver
from avabuild.resolve.platforms import Platform
from avabuild.resolve.pylock import Resolved
from avabuild.resolve.resolver import Resolver
from avabuild.resolve.uv import Command, NeedsBuild, Outcome, find_uv

__all__ = [
    "ClassicResolver",
    "Command",
    "Fetcher",
    "Indexes",
    "NeedsBuild",
    "Outcome",
    "Platform",
    "Progress",
    "Resolved",
    "Resolver",
    "file_name",
    "find_uv",
    "from_host",
    "pip_conf_paths",
    "read_lock",
    "redact",
    "uv_toml_paths",
    "write_lock",
]
