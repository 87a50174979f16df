"""Loading a recipe: what it becomes, and every way in which it can be wrong."""

from pathlib import Path

import pytest

from avabuild.common.errors import RecipeError
from avabuild.plugins.target import Device
from avabuild.recipe import (
    ArchiveBase,
    DebianBase,
    ImageBase,
    MountEntry,
    Recipe,
    RecipeBase,
    ScratchBase,
    load,
)
from avabuild.recipe.explain import recipe_keys


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a recipe and return its path as a user in the directory above would give it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()

    def written(text, name="keras.toml"):
        path = Path("recipes", name)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return written


def problems(path):
    with pytest.raises(RecipeError) as caught:
        load(path)
    return [str(problem) for problem in caught.value.problems]


def test_a_name_alone_is_a_recipe(write):
    recipe = load(write('name = "ava-pure"'))
    assert recipe.base == DebianBase(debian="bookworm")
    assert recipe.matrix.devices == (Device(),)
    assert recipe.matrix.python == ()
    assert recipe.build.bytecode
    assert recipe.build.compression == "gzip"


def test_every_part_of_a_recipe_is_read(write):
    path = write("""
        name = "team/ava-keras"
        base = { debian = "trixie", mirror = "http://mirror.example.invalid/debian" }
        tag = "{name}-{tensorflow}-py{python}"
        matrix = { python = "3.11", device = ["cpu", "cuda12.5-cudnn9.3"] }
        [frameworks]
        tensorflow = "~=2.19"
        keras = { version = ">=3", backend = "tensorflow" }
        [packages]
        apt = ["git", "libc6=2.36-9+deb12u9"]
        pip = ["scikit-learn", "./mine-1.0-py3-none-any.whl", "git+https://git.example.invalid/x.git",
               "y @ git+https://git.example.invalid/y.git@main"]
        constraints = ["numpy<3"]
        [[files]]
        source = "notebooks/"
        target = "/workspace"
        mode = "0644"
        owner = "1000:1000"
        [[run]]
        name = "fonts"
        shell = "fc-cache"
        stage = "system"
        env = { B = "2", A = "1" }
        secrets = ["TOKEN"]
        mounts = ["./notebooks:/n", { source = "notebooks", target = "/w", writable = true }]
        [image]
        env = { A = "1" }
        entrypoint = "exec jupyter lab"
        cmd = ["--no-browser"]
        workdir = "/workspace"
        user = "1000"
        ports = [8888, "53/udp"]
        volumes = ["/data"]
        annotations = { "org.example/x" = "y" }
        [build]
        bytecode = false
        compression = "zstd"
    """)
    Path("recipes/notebooks").mkdir()
    Path("recipes/mine-1.0-py3-none-any.whl").touch()
    recipe = load(path)
    assert recipe.path == path
    assert recipe.directory == Path("recipes")
    assert recipe.matrix.python == ("3.11",)
    assert recipe.options("keras") == {"version": ">=3", "backend": "tensorflow"}
    assert recipe.options("tensorflow") == {"version": "~=2.19"}
    assert recipe.options("absent") == {}
    assert recipe.files[0].source == "notebooks/"
    assert recipe.run[0].env == (("A", "1"), ("B", "2"))
    assert recipe.run[0].mounts == (
        MountEntry(source="./notebooks", target="/n"),
        MountEntry(source="notebooks", target="/w", writable=True),
    )
    assert recipe.image.entrypoint == ("/bin/sh", "-c", "exec jupyter lab")
    assert recipe.image.ports == ("8888/tcp", "53/udp")
    assert recipe.place("frameworks", "keras") == "recipes/keras.toml:8"
    assert recipe.place("run", 0, "secrets", 7) == "recipes/keras.toml:24"
    assert hash(recipe) == hash(load(path))


def test_the_content_names_no_host_path_and_no_mirror(write):
    text = 'name = "x"\nbase = {{ debian = "bookworm", mirror = "{}" }}\nframeworks = {{ b = "*", a = "1" }}'
    one = load(write(text.format("http://one.example.invalid"), "one.toml")).content()
    two = load(write(text.format("http://two.example.invalid"), "two.toml").absolute()).content()
    assert one == two
    assert one["frameworks"] == {"a": {"version": "1"}, "b": {"version": "*"}}
    assert "example.invalid" not in str(one)


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ('"scratch"', ScratchBase()),
        (
            '{ image = "docker.example.invalid:5000/a/b:3.11-slim" }',
            ImageBase(image="docker.example.invalid:5000/a/b:3.11-slim"),
        ),
        ('{ recipe = "keras.toml" }', RecipeBase(recipe="keras.toml")),
        ('{ archive = "keras.toml" }', ArchiveBase(archive="keras.toml")),
    ],
)
def test_bases_are_told_apart_by_their_key(write, text, base):
    assert load(write(f'name = "x"\nbase = {text}')).base == base


