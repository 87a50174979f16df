"""Run steps: what a command gets and what it can't reach, for every kind of user and with either runner."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .tiny import write_tiny
from .user import User

pytestmark = pytest.mark.build

KINDS = ("root", "ranged", "bare")
RUNNERS = ("own", "buildah")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "tiny.tar")


@pytest.fixture
def someone(request: pytest.FixtureRequest, make_user: Callable[[str, bool], User], tiny: Path) -> User:
    """The user of the parameter, with the tiny base at home and an empty cache."""
    kind = request.param
    user = request.getfixturevalue("root") if kind == "root" else make_user(f"steps{kind}", kind == "ranged")
    shutil.copy(tiny, user.home / "tiny.tar")
    user.own(user.home / "tiny.tar")
    user.cache = user.home / "steps-cache"
    shutil.rmtree(user.cache, ignore_errors=True)
    return user


every_user = pytest.mark.parametrize("someone", KINDS, indirect=True)
users_without_root = pytest.mark.parametrize("someone", KINDS[1:], indirect=True)
every_runner = pytest.mark.parametrize("runner", RUNNERS)


def recipe(user: User, shell: str, **keys: object) -> Path:
    more = "".join(f"{name} = {json.dumps(value)}\n" for name, value in keys.items())
    return user.recipe(
        f'name = "ava-test-steps"\nbase = {{ archive = "tiny.tar" }}\n[[run]]\nshell = {json.dumps(shell)}\n{more}'
    )


def layer(user: User) -> tarfile.TarFile:
    """The topmost layer of the last image."""
    index = json.loads((user.home / "out" / "index.json").read_bytes())
    blobs = user.home / "out" / "blobs" / "sha256"
    manifest = json.loads((blobs / index["manifests"][-1]["digest"].removeprefix("sha256:")).read_bytes())
    return tarfile.open(blobs / manifest["layers"][-1]["digest"].removeprefix("sha256:"))


def made_by(user: User, runner: str, shell: str, **keys: object) -> dict[str, str]:
    """Build; return the step's own files: name -> text, directories and links as what they are."""
    user.env["AVABUILD_RUNNER"] = runner
    shutil.rmtree(user.home / "out", ignore_errors=True)
    outcome = user.avabuild("recipe", recipe(user, shell, **keys), "--output", "oci:out")
    assert outcome.code == 0, outcome.err
    with layer(user) as tar:
        return {
            member.name: (
                tar.extractfile(member).read().decode() if member.isfile() else member.type.decode()
            )  # type: ignore[union-attr]
            for member in tar
        }


@every_runner
@every_user
def test_a_step_is_root_in_a_room_of_its_own_and_leaves_only_its_files(someone: User, runner: str) -> None:
    made = made_by(
        someone, runner,
        "id -u >/id; umask >/umask; env >/env; ls -d /dev/null /dev/zero /dev/pts /dev/shm /proc/self/status /sys/kernel >/room;"
        "stat -c %a /id >/mode; cat /etc/resolv.conf >/resolv; cat /etc/hosts >/hosts; echo x 2>&1 >/dev/stdout | cat >/stdout;"
        "ls -a /run >/run-before; mkdir -p /srv/new; touch '/srv/new/a b'",
    )  # fmt: skip
    assert made["id"] == "0\n"
    assert made["umask"] == "0022\n"
    assert made["mode"] == "644\n"
    assert len(made["room"].split()) == 6
    assert "localhost" in made["hosts"]
    assert made["resolv"] == Path("/etc/resolv.conf").read_text()
    assert "PATH=/usr/local/sbin:/usr/local/bin" in made["env"]
    assert "HOME=/root" in made["env"]
    assert set(made) == {
        "id", "umask", "env", "room", "mode", "resolv", "hosts", "stdout", "run-before", "srv", "srv/new", "srv/new/a b",
    }  # fmt: skip
    assert someone.leftovers() == []


