"""The filter of every step, run by an interpreter of classic BPF: what it answers, on every machine."""

from __future__ import annotations

from errno import EINVAL, ENOSYS, EPERM

import pytest

from avabuild.tools.inside import fake_root
from avabuild.tools.inside.refusals import ARM, JUDGED, LAST, NAMESPACES, TABLES, UNKNOWN, program

from .interpreter import answer

ALLOW, ERROR = 0x7FFF_0000, 0x0005_0000
KINDS = [(machine, arch, numbers) for machine, kinds in TABLES.items() for arch, numbers in kinds]
every_kind = pytest.mark.parametrize(("machine", "architecture", "numbers"), KINDS)
NEWUSER, NEWNS, NEWCGROUP, NEWTIME = 0x1000_0000, 0x2_0000, 0x0200_0000, 0x80
THREAD, FORK = 0x003D_0F00, 0x0120_0011  # what pthread_create and fork ask of clone


@every_kind
def test_what_reaches_the_machine_is_refused(machine, architecture, numbers):
    code = program(machine)
    for name, number in numbers.items():
        if name not in JUDGED:
            expected = ENOSYS if name in UNKNOWN else EPERM
            assert answer(code, architecture, number) == ERROR | expected, name


@every_kind
def test_every_other_call_that_is_known_is_let_through(machine, architecture, numbers):
    code = program(machine)
    for number in set(range(LAST + 1)) - set(numbers.values()):
        assert answer(code, architecture, number, *[0xFFFF_FFFF] * 6) == ALLOW, number


@every_kind
def test_calls_of_later_kernels_are_not_there(machine, architecture, numbers):
    code = program(machine)
    for number in (LAST + 1, 1000, 0x4000_0000 | 272, 0xFFFF_FFFF):  # the third is x32's unshare
        assert answer(code, architecture, number) == ERROR | ENOSYS, number
    own = answer(code, architecture, 0xF_0005)  # set_tls of ARM
    assert own == (ALLOW if numbers is ARM else ERROR | ENOSYS)


@pytest.mark.parametrize("machine", TABLES)
def test_programs_of_another_architecture_can_call_nothing(machine):
    assert {answer(program(machine), 0x8000_0016, number) for number in range(400)} == {ERROR | ENOSYS}


@every_kind
def test_processes_and_threads_are_made_and_namespaces_are_not(machine, architecture, numbers):
    code = program(machine)
    clone, unshare = numbers["clone"], numbers["unshare"]
    for flags in (THREAD, FORK, 0x11, 0x4111):  # the last is vfork's
        assert answer(code, architecture, clone, flags) == ALLOW
    for bit in (0x2_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000):
        assert answer(code, architecture, clone, FORK | bit) == ERROR | EPERM
        assert answer(code, architecture, unshare, bit) == ERROR | EPERM
    assert answer(code, architecture, unshare, NEWTIME) == ERROR | EPERM
    assert answer(code, architecture, unshare, 0x200) == ALLOW, "a table of files of its own"


@every_kind
def test_a_step_with_user_namespaces_has_all_but_those_of_cgroups(machine, architecture, numbers):
    code = program(machine, namespaces=True)
    clone, unshare = numbers["clone"], numbers["unshare"]
    assert answer(code, architecture, clone, FORK | NEWUSER | NEWNS) == ALLOW
    assert answer(code, architecture, unshare, NEWUSER | NEWTIME) == ALLOW
    for call in (clone, unshare):
        assert answer(code, architecture, call, NEWUSER | NEWCGROUP) == ERROR | EPERM
    for name, number in numbers.items():
        if name in NAMESPACES:
            assert answer(code, architecture, number) == ALLOW, name
        elif name not in JUDGED:
            assert answer(code, architecture, number) & ERROR == ERROR, name


@every_kind
def test_what_depends_on_an_argument(machine, architecture, numbers):
    code = program(machine)

    def said(name: str, *arguments: int) -> int:
        return answer(code, architecture, numbers[name], *arguments)

    assert said("ioctl", 0, 0x5413) == ALLOW, "the size of a terminal"
    assert {said("ioctl", 0, request) for request in (0x5412, 0x541C)} == {ERROR | EPERM}
    assert said("ioctl", 0, 0x1_0000_5412) == ERROR | EPERM, "the kernel looks at the lower half too"
    assert {said("personality", value) for value in (0, 8, 0xFFFF_FFFF)} == {ALLOW}
    assert said("personality", 0x4_0000) == ERROR | EPERM
    assert {said("socket", family, 1, 0) for family in (1, 2, 10, 16)} == {ALLOW}
    assert said("socket", 16, 3, 9) == ERROR | EINVAL, "audit"
    assert said("socket", 40, 1, 0) == ERROR | EPERM, "the machine that this one is a guest of"
    if "socketcall" in numbers:
        assert said("socketcall", 1) == ERROR | ENOSYS
        assert said("socketcall", 3) == ALLOW


def test_nothing_that_one_id_is_said_to_succeed_in_is_refused():
    for machine, kinds in fake_root.TABLES.items():
        for architecture, numbers in kinds:
            code = program(machine)
            assert {answer(code, architecture, number) for number in numbers.values()} == {ALLOW}


def test_the_filters_are_no_longer_than_the_kernel_takes():
    for machine in TABLES:
        assert len(program(machine)) // 8 + len(program(machine, namespaces=True)) // 8 <= 4096
