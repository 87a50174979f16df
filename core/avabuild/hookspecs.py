"""The contract: the hooks that a plugin may implement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from avabuild.framework import Framework

hookspec = pluggy.HookspecMarker("avabuild")
hookimpl = pluggy.HookimplMarker("avabuild")


@hookspec
def avabuild_frameworks() -> Iterable[Framework]:  # type: ignore[empty-body]
    """Declare the frameworks that this plugin provides.

    Called once, when a recipe names the plugin's entry point. Returns an iterable of `Framework` values;
    an empty one means "none here". Example::

        @hookimpl
        def avabuild_frameworks():
            return [Framework(name="lightgbm", ...)]

    .. versionadded:: 0.1
    """