@pytest.mark.parametrize("base", ['"scratch"', '{ debian = "trixie" }', '{ image = "a:b" }'])
def test_a_base_survives_json(write, base):
    recipe = load(write(f'name = "x"\nbase = {base}'))
    assert Recipe.model_validate({"name": "x", "base": recipe.content()["base"]}).base == recipe.base


def test_all_problems_are_reported_at_once_by_line(write):
    path = write("""nam = "x"
name = "Ava"
python = ["3.11"]
[matrix]
python = 3.10
[packages]
apt = "git"
[image]
wrokdir = "/x"
""")
    assert problems(path) == [
        'recipes/keras.toml:1: nam: unknown key; did you mean "name"?',
        (
            'recipes/keras.toml:2: name: "Ava" is no repository name; '
            'use lower-case words joined by "-", ".", "_" or "/", like "ava-keras"'
        ),
        "recipes/keras.toml:3: python: unknown key here; it belongs to [matrix]",
        'recipes/keras.toml:5: matrix.python: needs quotes, like python = ["3.11"]; as a number 3.10 would be 3.1',
        'recipes/keras.toml:7: packages.apt: must be a list: ["git"]',
        'recipes/keras.toml:9: image.wrokdir: unknown key; did you mean "workdir"?',
    ]


def test_line_10_comes_after_line_2(write):
    found = problems(write('name = "x"\nbase = 1' + "\n" * 8 + "tag = 1"))
    assert [problem.split(":")[1] for problem in found] == ["2", "10"]


def test_the_order_is_that_of_the_file_and_not_of_the_model(write):
    found = problems(write("build.bytecode = 1" + "\n" * 9 + "tag = 1\nname = 1"))
    assert [problem.split(":")[1] for problem in found] == ["1", "10", "11"]


