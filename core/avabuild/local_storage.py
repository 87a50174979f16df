"""What the local storage's own files say of it: asked often, and buildah takes 30 ms for each answer.

Source: containers/storage, docs/containers-storage.md and the JSON that its layer stores write. All of it is
a hint: whoever reads it must go on when the storage turns out to be otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avabuild.value import Value


class LocalStorage(Value):
    """Where containers-storage keeps its lists: its root, and its driver's name."""

    root: Path
    driver: str

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> LocalStorage:
        """Return the storage that `buildah info` describes."""
        return cls(root=Path(info["store"]["GraphRoot"]), driver=info["store"]["GraphDriverName"])

    @property
    def images(self) -> Path:
        """The list of images."""
        return self.root / f"{self.driver}-images" / "images.json"

    def layers(self) -> dict[str, int] | None:
        """Return the diff IDs of whole layers with their tars' sizes; None for a list that is no such."""
        try:
            listed = json.loads((self.root / f"{self.driver}-layers" / "layers.json").read_bytes())
            whole = [one for one in listed if not (one.get("flags") or {}).get("incomplete")]
            return {one["diff-digest"]: int(one["diff-size"]) for one in whole if one.get("diff-digest")}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None
