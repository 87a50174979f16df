"""Findings of the machine that runs the tests: looked for, kept, and looked for again when they may differ."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from avabuild.common.errors import HostError
from avabuild.host import places
from avabuild.host import survey as module
from avabuild.host.host import Host, probe
from avabuild.host.settings import Settings
from avabuild.host.survey import means_of, survey


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = tmp_path / "place"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def here(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """This machine, with a place and a cache of the test's own; other tests may give ranges to users meanwhile."""
    monkeypatch.setattr(module, "_FILES", ())
    settings = Settings(root=place, cache=tmp_path / "cache", origins=(("root", "--root"),))
    return probe(os.environ, settings)


def kept(host: Host) -> list[Path]:
    return sorted((host.cache / "host").glob("*.json"))


def test_what_is_found_is_of_this_user_and_place(here: Host, place: Path) -> None:
    found = survey(here, os.environ)
    (directory,) = found.directories
    assert (found.uid, directory.path, directory.trouble) == (os.geteuid(), place, "")
    assert directory.free > 0
    assert directory.filesystem
    assert list(place.iterdir()) == [], "trials leave nothing behind"


def test_findings_are_kept_for_the_next_run(here: Host) -> None:
    first = survey(here, os.environ)
    (path,) = kept(here)
    before = path.stat().st_mtime_ns
    again = survey(here, os.environ)
    assert again.model_copy(update={"directories": (), "own": None}) == first.model_copy(
        update={"directories": (), "own": None}
    )
    assert path.stat().st_mtime_ns == before
    survey(here, os.environ, anew=True)
    assert path.stat().st_mtime_ns != before


def test_kept_findings_have_the_free_space_of_now(here: Host) -> None:
    survey(here, os.environ)
    (path,) = kept(here)
    text = path.read_text()
    free = survey(here, os.environ).directories[0].free
    path.write_text(
        text.replace(f'"free": {survey(here, os.environ, anew=True).directories[0].free}', '"free": 1')
    )
    assert survey(here, os.environ).directories[0].free == pytest.approx(free, rel=0.2)


@pytest.mark.parametrize("variable", ["SLURM_TMPDIR", "XDG_RUNTIME_DIR", "PATH"])
def test_another_environment_is_looked_at_anew(here: Host, variable: str) -> None:
    survey(here, os.environ)
    survey(here, {**os.environ, variable: os.environ.get(variable, "") + ":/elsewhere"})
    assert len(kept(here)) == 2


def test_only_the_newest_findings_are_kept(here: Host) -> None:
    survey(here, os.environ)
    (path,) = kept(here)
    for number in range(40):
        older = path.with_name(f"{number}.json")
        older.touch()
        os.utime(older, ns=(number, number))
    survey(here, {**os.environ, "SLURM_TMPDIR": "/elsewhere"})
    names = {one.name for one in kept(here)}
    assert len(names) == 16
    assert path.name in names
    assert {"39.json", "26.json"} <= names
    assert "25.json" not in names


@pytest.mark.parametrize("damage", ["", "{}", "no json", '{"uid": "x"}'])
def test_damaged_findings_are_made_anew(here: Host, damage: str) -> None:
    first = survey(here, os.environ)
    (path,) = kept(here)
    path.write_text(damage)
    assert survey(here, os.environ).single == first.single


@pytest.fixture
def storage(tmp_path: Path) -> dict[str, str]:
    """An environment whose own storage of images depends on variables."""
    (tmp_path / "containers").mkdir()
    file = tmp_path / "containers" / "storage.conf"
    file.write_text('[storage]\ngraphroot = "$GRAPHS/graph"\nrunroot = "$RUNS/run"\n')
    variables = {
        "CONTAINERS_STORAGE_CONF": file,
        "XDG_CONFIG_HOME": tmp_path,
        "GRAPHS": tmp_path,
        "RUNS": tmp_path,
    }
    return {**os.environ, **{name: str(path) for name, path in variables.items()}}