def test_a_recipe_error_exits_with_2(write):
    with pytest.raises(RecipeError) as caught:
        load(write(""))
    assert caught.value.exit_code == 2
    assert str(caught.value) == "recipes/keras.toml:1: name: is required"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('name = "ava:py311"', 'name: "ava:py311" holds a tag; write name = "ava"'),
        ("name = 3", "name: must be text in quotes, not the number 3"),
        ('base = "bookworm"', 'base: must be a table; write base = { debian = "bookworm" }'),
        ('base = "debian"', 'write base = { debian = "bookworm" }'),
        ('base = "python:3.11"', 'base: must be a table; write base = { image = "python:3.11" }'),
        ('base = "x.toml"', 'write base = { recipe = "x.toml" }'),
        ('base = "x.tar"', 'write base = { archive = "x.tar" }'),
        ("base = 3", "base: must be a table"),
        ("base = {}", "base: says nothing to build on"),
        ('base = { debain = "bookworm" }', 'did you mean "debian"?'),
        ('base = { debian = "bookworm", image = "x" }', "base: debian and image exclude each other"),
        ('base = { debian = "bokworm" }', 'base.debian: "bokworm" is none of bullseye, bookworm, trixie; did you mean "bookworm"?'),
        ('base = { debian = "trixie", miror = "x" }', 'base.miror: unknown key; did you mean "mirror"?'),
        ('base = { debian = "trixie", mirror = "x" }', 'base.mirror: "x" is no address of a mirror'),
        ('base = { image = "A B" }', 'base.image: "A B" is no image reference'),
        ('base = { recipe = "nope.toml" }', 'base.recipe: there is no "nope.toml" in recipes'),
        ('base = { archive = "../recipes" }', 'base.archive: "../recipes" is a directory'),
        ('tag = "py{pyton}"', 'tag: unknown field {pyton}; did you mean "python"? known: device, name, python'),
        ('tag = "py{python"', "brace without its partner"),
        ('tag = "-x"', "does not give a valid tag"),
        ('tag = ""', "tag: is empty"),
        ('matrix.python = ["3.11.4"]', 'matrix.python[0]: "3.11.4" is no MAJOR.MINOR version of Python; write "3.11"'),
        ('matrix.python = "py311"', 'write "3.11"'),
        ('matrix.python = ["3.11", "3.11"]', 'matrix.python: "3.11" is named twice'),
        ("matrix.python = [3.11]", "matrix.python[0]: needs quotes"),
        ('matrix.device = "gpu"', 'matrix.device: "gpu" is no device'),
        ("matrix.device = []", "matrix.device: must name at least one"),
        ('frameworks = ["keras"]', 'frameworks: must be a table; write [frameworks] and below it keras = "*"'),
        ("frameworks.keras = 3", 'frameworks.keras: must be a version in quotes or a table of options, like "3"'),
        ("frameworks.keras = true", 'like "*" or { version = "*" }'),
        ("frameworks.keras = { x = nan }", "frameworks.keras: inf and nan are no options"),
        ('packages.apt = ["Git"]', 'packages.apt[0]: "Git" is no Debian package'),
        ('packages.apt = ["git==1"]', 'did you mean "git=1"?'),
        ('packages.apt = ["--yes"]', "is an option"),
        ('packages.pip = ["numpy=1.2"]', 'packages.pip[0]: "numpy=1.2" is no requirement; did you mean "numpy==1.2"?'),
        ('packages.pip = ["a b"]', "is no requirement (PEP 508)"),
        ('packages.pip = ["-e ."]', "an editable install needs the host's source tree"),
        ('packages.pip = ["-r x.txt"]', "list the requirements here"),
        ('packages.pip = ["--index-url=http://example.invalid"]', "the host's own pip and uv configuration"),
        ('packages.pip = ["http://example.invalid/a-1.0.tar.gz"]', 'needs its name in front: "NAME @ http'),
        ('packages.pip = ["./a-1.0-py3-none-any.whl"]', 'there is no "./a-1.0-py3-none-any.whl" in recipes'),
        ('packages.pip = ["./keras.toml"]', "is not a wheel or sdist"),
        ('packages.pip = ["./mine.whl"]', '"mine.whl" is not a wheel file name'),
        ('packages.pip = ["../recipes"]', "is a directory"),
        ('packages.pip = ["requirements.txt"]', '"requirements.txt" is a file and no package; list the requirements here'),
        ('packages.pip = ["environment.yml"]', "is a file and no package"),
        ('base = { ubuntu = "22.04" }', 'base: "ubuntu" is no key of a base, and no plugin here offers it; write'),
        ('packages.pip = ["x @ http://me:secret@h.invalid/x.whl"]', 'write "x @ http://h.invalid/x.whl" and keep the login in ~/.netrc'),
        ('packages.pip = ["git+https://secret@h.invalid/x"]', 'write "git+https://h.invalid/x" and keep the login in the ~/.netrc'),
        ('packages.pip = ["x @ git+ssh://git:secret@h.invalid/x"]', "has a login in its address"),
        ('packages.constraints = ["x @ http://me:secret@h.invalid/x.whl"]', "has a login in its address"),
        ('base = { debian = "trixie", mirror = "http://me:secret@h.invalid/debian" }', "has a login in its address"),
        ('packages.repositories = [{ name = "r", suite = "s", uri = "https://me:secret@h.invalid" }]', "has a login in its address"),
        ("run = [{ shell = 'curl https://me:secret@h.invalid' }]", "run[0].shell: an address in it has a login"),
        ('packages.constraints = ["./x"]', "is no requirement"),
        ('files = [{ target = "/x" }]', "files[0].source: is required"),
        ('files = [{ source = "", target = "/x" }]', "files[0].source: is empty"),
        ('files = [{ source = "a\\u0000", target = "/x" }]', "holds a NUL character"),
        ('files = [{ source = "keras.toml/x", target = "/x" }]', 'there is no "keras.toml/x"'),
        (f'files = [{{ source = "{"a" * 300}", target = "/x" }}]', "can't be read: file name too long"),
        ('files = [{ source = ".", target = "x" }]', 'files[0].target: "x" must be an absolute path'),
        ('files = [{ source = ".", target = "/a/../b" }]', "files[0].target:"),
        ('files = [{ source = ".", target = "/a", mode = 0o644 }]', "files[0].mode: must be octal digits in quotes"),
        ('files = [{ source = ".", target = "/a", mode = "rwx" }]', "files[0].mode:"),
        ('files = [{ source = ".", target = "/a", owner = "root" }]', "files[0].owner: must be numeric ids"),
        ('files = { source = "." }', "files: must be a list, not a table"),
        ("run = [1]", "run[0]: must be a table, not the number 1"),
        ("run = [{ shell = 'x', env = { PORT = 1 } }]", "run[0].env.PORT: must be text in quotes, not the number 1"),
        ("run = [{ shell = 'x', env = { 'A B' = '' } }]", '"A B" is no name of an environment variable'),
        ("run = [{ shell = 'x', stage = 'systm' }]", 'run[0].stage: must be "system" or "last"'),
        ("run = [{ shell = 'x', secrets = ['a=b'] }]", "run[0].secrets[0]:"),
        ("run = [{ shell = 'x', mounts = ['x'] }]", 'run[0].mounts[0]: "x" is no mount'),
        ("run = [{ shell = 'x', mounts = ['.:x'] }]", "run[0].mounts[0]: "),
        ("image.ports = [0]", "image.ports[0]: 0 is not a valid port"),
        ("image.ports = [true]", "image.ports[0]:"),
        ("image.labels = { a = 2024-01-01 }", "image.labels.a: must be text in quotes, not a date or time"),
        ('build.bytecode = "yes"', "build.bytecode: must be true or false"),
        ('build.compression = "lz4"', 'build.compression: must be "gzip" or "zstd"'),
        ('path = "x"', "path: unknown key; known:"),
        ('base = { scratch = true }', '"scratch" is no key of a base, and no plugin here offers it; write'),
    ],
)  # fmt: skip
def test_bad_values_are_named_with_what_to_write(write, line, said):
    path = write(line if line.startswith("name") else f'name = "x"\n{line}')
    Path("recipes/mine.whl").touch()
    found = problems(path)
    assert len(found) == 1
    assert said in found[0]
    assert found[0].startswith(f"recipes/keras.toml:{1 if line.startswith('name') else 2}: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1\na = 2\n", "recipes/keras.toml:2: not valid TOML: cannot overwrite a value (column 6)"),
        ("a = {", "recipes/keras.toml:1: not valid TOML: "),
        ("\n\n[a", "recipes/keras.toml:3: not valid TOML: "),
        (b'a = 1\nb = "\xff"', "recipes/keras.toml:2: is not UTF-8 text, which TOML must be"),
        ("a = " + "[" * 3000 + "]" * 3000, "recipes/keras.toml: is nested too deeply"),
        ("a = " + "1" * 5000, "recipes/keras.toml:1: not valid TOML: exceeds the limit"),
    ],
    ids=["key twice", "unfinished", "last line", "latin-1", "deep", "long integer"],
)
def test_what_is_no_toml_is_refused_with_its_line(write, text, said):
    assert problems(write(text))[0].startswith(said)


