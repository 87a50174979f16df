"""The contract: the hooks that a plugin may implement; its number is in `contract`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from avabuild.plugins.bases_offered import OfferedBase
    from avabuild.plugins.framework import Framework
    from avabuild.plugins.policy import Policy

hookspec = pluggy.HookspecMarker("avabuild")
hookimpl = pluggy.HookimplMarker("avabuild")


@hookspec
def avabuild_frameworks() -> Iterable[Framework]:  # type: ignore[empty-body]
    """Declare the frameworks that this plugin provides.

    Called once, when a recipe names an entry point of the group `avabuild`; the entry point's name is the
    framework's. Returns an iterable of `Framework` values; an empty one means "none here". None is an error,
    as is anything else. Example::

        @hookimpl
        def avabuild_frameworks():
            return [Framework(name="lightgbm", ...)]

    .. versionadded:: contract 1
    """


@hookspec
def avabuild_policies() -> Iterable[Policy]:  # type: ignore[empty-body]
    """Declare what a site asks of every image.

    Called once, when the distribution is named by `AVABUILD_PLUGINS`, by the user's configuration, by
    `avabuild.toml` or by a recipe: being installed is not enough. The entry point of the group
    `avabuild.policies` has the policy's name. Returns an iterable of `Policy` values; an empty one means
    "none here". Each policy's `amend` is then asked once for each image, in the order of names, with a
    `Draft` that has what earlier policies added. Example::

        def amend(draft):
            yield Label(name="example.team", value="ml")
            if not draft.base.get("image", "registry.example/").startswith("registry.example/"):
                yield Refuse(reason="images come from registry.example", where="base")


        @hookimpl
        def avabuild_policies():
            return [Policy(name="example", summary="what example.org asks for", amend=amend)]

    .. versionadded:: contract 1
    """


@hookspec
def avabuild_bases() -> Iterable[OfferedBase]:  # type: ignore[empty-body]
    """Declare bases that a recipe may name by a key of their own: `base = { ubuntu = "22.04" }`.

    Called once, when a recipe's `base` table has the key that an entry point of the group `avabuild.bases` is
    named by. Returns an iterable of `OfferedBase` values; an empty one means "none here". `resolve` is then
    asked with the table as the offered base's own class of options. Example::

        class Ubuntu(BaseOptions):
            ubuntu: Literal["22.04", "24.04"] = Field(description="The release")


        @hookimpl
        def avabuild_bases():
            image = lambda options: {"image": f"registry.example/ubuntu:{options.ubuntu}"}
            return [OfferedBase(name="ubuntu", summary="Ubuntu", options=Ubuntu, resolve=image)]

    .. versionadded:: contract 1
    """
