"""Damage: what Python's readers of archives raise where one is damaged, encrypted or packed in another way.

OSError is not among it, for that is a disk's word too; bz2 has no other, so who only reads catches it too.
"""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zipfile
import zlib
from typing import cast

import zstandard
from isal import igzip_lib

_ISAL = cast("type[Exception]", igzip_lib.IsalError)  # which its own types call an instance

ZIP = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, KeyError, RuntimeError)
"""What readers of a zip raise. An encrypted zip, or one packed in an unknown way, gives a RuntimeError."""
TAR = (
    *(tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError),
    *(gzip.BadGzipFile, _ISAL, ValueError),
)
"""What readers of a tar raise, whatever its compression."""