def test_a_byte_order_mark_is_allowed(write):
    assert load(write(b'\xef\xbb\xbfname = "x"\r\n')).name == "x"


def test_a_missing_file_is_named_with_its_nearest_neighbour(write):
    write('name = "x"')
    with pytest.raises(
        RecipeError, match=r"^recipes/kears.toml: there is no such file\n  did you mean recipes/keras"
    ):
        load(Path("recipes/kears.toml"))
    with pytest.raises(
        RecipeError, match=r"^recipes/zz: there is no such file\n  recipes in recipes: keras.toml$"
    ):
        load(Path("recipes/zz"))
    with pytest.raises(RecipeError, match=r"^no/zz: there is no such file$"):
        load(Path("no/zz"))


def test_a_directory_is_no_recipe(write):
    write('name = "x"')
    with pytest.raises(RecipeError, match=r"^recipes: is a directory; name a recipe in it\n  .* keras.toml$"):
        load(Path("recipes"))


def test_an_unreadable_file_says_why(write):
    with pytest.raises(RecipeError, match=r"keras.toml/x: can't be read: not a directory$"):
        load(write("") / "x")


def test_did_you_mean_knows_every_table(write):
    for table in (
        (),
        ("matrix",),
        ("packages",),
        ("files", 0),
        ("run", 1),
        ("run", 1, "mounts", 0),
        ("image",),
    ):
        assert recipe_keys(table), table


def test_a_refused_login_is_not_repeated_and_what_is_none_is_taken(write):
    bad = write(
        'name = "x"\npackages.pip = ["x @ https://me:secret@h.invalid/x.whl", "git+https://secret@h.invalid/y"]'
    )
    assert not [line for line in problems(bad) if "secret" in line]
    lines = [
        "git+ssh://git@h.invalid/x",
        "git+https://h.invalid/x@v1",
        "x @ https://h.invalid/x@1-py3-none-any.whl",
    ]
    good = write(f"name = 'x'\npackages.pip = {lines}\n[[run]]\nshell = 'curl https://$USER:$WORD@h.invalid'")
    assert load(good).packages.pip == tuple(lines)
