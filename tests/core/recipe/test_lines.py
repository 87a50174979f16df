"""The line scanner, against hand-written TOML and against documents whose lines are known."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avabuild.recipe.lines import locate

SAMPLE = """\
# a comment with = and [brackets]
name = "x" # [not.a.table]
"quoted key".'it is'.z = 1
list = [
  "one", # comment, with ] and "
  [ 'two',
    "three]" ],
]
text = \"\"\"
[looks.like.a.table]
quotes: "" and \\\"\"" and \"\"\"\"\"
literal = '''
''[x]''
'''
[image]
env = { A = "1", B.c = [ {d = "}"}, { d = 2 } ] }
when = 2024-01-01 10:00:00
[[run]]
shell = "a\\"]#"
[[run]]
[run.env]
X = "1"
[[run.mounts]]
source = "s"
[[run.mounts]]
[[run]]
  [ run . "env" ]
  Y = -1.5e3
[a.b.c]
"""


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("name",), 2),
        (("quoted key",), 3),
        (("quoted key", "it is", "z"), 3),
        (("list",), 4),
        (("list", 0), 5),
        (("list", 1), 6),
        (("list", 1, 1), 7),
        (("text",), 9),
        (("literal",), 12),
        (("image",), 15),
        (("image", "env", "B", "c", 1, "d"), 16),
        (("image", "when"), 17),
        (("run",), 18),
        (("run", 0, "shell"), 19),
        (("run", 1), 20),
        (("run", 1, "env", "X"), 22),
        (("run", 1, "mounts", 0, "source"), 24),
        (("run", 1, "mounts", 1), 25),
        (("run", 2), 26),
        (("run", 2, "env", "Y"), 28),
        (("a",), 29),
        (("a", "b", "c"), 29),
    ],
)
def test_every_kind_of_key_has_its_line(keys, line):
    assert locate(SAMPLE)[keys] == line


def test_the_sample_has_no_key_more_or_less_than_tomllib_sees():
    assert set(locate(SAMPLE)) == paths_of(tomllib.loads(SAMPLE))


def test_windows_line_ends_count_once():
    assert locate('a = 1\r\nb = [\r\n  2,\r\n]\r\nc = """\r\n\r\n"""\r\nd = 3') == {
        ("a",): 1,
        ("b",): 2,
        ("b", 0): 3,
        ("c",): 5,
        ("d",): 8,
    }


def test_an_escaped_key_is_found_by_its_real_name():
    assert locate('"\\u00e9\\"." = 1') == {('é".',): 1}


def test_an_explicit_header_wins_over_an_implied_table():
    assert locate("[image.env]\nA = '1'\n[image]\nuser = '1'\n")[("image",)] == 3


def test_an_empty_document_has_no_lines():
    assert locate("# nothing\n\n") == {}


def paths_of(value, path=()):
    found = {path} if path else set()
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found |= paths_of(inner, (*path, key))
    return found


class Writer:
    """Writes random TOML and notes the line of all it writes."""

    def __init__(self, draw):
        self.draw = draw
        self.text = ""
        self.lines = {}

    def put(self, text):
        self.text += text

    def here(self, path):
        self.lines[path] = self.text.count("\n") + 1

    def blank(self, newlines):
        choices = ["", " ", "\t"] + (["\n", " # ]}[=\"'\n", "\n\n  "] if newlines else [])
        self.put(self.draw(st.sampled_from(choices)))

    def key(self):
        return self.draw(
            st.sampled_from(
                [("a-1", "a-1"), ('"b.c"', "b.c"), ("'d]='", "d]="), ('"\\t\\""', '\t"'), ("e_", "e_")]
            )
        )

    def value(self, path, depth=0):
        kind = self.draw(st.sampled_from(["scalar", "scalar", "array", "table"] if depth < 3 else ["scalar"]))
        if kind == "array":
            self.put("[")
            count = self.draw(st.integers(0, 3))
            for index in range(count):
                self.blank(newlines=True)
                self.here((*path, index))
                self.value((*path, index), depth + 1)
                self.blank(newlines=True)
                if index < count - 1 or self.draw(st.booleans()):
                    self.put(",")
            self.blank(newlines=True)
            self.put("]")
        elif kind == "table":
            self.put("{")
            for index, (spelled, name) in enumerate(self.names()):
                self.put(", " if index else " ")
                self.here((*path, name))
                self.put(f"{spelled} = ")
                self.value((*path, name), depth + 1)
            self.put(" }")
        else:
            self.put(self.draw(st.sampled_from(SCALARS)))

    def names(self):
        return list(dict.fromkeys(self.key() for _ in range(self.draw(st.integers(0, 3)))))

    def pairs(self, path):
        for spelled, name in self.names():
            self.blank(newlines=True)
            dots = self.draw(st.booleans())
            self.here((*path, name))
            target = (*path, name)
            if dots:
                target = (*target, "leaf")
                self.here(target)
                spelled += self.draw(st.sampled_from([".leaf", " . 'leaf'"]))  # noqa: PLW2901
            self.put(f"{spelled} = ")
            self.value(target)
            self.put(self.draw(st.sampled_from(["\n", " # x = 1\n"])))


SCALARS = [
    "1",
    "-1.5e3",
    "true",
    "2024-01-01 10:00:00",
    '""',
    '"a]},#\\"\\\\"',
    "''",
    "'[\"#\\'",
    '"""\n[x]\n"" \\""" # \n"""',
    '"""a"""""',
    "'''\n\n''a'''''",
]


@st.composite
def documents(draw):
    writer = Writer(draw)
    writer.pairs(())
    for number in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            writer.here((f"table{number}",))
            writer.put(f"[table{number}] # [[no]]\n")
            writer.pairs((f"table{number}",))
            continue
        writer.here(("arrays",)) if ("arrays",) not in writer.lines else None
        index = len([path for path in writer.lines if path[0] == "arrays" and len(path) == 2])
        writer.here(("arrays", index))
        writer.put("[[arrays]]\n")
        writer.pairs(("arrays", index))
        if draw(st.booleans()):
            writer.here(("arrays", index, "sub"))
            writer.put("[arrays.sub]\n")
            writer.pairs(("arrays", index, "sub"))
    return writer.text, writer.lines


@settings(max_examples=150, deadline=None)
@given(documents())
def test_written_lines_are_read_back(document):
    text, lines = document
    assert paths_of(tomllib.loads(text)) == set(lines)
    assert locate(text) == lines