@every_user
def test_nothing_of_the_host_can_be_seen(someone: User) -> None:
    secret = someone.home / "secret-of-the-host"
    secret.write_text("the secret")
    someone.own(secret)
    someone.env |= {
        "SSH_AUTH_SOCK": "/agent",
        "AWS_SECRET_ACCESS_KEY": "hush",
        "REGISTRY_AUTH_FILE": str(secret),
    }
    try:
        made = made_by(
            someone, "own",
            f"ls {secret} >/seen 2>&1 || true; env >/env; ls /proc >/processes;"
            "for p in /proc/[0-9]*; do cat $p/environ $p/cmdline; ls $p/root/ $p/cwd/; done >/others 2>&1 || true;"
            f"cat /proc/1/root{secret} >/through 2>&1 || true; mount -t tmpfs x /tmp >/mounted 2>&1 && echo yes >>/mounted || true;"
            "mknod /disk b 254 0 >/device 2>&1 || true; cat /disk >/stolen 2>&1 || true; kill -9 -1 || true",
        )  # fmt: skip
    finally:
        for name in ("SSH_AUTH_SOCK", "AWS_SECRET_ACCESS_KEY", "REGISTRY_AUTH_FILE"):
            del someone.env[name]
    assert "No such file" in made["seen"]
    assert "the secret" not in "".join(made.values())
    assert "hush" not in "".join(made.values())
    assert "SSH_AUTH_SOCK" not in made["env"]
    processes = [name for name in made["processes"].split() if name.isdigit()]
    assert len(processes) <= 3, "its own alone"
    assert "yes" not in made["mounted"]
    assert "disk" not in made


@every_user
def test_what_a_step_removes_is_gone_for_the_next(someone: User) -> None:
    path = recipe(someone, "rm /etc/group; rm -r /home; mkdir /home; touch /home/new")
    path.write_text(path.read_text() + '[[run]]\nshell = "ls -d /etc/group /home/* >/left 2>&1 || true"\n')
    outcome = someone.avabuild("recipe", path, "--output", "oci:out")
    assert outcome.code == 0, outcome.err
    with layer(someone) as tar:
        left = tar.extractfile("left").read().decode()  # type: ignore[union-attr]
    assert "cannot access '/etc/group'" in left
    assert left.endswith("/home/new\n")
    assert "/home/ada" not in left


@users_without_root
def test_a_file_can_be_given_to_others_where_there_are_others(someone: User) -> None:
    made_by(someone, "own", "touch /f; chown ada:ada /f; mkfifo /p; ln -s /f /l; touch /s; chmod 4755 /s")
    with layer(someone) as tar:
        by_name = {member.name: member for member in tar}
    assert (by_name["f"].uid, by_name["f"].gid) == ((33, 33) if someone.owners else (0, 0))
    assert by_name["p"].isfifo()
    assert by_name["l"].linkname == "/f"
    assert by_name["s"].mode == 0o4755
    headers = "".join(name for member in by_name.values() for name in member.pax_headers)
    assert "overlay" not in headers, "the driver's marks stay with the driver"


@pytest.mark.parametrize("someone", ["bare"], indirect=True)
def test_a_user_with_one_id_is_told_once_whose_the_files_are(someone: User) -> None:
    path = recipe(someone, "touch /f; chown ada /f")
    path.write_text(path.read_text() + '[[run]]\nshell = "touch /g"\n')
    outcome = someone.avabuild("recipe", path, "--output", "oci:out")
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("owned by root") == 1
    again = someone.avabuild("recipe", path, "--output", "oci:other")
    assert again.code == 0
    assert "owned by root" not in again.err, "nothing was made"


@every_user
def test_a_step_without_network_has_a_loopback_device_alone(someone: User) -> None:
    made = made_by(
        someone, "own", "cat /proc/net/dev >/devices; cat /proc/net/route >/routes", network="none"
    )
    devices = [line.split(":")[0].strip() for line in made["devices"].splitlines()[2:]]
    assert devices == ["lo"]
    assert len(made["routes"].splitlines()) <= 1


def test_a_step_without_network_is_refused_where_it_would_have_one(root: User, tiny: Path) -> None:
    shutil.copy(tiny, root.home / "tiny.tar")
    root.env["AVABUILD_RUNNER"] = "buildah"
    outcome = root.avabuild("recipe", recipe(root, "true; # refused", network="none"), "--output", "oci:out")
    assert outcome.code == 6, outcome.err
    assert "--runner buildah" in outcome.err


@every_runner
@every_user
def test_a_step_that_takes_too_long_is_stopped_with_all_that_it_started(someone: User, runner: str) -> None:
    someone.env["AVABUILD_RUNNER"] = runner
    mark = f"3{os.getpid()}"
    began = time.monotonic()
    outcome = someone.avabuild(
        "recipe", recipe(someone, f"sleep {mark} & sleep {mark}", timeout="1.5s"), "--output", "oci:out"
    )
    assert outcome.code == 5, outcome.err
    assert "stopped after 1.5 s" in outcome.err
    assert time.monotonic() - began < 20
    if runner == "own":  # what `buildah run --isolation chroot` leaves is beyond our reach
        assert not running(f"sleep {mark}")
    else:
        subprocess.run(["pkill", "-f", f"^sleep {mark}$"], check=False)
        someone.avabuild("recipe", recipe(someone, "true; # sweeps"), "--output", "oci:out")
    assert someone.leftovers() == []


