"""The lock file of a finished image: put beside its recipe, it makes the image again."""

from __future__ import annotations

from avabuild.errors import ImageError
from avabuild.images.finding import Image
from avabuild.lock import Distribution, Lock
from avabuild.resolve.lockfile import lock_text


def lock_of(image: Image) -> str:
    """Return the text of the lock; ImageError when the image has none."""
    about = image.description
    if about.lock is None:
        hint = "an older avabuild made it; build it again" if about.own else "another tool made it"
        raise ImageError(f"{image.reference} has no lock", hint=hint)
    plugins = tuple(
        Distribution(framework=name, name=text.rpartition(" ")[0], version=text.rpartition(" ")[2])
        for name, text in about.plugins.items()
    )
    return lock_text(Lock(recipe=str(about.recipe.get("name", "")), plugins=plugins, targets=(about.lock,)))
