"""The lock file of a finished image: put beside its recipe, it makes the image again."""

from __future__ import annotations

from avabuild.common.errors import ImageError
from avabuild.images.description import table_of
from avabuild.images.image import Image
from avabuild.plan.labels import OFFER, POLICIES
from avabuild.resolve.lock import Distribution, Lock, lock_text


def lock_of(image: Image) -> str:
    """Return the text of the lock; ImageError when the image has none."""
    about = image.description
    if about.lock is None:
        hint = "an older avabuild made it; build it again" if about.own else "another tool made it"
        raise ImageError(f"{image.reference} has no lock", hint=hint)
    labels = image.labels
    used = [
        *(_distribution(text, framework=name) for name, text in about.plugins.items()),
        *(
            _distribution(text, base=name.partition(" ")[0])
            for name, text in table_of(labels.get(OFFER)).items()
        ),
        *(_distribution(text, policy=name) for name, text in table_of(labels.get(POLICIES)).items()),
    ]
    lock = Lock(recipe=str(about.recipe.get("name", "")), targets=(about.lock,))
    return lock_text(lock.with_plugins(tuple(used)))


def _distribution(text: str, **provided: str) -> Distribution:
    name, _, version = text.rpartition(" ")
    return Distribution(name=name, version=version, **provided)
