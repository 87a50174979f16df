"""Which NVIDIA driver a CUDA version needs at least, on Linux for x86_64.

Source: NVIDIA's CUDA toolkit release notes, "CUDA Toolkit and Corresponding Driver Versions"; from 11 on its
"Minor Version Compatibility": any driver of the major version's first release serves. Checked 2026-11-24.
"""

from __future__ import annotations

_OF_TOOLKIT = {
    "7.5": "352.31",
    "8.0": "375.26",
    "9.0": "384.81",
    "9.1": "390.46",
    "9.2": "396.26",
    "10.0": "410.48",
    "10.1": "418.39",
    "10.2": "440.33",
    "11.0": "450.36.06",
    "11.2": "460.27",
}
_OF_MAJOR = {"11": "450.80.02", "12": "525.60.13", "13": "580.65.06"}


def driver_minimum(cuda: str) -> str | None:
    """Return the oldest driver for `cuda` (`9.0`, `12.5`), or None for one that is not known here."""
    return _OF_TOOLKIT.get(cuda) or _OF_MAJOR.get(cuda.partition(".")[0])