@every_user
def test_what_a_step_leaves_running_ends_with_it(someone: User) -> None:
    mark = f"4{os.getpid()}"
    made = made_by(someone, "own", f"sleep {mark} & echo done >/done")
    assert made["done"] == "done\n"
    assert not running(f"sleep {mark}")


@every_user
def test_a_step_dies_with_the_build(someone: User) -> None:
    mark = f"5{os.getpid()}"
    process = someone.start("recipe", str(recipe(someone, f"sleep {mark}")), "--output", "oci:out")
    for _ in range(300):
        if running(f"sleep {mark}"):
            break
        time.sleep(0.1)
    assert running(f"sleep {mark}")
    process.kill()
    process.communicate(timeout=30)
    for _ in range(50):
        if not running(f"sleep {mark}") and not running("avabuild.tools.inside.server"):
            break
        time.sleep(0.1)
    assert not running(f"sleep {mark}")
    good = someone.avabuild("recipe", recipe(someone, "touch /good"), "--output", "oci:out")
    assert good.code == 0, good.err
    assert someone.leftovers() == []


@every_user
def test_links_of_the_image_lead_nowhere_out_of_it(someone: User, tiny: Path, tmp_path: Path) -> None:
    """Where a step's things are put, a hostile base has links to the host's own directories."""
    target = someone.home / "target"
    target.mkdir(exist_ok=True)
    someone.own(target)
    hostile = tmp_path / "tree"
    hostile.mkdir()
    subprocess.run(["tar", "-xf", str(tiny), "-C", str(hostile)], check=True)
    shutil.rmtree(hostile / "run")
    (hostile / "run").symlink_to(target)
    (hostile / "etc/resolv.conf").symlink_to("../../../../../../.." + str(target / "resolv.conf"))
    (hostile / "etc/hosts").symlink_to(target / "hosts")
    subprocess.run(["tar", "-cf", str(someone.home / "tiny.tar"), "-C", str(hostile), "."], check=True)
    someone.own(someone.home / "tiny.tar")
    made = made_by(someone, "own", "cat /etc/resolv.conf >/resolv; cat /etc/hosts >/hosts-seen; touch /run/x")
    assert made["resolv"] == Path("/etc/resolv.conf").read_text()
    assert "localhost" in made["hosts-seen"]
    assert list(target.iterdir()) == [], "nothing was written on the host"
    inside = str(target).lstrip("/")
    assert f"{inside}/hosts" not in made, "nor is it in the layer"
    assert f"{inside}/x" in made, "but what the step wrote"


@every_user
def test_supplementary_groups_open_what_they_open_on_the_host(someone: User, tmp_path: Path) -> None:
    group = f"avalab{os.getpid()}"
    subprocess.run(["groupadd", group], check=True)
    try:
        if someone.name != "root":
            subprocess.run(["usermod", "-aG", group, someone.name], check=True)
        lab = someone.home / "lab"
        lab.mkdir(exist_ok=True)
        (lab / "data").write_text("of the lab\n")
        shutil.chown(lab, "nobody", group)
        lab.chmod(0o750)
        path = recipe(someone, "cat /lab/data >/data", mounts=["./lab:/lab"])
        outcome = someone.avabuild("recipe", path, "--output", "oci:out")
        assert outcome.code == 0, outcome.err
    finally:
        shutil.rmtree(someone.home / "lab", ignore_errors=True)
        subprocess.run(["groupdel", group], check=False)


def running(command: str) -> bool:
    found = subprocess.run(["pgrep", "-f", f"^{command}$"], capture_output=True, text=True, check=False)
    return bool(found.stdout.strip())


IMAGE = '[image]\nworkdir = "/srv/place"\n[image.env]\nGREETING = "two\\nlines"\nPLAIN = "it\'s \\"so\\" $HOME ä"\nPATH = "/own/bin:/bin"\n'