@pytest.mark.parametrize("variable", ["GRAPHS", "RUNS"])
def test_own_storage_that_is_elsewhere_now_is_looked_at_anew(
    here: Host, storage: dict[str, str], tmp_path: Path, variable: str
) -> None:
    survey(here, storage)
    own = survey(here, {**storage, variable: str(tmp_path / "other")}).own
    assert own
    assert {"GRAPHS": own.directory.path, "RUNS": own.run}[variable] == tmp_path / "other" / (
        "graph" if variable == "GRAPHS" else "run"
    )


def test_own_storage_that_cant_be_written_any_more_is_looked_at_anew(
    here: Host, storage: dict[str, str], tmp_path: Path
) -> None:
    survey(here, storage)
    (tmp_path / "graph").touch()
    own = survey(here, storage).own
    assert own
    assert "can't be written" in own.directory.trouble


LESS = {
    "no new privileges": ("--no-new-privs",),
    "fewer capabilities": ("--bounding-set", "-sys_admin"),
    "another group": ("--groups", "4242"),
}


@pytest.mark.skipif(os.geteuid() != 0, reason="takes rights away, which others don't have")
@pytest.mark.parametrize("less", LESS)
def test_a_process_that_may_do_less_is_looked_at_anew(here: Host, less: str) -> None:
    survey(here, os.environ)
    (path,) = kept(here)
    program = (
        "import os, sys; from pathlib import Path; from avabuild.host import settings, survey; from avabuild.host.host import probe; "
        "survey._FILES = (); where = {'root': sys.argv[1], 'cache': sys.argv[2]}; "
        "survey.survey(probe(os.environ, settings.Settings(**where, origins=(('root', '--root'),))), os.environ)"
    )
    argv = [sys.executable, "-c", program, str(here.settings.root), str(here.cache)]
    subprocess.run(argv, check=True)
    assert kept(here) == [path]
    subprocess.run(["setpriv", *LESS[less], *argv], check=True)
    assert len(kept(here)) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
@pytest.mark.parametrize("planted", ["by another", "for all to write", "as a link", "as a pipe"])
def test_findings_that_others_can_have_written_are_not_believed(here: Host, planted: str) -> None:
    survey(here, os.environ)
    (path,) = kept(here)
    told = path.read_text().replace(f'"user": "{places.name(os.geteuid())}"', '"user": "mallory"')
    assert "mallory" in told
    path.write_text(told)
    assert survey(here, os.environ).user == "mallory", "what is the user's own is believed"
    if planted == "by another":
        os.chown(path, 65534, 65534)
    elif planted == "for all to write":
        path.chmod(0o620)
    else:
        path.rename(path.with_suffix(".moved"))
        path.symlink_to(path.with_suffix(".moved")) if planted == "as a link" else os.mkfifo(path, 0o600)
    assert survey(here, os.environ).user != "mallory"
    assert survey(here, os.environ, anew=True).user != "mallory"
    assert (path.is_file(), path.is_symlink(), path.stat().st_mode & 0o777) == (True, False, 0o600)


def test_a_directory_that_became_somebody_elses_is_looked_at_anew(here: Host, place: Path) -> None:
    survey(here, os.environ)
    place.chmod(0o777)
    assert "others may write" in survey(here, os.environ).directories[0].trouble
    with pytest.raises(HostError, match="--root: no directory can hold what builds keep"):
        means_of(here, os.environ)


def test_the_place_is_made_for_the_user_alone(here: Host, place: Path) -> None:
    host = here.model_copy(update={"settings": here.settings.model_copy(update={"root": place / "new"})})
    means = means_of(host, os.environ)
    assert means.place == place / "new"
    assert means.place.stat().st_mode & 0o777 == 0o700


def test_a_cache_that_cant_be_written_stops_nothing(here: Host) -> None:
    host = here.model_copy(update={"cache": Path("/proc/nowhere")})
    assert survey(host, os.environ).uid == os.geteuid()


def test_looking_takes_little_of_a_build(here: Host) -> None:
    took = []
    for _ in range(4):
        before = spent()
        survey(here, os.environ, anew=True)
        took.append(spent() - before)
    assert min(took) < 0.15, "seconds of processors, ours and the children's"


def spent() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
