"""Images that others can use: their directories are there, and every tool and runtime takes what they say."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from .tiny import write_tiny

if TYPE_CHECKING:
    from collections.abc import Callable

    from .user import User

pytestmark = [pytest.mark.build, pytest.mark.root_builder]  # none of it depends on who builds

MOST = 4096


def labels_in(config: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = config["config"]["Labels"]
    return found


@pytest.fixture
def tiny(builder: User) -> User:
    write_tiny(builder.home / "tiny.tar")
    return builder


def test_workdir_and_volumes_are_there_and_the_user_s(tiny: User) -> None:
    recipe = """
        name = "ava-test-others"
        base = { archive = "tiny.tar" }
        [[files]]
        content = "hello"
        target = "/work/deep/greeting"
        [[run]]
        shell = "test -d /work/deep; echo eve:x:77:78::/:/bin/sh >>/etc/passwd"
        [image]
        user = "USER"
        workdir = "/work/deep"
        volumes = ["/data"]
    """
    (tiny.home / "greeting").write_text("hello")
    recipe = recipe.replace('content = "hello"', 'source = "greeting"')
    for user, ids in (("ada", "33 33"), ("eve", "77 78"), ("1000:100", "1000 100")):
        outcome = tiny.avabuild("recipe", tiny.recipe(recipe.replace("USER", user)), "--json")
        assert outcome.code == 0, outcome.err
        reference = str(outcome.image["reference"])
        said = tiny.inside(reference, "stat -c '%u %g %n' /work /data; cat /work/deep/greeting")
        assert said == f"0 0 /work\n{ids} /data\nhello"
        # what a step or a file put there first stays as it is: eve is nobody before the last step
        assert tiny.inside(reference, "stat -c '%u %g' /work/deep") == (
            "0 0\n" if user == "eve" else f"{ids}\n"
        )
        planned = tiny.avabuild("plan", str(tiny.home / "recipe.toml"))
        assert "layers are cached" in planned.out, planned.out


def test_a_user_that_no_layer_has_is_told(tiny: User) -> None:
    recipe = """
        name = "ava-test-nobody"
        base = { archive = "tiny.tar" }
        [image]
        user = "nobody-here"
        workdir = "/work"
    """
    outcome = tiny.avabuild("recipe", tiny.recipe(recipe), "--output", "oci:out")
    assert outcome.code == 0
    assert "no layer of the image has a user nobody-here" in outcome.err


def test_what_is_long_of_an_image_is_read_wherever_it_is(
    tiny: User, make_distribution: Callable[..., Any]
) -> None:
    registry = make_distribution(certificate="", auth={})
    registry.start()
    tiny.cache = tiny.home / "store"
    long = "words " * 1000
    path = tiny.recipe(f"""
        name = "ava-test-long"
        base = {{ archive = "tiny.tar" }}
        [image]
        labels = {{ "org.example.long" = "{long}", "org.example.short" = "x" }}
        env = {{ FILL = "{long}" }}
        healthcheck = {{ command = "true", interval = "30s", retries = 2 }}
    """)
    outcome = tiny.avabuild("recipe", path, "--json")
    assert outcome.code == 0, outcome.err
    reference = str(outcome.image["reference"])
    place = f"{registry.host}/ava"
    assert tiny.avabuild("push", reference, f"{place}/ava-test-long:cpu", "--insecure").code == 0
    for output in (
        f"oci:{tiny.home}/layout",
        f"oci-archive:{tiny.home}/oci.tar",
        f"docker-archive:{tiny.home}/d.tar",
    ):
        assert tiny.avabuild("recipe", path, "--output", output).code == 0
    for kind in ("oci-archive", "docker-archive"):
        assert tiny.avabuild("export", reference, "-f", kind, "-o", f"again-{kind}.tar").code == 0
    tiny.buildah("push", "--quiet", reference, f"oci:{tiny.home}/by-buildah:cpu")
    for name in (
        reference,
        f"{place}/ava-test-long:cpu",
        f"oci:{tiny.home}/layout:cpu",
        f"oci:{tiny.home}/by-buildah:cpu",
        f"oci-archive:{tiny.home}/oci.tar",
        f"docker-archive:{tiny.home}/d.tar",
        f"oci-archive:{tiny.home}/again-oci-archive.tar",
        f"docker-archive:{tiny.home}/again-docker-archive.tar",
    ):
        said = tiny.avabuild("inspect", name, "--json", "--insecure")
        assert said.code == 0, said.err
        about = json.loads(said.out)
        assert about["labels"]["org.example.long"] == long, name
        assert dict(about["recipe"]["image"]["labels"])["org.example.long"] == long, name
    config = json.loads(tiny.buildah("inspect", "--type", "image", reference))["OCIv1"]
    assert all(len(f"{key}{text}".encode()) <= MOST for key, text in labels_in(config).items())
    tiny.forget_cache()  # the local storage alone knows it now
    about = json.loads(tiny.avabuild("inspect", reference, "--json").out)
    assert about["labels"]["org.example.long"] == long
    assert tiny.avabuild("export", reference, "-o", "exported").code == 0
    text = (tiny.home / "exported" / "Containerfile").read_text()
    assert long in text
    assert 'HEALTHCHECK --interval=30s --retries=2 CMD ["/bin/sh", "-c", "true"]' in text


def test_that_a_base_keeps_its_compression_is_said(tiny: User) -> None:
    path = tiny.recipe("""
        name = "ava-test-packed"
        base = { archive = "tiny.tar" }
        [build]
        compression = "COMPRESSION"
        [image]
        workdir = "/work"
    """)
    text = path.read_text()
    for compression, said in (("gzip", False), ("zstd", True)):
        path.write_text(text.replace("COMPRESSION", compression))
        built = tiny.avabuild("recipe", path, "--output", f"oci:{compression}")
        planned = tiny.avabuild("plan", path)
        assert (built.code, planned.code) == (0, 0), built.err + planned.err
        words = "1 of the base's layers are not zstd, and stay as they are"
        assert (words in built.err, words in planned.err) == (said, said)


def test_a_full_lock_is_all_that_a_locked_build_needs(builder: User) -> None:
    path = builder.recipe("""
        name = "ava-test-full"
        base = { debian = "bookworm" }
        [packages]
        apt = ["tree"]
        [[run]]
        stage = "system"
        shell = "true"
    """)
    assert builder.avabuild("lock", path).code == 0
    assert builder.avabuild("recipe", path, "--locked").code == 8
    completed = builder.avabuild("lock", "--full", path)
    assert completed.out.endswith("written\n"), completed.err
    lock = path.with_suffix(".lock").read_bytes()
    assert builder.avabuild("lock", "--full", path).out.endswith("unchanged\n")
    built = builder.avabuild("recipe", path, "--locked", "--output", "oci:out", "--json")
    assert built.code == 0, built.err
    assert {"apt: frameworks", "apt: packages"} <= set(built.image["reused"])  # type: ignore[call-overload]
    assert path.with_suffix(".lock").read_bytes() == lock


def test_an_export_to_an_output_of_recipe_is_that_output(tiny: User) -> None:
    path = tiny.recipe('name = "ava-test-out"\nbase = { archive = "tiny.tar" }\n')
    outcome = tiny.avabuild("recipe", path, "--json")
    digest, reference = outcome.image["digest"], str(outcome.image["reference"])
    for kind in ("oci-archive", "docker-archive", "oci"):
        said = tiny.avabuild("export", reference, "-o", f"{kind}:{kind}.out")
        assert (said.code, said.out) == (0, f"{tiny.home}/{kind}.out\n"), said.err
        assert (tiny.home / f"{kind}.out").is_dir() == (kind == "oci")
        place = f"{kind}:{tiny.home}/{kind}.out" + (":cpu" if kind == "oci" else "")
        about = json.loads(tiny.avabuild("inspect", place, "--json").out)
        assert kind == "docker-archive" or about["digest"] == digest
    for wrong in (("-o", "oci-archive:"), ("-o", "oci:a:b"), ("-o", "oci-archive:x", "-f", "def")):
        assert tiny.avabuild("export", reference, *wrong).code == 2
    assert tiny.avabuild("export", reference, "-f", "oci", "-o", "again").code == 0


def test_a_step_says_what_it_writes_and_a_plan_warns_of_much_the_next_time(tiny: User) -> None:
    (tiny.home / "data").mkdir()
    (tiny.home / "data" / "file").write_bytes(bytes(2_500_000))
    recipe = """
        name = "ava-test-much"
        base = { archive = "tiny.tar" }
        [[files]]
        source = "."
        target = "/work/"
        exclude = ["tiny.tar"]
        [[run]]
        shell = "dd if=/dev/zero of=/first bs=1000000 count=101 2>/dev/null; : WORDS"
    """
    path = tiny.recipe(recipe)
    first = tiny.avabuild("recipe", path, "--output", f"oci:{tiny.home}/out")
    assert first.code == 0, first.err
    assert "101.0 MB written" in first.err
    again = tiny.avabuild("recipe", path, "--output", f"oci:{tiny.home}/out", "--json")
    assert again.image.get("up_to_date") or again.image["made"] == [], "its own output is not in it"
    shutil.rmtree(tiny.home / "out")  # no output of a plan's: a build to elsewhere would take it
    assert "2.5 MB of files" in tiny.avabuild("plan", path).out
    tiny.recipe(recipe.replace("WORDS", "other"))
    planned = tiny.avabuild("plan", path)
    assert "writes 101.0 MB: all that a step changes" in planned.err, planned.err


def test_a_step_that_leaves_holes_is_refused_by_name(tiny: User) -> None:
    path = tiny.recipe("""
        name = "ava-test-holes"
        base = { archive = "tiny.tar" }
        [[run]]
        shell = "dd if=/dev/zero of=/var.img bs=1 count=1 seek=40G 2>/dev/null"
    """)
    outcome = tiny.avabuild("recipe", path, "--output", "oci:out")
    assert outcome.code == 5
    assert "/var.img is sparse: 43 of its 43 GB are holes" in outcome.err