@every_runner
@every_user
def test_last_steps_see_the_image_and_system_steps_the_base(someone: User, runner: str) -> None:
    someone.env["AVABUILD_RUNNER"] = runner
    shutil.rmtree(someone.home / "out", ignore_errors=True)
    show = 'printf "%s|%s|%s|%s" "$PATH" "$GREETING" "$PLAIN" "$(pwd)"'
    path = someone.recipe(
        'name = "ava-test-steps"\nbase = { archive = "tiny.tar" }\n'
        f"[[run]]\nstage = \"system\"\nshell = '''{show} >/low'''\n"
        f"[[run]]\nshell = '''cp /low /low-kept; {show} >/high'''\n{IMAGE}"
    )
    outcome = someone.avabuild("recipe", path, "--output", "oci:out")
    assert outcome.code == 0, outcome.err
    with layer(someone) as tar:
        found = {name: tar.extractfile(name).read().decode() for name in ("low-kept", "high")}  # type: ignore[union-attr]
    assert found["low-kept"] == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin|||/"
    assert found["high"] == '/own/bin:/bin|two\nlines|it\'s "so" $HOME ä|/srv/place'


@pytest.mark.parametrize("someone", ["root"], indirect=True)
def test_a_date_is_the_recipes_or_the_hosts_and_moves_no_layer(someone: User) -> None:
    def built(own: str, epoch: str | None) -> tuple[str, list[str]]:
        someone.env.pop("SOURCE_DATE_EPOCH", None)
        someone.env |= {"SOURCE_DATE_EPOCH": epoch} if epoch else {}
        shutil.rmtree(someone.home / "out", ignore_errors=True)
        text = (
            f'name = "ava-test-steps"\nbase = {{ archive = "tiny.tar" }}\n[[run]]\nshell = "touch /x"\n{own}'
        )
        outcome = someone.avabuild("recipe", someone.recipe(text), "--output", "oci:out")
        assert outcome.code == 0, outcome.err
        blobs = someone.home / "out" / "blobs" / "sha256"
        index = json.loads((someone.home / "out" / "index.json").read_bytes())
        manifest = json.loads((blobs / index["manifests"][-1]["digest"].removeprefix("sha256:")).read_bytes())
        config = json.loads((blobs / manifest["config"]["digest"].removeprefix("sha256:")).read_bytes())
        return config["created"], [one["digest"] for one in manifest["layers"]]

    first, layers = built("", None)
    assert first == "1980-01-01T00:00:00Z"
    assert built("", "1777636800") == ("2026-05-01T12:00:00Z", layers)
    assert built("[image]\ncreated = 2027-01-01T00:00:00Z\n", "1777636800") == (
        "2027-01-01T00:00:00Z",
        layers,
    )
    del someone.env["SOURCE_DATE_EPOCH"]


@pytest.mark.parametrize("someone", ["root"], indirect=True)
def test_steps_on_another_recipe_see_the_image_of_both_or_the_base_below_both(someone: User) -> None:
    below = 'name = "ava-test-below"\nbase = { archive = "tiny.tar" }\n[image]\nworkdir = "/srv/low"\nenv = { LOW = "yes" }\n'
    someone.recipe(below, "below.toml")
    show = 'printf "%s|%s|%s" "$LOW" "$HIGH" "$(pwd)"'
    path = someone.recipe(
        'name = "ava-test-steps"\nbase = { recipe = "below.toml" }\n'
        f"[[run]]\nstage = \"system\"\nshell = '''{show} >/low'''\n"
        f"[[run]]\nshell = '''cp /low /low-kept; {show} >/high'''\n[image]\nenv = {{ HIGH = \"too\" }}\n"
    )
    outcome = someone.avabuild("recipe", path, "--output", "oci:out")
    assert outcome.code == 0, outcome.err
    with layer(someone) as tar:
        found = {name: tar.extractfile(name).read().decode() for name in ("low-kept", "high")}  # type: ignore[union-attr]
    assert found == {"low-kept": "||/", "high": "yes|too|/srv/low"}, "two recipes are one image on one base"


@pytest.mark.parametrize("someone", ["root", "ranged"], indirect=True)
def test_the_locale_and_pythons_settings_of_a_host_change_no_layer(someone: User) -> None:
    def built() -> str:
        shutil.rmtree(someone.home / "out", ignore_errors=True)
        shutil.rmtree(someone.cache, ignore_errors=True)
        outcome = someone.avabuild("recipe", recipe(someone, "echo ä >/x; id >/y"), "--output", "oci:out")
        assert outcome.code == 0, outcome.err
        return str(json.loads((someone.home / "out" / "index.json").read_bytes())["manifests"][-1]["digest"])

    other = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "LANG": "tr_TR.UTF-8", "PYTHONUTF8": "0", "PYTHONOPTIMIZE": "1",
             "PYTHONHASHSEED": "77", "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip
    first = built()
    mask = os.umask(0o077)
    someone.env |= other
    try:
        assert built() == first
    finally:
        os.umask(mask)
        for name in other:
            del someone.env[name]
