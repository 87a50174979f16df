"""The policy `house` for avabuild: labels, a notice, whose bases, and not as root."""

from __future__ import annotations

from collections.abc import Iterator

from avabuild.api import Draft, File, Files, Label, Policy, Refuse, hookimpl

AVABUILD_CONTRACT = 1

REGISTRY = "registry.house.example/"
NOTICE = "Property of the house. Questions: images@house.example\n"


def amend(draft: Draft) -> Iterator[Label | Files | Refuse]:
    """Answer for one image."""
    yield Label(name="example.house.owner", value="ml-platform")
    yield Files(files=(File(target="/etc/house-notice", content=NOTICE, mode="444"),))
    image = draft.base.get("image")
    if image is not None and not image.startswith(REGISTRY):
        yield Refuse(reason=f"take {REGISTRY}{image.rpartition('/')[2]} instead", where="base.image")
    if draft.user in {None, "0", "root"}:
        yield Refuse(reason='containers don\'t start as root: write user = "1000"', where="image.user")


@hookimpl
def avabuild_policies() -> list[Policy]:
    """Declare it."""
    return [Policy(name="house", summary="Owner, notice, the house's bases, no root", amend=amend)]
