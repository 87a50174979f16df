from __future__ import annotations

from pathlib import Path

import pytest

from avabuild.tools import argv as commands
from avabuild.tools.argv import Bind

CHROOT = ("--isolation", "chroot", "--cap-drop", "CAP_SYS_CHROOT", "--network", "host")


def test_a_bind_is_read_only_unless_told_otherwise():
    assert str(Bind(source="/a", target="/b")) == "/a:/b:ro"
    assert str(Bind(source="/a", target="/b", writable=True)) == "/a:/b:rw"


def test_a_command_runs_as_root_at_the_root_whatever_the_image_says():
    binds = [Bind(source="/a", target="/b"), Bind(source="/c", target="/d", writable=True)]
    assert commands.run("box", ["sh", "-c", "x y"], binds) == [
        "run", *CHROOT, "--user", "0:0", "--workingdir", "/", "--volume", "/a:/b:ro", "--volume", "/c:/d:rw",
        "box", "--", "sh", "-c", "x y",
    ]  # fmt: skip


def test_a_check_runs_as_the_images_own_user():
    argv = commands.run_as_image("box", ["python", "check.py"])
    assert argv == ["run", *CHROOT, "box", "--", "python", "check.py"]


def test_an_option_like_argument_stays_behind_the_dashes():
    argv = commands.run("box", ["--help"])
    assert argv[argv.index("--") :] == ["--", "--help"]


def test_a_working_container_never_asks_a_registry():
    assert commands.start("id", "box") == [
        "from", "--pull-never", "--name", "box", "--isolation", "chroot", "id",
    ]  # fmt: skip


def test_a_working_container_has_the_profile_that_it_is_given():
    assert commands.start("id", "box", "/p.json")[-3:] == ["--security-opt", "seccomp=/p.json", "id"]


def test_a_bootstrap_has_a_mirror_only_when_given_one():
    argv = commands.bootstrap("bookworm", Path("base.tar"), None, "amd64", "unshare")
    assert argv[-2:] == ["bookworm", "base.tar"]
    assert "--variant=minbase" in argv
    assert "--architectures=amd64" in argv
    mirror = "http://mirror.invalid/debian"
    assert commands.bootstrap("bookworm", Path("base.tar"), mirror, "amd64", "unshare") == [*argv, mirror]


def test_a_bootstrap_with_one_id_makes_no_device_and_changes_to_no_user():
    argv = commands.bootstrap("bookworm", Path("base.tar"), None, "amd64", "root", inside=True)
    assert "--skip=chroot/mount/dev" in argv
    assert '--aptopt=APT::Sandbox::User "root"' in argv
    assert argv[-2:] == ["bookworm", "base.tar"]


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (commands.pull("layout"), ["pull", "--quiet", "oci:layout"]),
        (commands.tag("id", "name"), ["tag", "id", "name"]),
        (commands.import_layer("id", ""), ["import-layer", "--json", "--id", "id"]),
        (commands.import_layer("id", "below"), ["import-layer", "--json", "--id", "id", "below"]),
        (commands.delete_layers(["upper", "lower"]), ["delete-layer", "upper", "lower"]),
        (commands.remove_images(["one", "two"]), ["rmi", "one", "two"]),
        (commands.remove_images(["one"], force=True), ["rmi", "--force", "one"]),
        (commands.remove_container("box"), ["rm", "box"]),
        (commands.mount("box"), ["mount", "box"]),
        (commands.inspect_container("box"), ["inspect", "--type", "container", "box"]),
        (commands.info(), ["info"]),
        (commands.images(), ["images", "--json", "--no-trunc"]),
        (commands.copy("oci:a", "oci:b"), ["copy", "--quiet", "--insecure-policy", "oci:a", "oci:b"]),
        (commands.containers(), ["containers", "--json"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_the_small_commands_are_as_their_tools_want_them(argv, expected):
    assert argv == expected


def test_a_check_may_be_given_variables_besides_the_images_own():
    argv = commands.run_as_image("c", ["python"], env=(("LD_LIBRARY_PATH", "/driver:/own"),))
    assert argv[argv.index("--env") + 1] == "LD_LIBRARY_PATH=/driver:/own"
    assert argv.index("--env") < argv.index("c") < argv.index("--")
