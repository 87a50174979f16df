"""What is called in a build's namespace before `buildah run` is: device nodes of a base do nothing.

A user's own storage need not say so; the runner of ours does it for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from avabuild.inside import kernel
from avabuild.inside.room import restrict


def main(arguments: Sequence[str]) -> int:
    """Shut off the devices of the container whose root is the one argument."""
    place = Path(arguments[0]).resolve()
    if not place.is_mount():  # copies (vfs): all of them are shut off, once
        place = place.parent
        if not place.is_mount():
            kernel.mount(str(place), str(place), flags=kernel.MS_BIND | kernel.MS_REC)
    restrict(str(place), kernel.MS_NODEV, "/")
    return 0
