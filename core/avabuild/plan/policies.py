"""What policies make of a plan: amendments by who made them, the draft they see, what clashes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from avabuild.common.errors import Problem
from avabuild.plan.plan import Plan, Ruled, Step
from avabuild.plugins.framework import Release
from avabuild.plugins.kinds import Apt, Env, Files, Layer, Python
from avabuild.plugins.policy import Amendment, Draft, EarlyDraft, Index, Label, Refuse, Warn
from avabuild.plugins.target import Target
from avabuild.plugins.wording import KeyPath
from avabuild.recipe import Recipe

POLICY = "policy "  # what the origin of a policy's layers begins with: no framework's name has a space


@dataclass(frozen=True, slots=True)
class Amended:
    """What one policy adds to an image.

    Attributes:
        policy: its name.
        distribution: the plugin's, with `version`.
        amendments: as it gave them.
    """

    policy: str
    distribution: str
    version: str
    amendments: tuple[Amendment, ...]

    @property
    def origin(self) -> str:
        """How a plan calls who asked."""
        return f"{POLICY}{self.policy}"

    def layers(self, python: str | None) -> tuple[Layer, ...]:
        """Return its layers for an image with `python`: no packages of Python where there is none."""
        kinds = (Apt, Files, Env) if python is None else (Apt, Files, Env, Python)
        return tuple(one for one in self.amendments if isinstance(one, kinds))

    @property
    def labels(self) -> dict[str, str]:
        """Its labels by name."""
        return {one.name: one.value for one in self.amendments if isinstance(one, Label)}

    @property
    def index(self) -> str | None:
        """The index that it names, None for none."""
        return next((one.url for one in self.amendments if isinstance(one, Index)), None)

    def ruled(self, python: str | None) -> Ruled:
        """Return what it did to an image with `python`, for the plan."""
        kept = [one for one in self.amendments if isinstance(one, Label | Index | Refuse | Warn)]
        did = tuple(sorted(word for one in (*kept, *self.layers(python)) for word in _words(one)))
        return Ruled(name=self.policy, distribution=self.distribution, version=self.version, did=did)


def _words(one: Amendment | Layer) -> tuple[str, ...]:
    match one:
        case Label():
            words = [f"label {one.name}"]
        case Apt():
            words = [f"apt {name}" for name in one.packages]
        case Python():
            words = [f"pip {text}" for text in (*one.requirements, *one.alone, *one.constraints)]
        case Files():
            words = [f"file {file.target}" for file in one.files]
        case Env():
            words = [f"variable {name}" for name, _ in one.variables]
            words += [f"library path {path}" for path in one.library_path]
        case _:
            words = [one.kind]
    return tuple(words)


def draft_of(plan: Plan, releases: dict[str, Release]) -> Draft:
    """Return what a policy is shown of `plan`, whose frameworks are of `releases`."""
    written: Any = plan.base.model_dump(mode="json")
    offer = plan.base_offer
    return Draft(
        name=plan.name,
        tag=plan.tag,
        base=written if isinstance(written, dict) else {},
        offered=offer.name if offer else "",
        target=plan.target,
        frameworks=releases,
        apt=_sorted(plan.apt, plan.apt_extra),
        python=_sorted(plan.python, plan.python_extra),
        run=tuple(step.layer.shell for step in (*plan.system, *plan.last)),
        labels=dict(plan.settings.labels),
        env=dict(plan.settings.env),
        user=plan.settings.user,
    )


def early_draft(recipe: Recipe) -> EarlyDraft:
    """Return what a policy is shown of an image of `recipe` before its base is here."""
    written: Any = recipe.one_base.model_dump(mode="json")
    offer = recipe.one_base.offer
    return EarlyDraft(
        name=recipe.name,
        tag="",
        base=written if isinstance(written, dict) else {},
        offered=offer.name if offer else "",
        target=Target.for_base(""),
        user=recipe.image.user,
    )


def _sorted(*steps: Step[Layer] | None) -> tuple[str, ...]:
    names: set[str] = set()
    for step in steps:
        if step and isinstance(step.layer, Apt):
            names.update(step.layer.packages)
        elif step and isinstance(step.layer, Python):
            names.update((*step.layer.requirements, *step.layer.alone))
    return tuple(sorted(names))


def refusals(recipe: Recipe, amended: Sequence[Amended]) -> tuple[Problem, ...]:
    """Return why the image is not to be built, all reasons at once, each with the policy's name.

    Nothing is overridden: a label, a variable or an index that two ask for differently is a reason. Of a
    variable whose name ends with PATH policies each add their part, but not to what the recipe says.
    """
    problems: list[Problem] = []
    said: dict[tuple[str, str], tuple[str, str]] = {}
    for name, value in recipe.image.labels:
        said["labels", name] = (value, "the recipe")
    for name, value in recipe.image.env:
        said["env", name] = (value, "the recipe")
    recipes = frozenset(said)
    for one in amended:
        who = f"{one.origin} ({one.distribution} {one.version})"
        for refusal in (item for item in one.amendments if isinstance(item, Refuse)):
            path: KeyPath = tuple(refusal.where.split(".")) if refusal.where else ()
            problems.append(recipe.source.problem(path, f"{who} refuses it: {refusal.reason}"))
        for key, wanted in _wanted(one):
            if key[0] == "env" and key[1].endswith("PATH") and key not in recipes:
                continue
            value, other = said.setdefault(key, (wanted, who))
            if value != wanted:
                words = f'{who} asks for "{wanted}", {other} for "{value}"'
                problems.append(recipe.source.problem(("image", *key) if key[0] else (), words))
    return tuple(dict.fromkeys(problems))


def warnings(recipe: Recipe, amended: Sequence[Amended]) -> tuple[str, ...]:
    """Return what the policies warn of, in words with the place in the recipe."""
    said = (
        recipe.source.problem(
            tuple(item.where.split(".")) if item.where else (),
            f"{one.origin} ({one.distribution} {one.version}) warns: {item.reason}",
        )
        for one in amended
        for item in one.amendments
        if isinstance(item, Warn)
    )
    return tuple(dict.fromkeys(map(str, said)))


def _wanted(one: Amended) -> list[tuple[tuple[str, str], str]]:
    """Return what the policy wants to have one value, by what it is."""
    wanted = [(("labels", name), value) for name, value in one.labels.items()]
    for layer in one.layers("3"):
        pairs = layer.variables if isinstance(layer, Env) else ()
        wanted += [(("env", name), value) for name, value in pairs]
    return wanted + ([(("", "index"), one.index)] if one.index else [])
