"""The fake-root filter, run by an interpreter of classic BPF: what it answers to every call, on every machine."""

from __future__ import annotations

import pytest

from avabuild.tools.inside.fake_root import TABLES, program

from .interpreter import answer

ALLOW, SUCCEED = 0x7FFF_0000, 0x0005_0000
FIFO, CHARACTER, BLOCK, REGULAR, SOCKET = 0o010644, 0o020644, 0o060644, 0o100644, 0o140755
MODE = {"mknod": 1, "mknodat": 2}
MACHINES = [(machine, arch, numbers) for machine, kinds in TABLES.items() for arch, numbers in kinds]


@pytest.mark.parametrize(("machine", "architecture", "numbers"), MACHINES)
def test_what_only_root_may_do_with_others_is_said_to_succeed(machine, architecture, numbers):
    code = program(machine)
    for name, number in numbers.items():
        if name not in MODE:
            assert answer(code, architecture, number, 1, 33, 33) == SUCCEED, name


@pytest.mark.parametrize(("machine", "architecture", "numbers"), MACHINES)
@pytest.mark.parametrize(
    ("mode", "action"),
    [
        (CHARACTER, SUCCEED),
        (BLOCK, SUCCEED),
        (FIFO, ALLOW),
        (SOCKET, ALLOW),
        (REGULAR, ALLOW),
        (0o644, ALLOW),
    ],
)
def test_devices_are_not_made_and_all_other_nodes_are(machine, architecture, numbers, mode, action):
    code = program(machine)
    for name, place in MODE.items():
        if name in numbers:
            arguments = [0] * place + [mode, 259]
            assert answer(code, architecture, numbers[name], *arguments) == action, name


@pytest.mark.parametrize(("machine", "architecture", "numbers"), MACHINES)
def test_the_marks_of_deleted_files_are_made(machine, architecture, numbers):
    for name, place in MODE.items():
        if name in numbers:
            arguments = [0] * place
            assert answer(program(machine), architecture, numbers[name], *arguments, CHARACTER, 0) == ALLOW
            assert answer(program(machine), architecture, numbers[name], *arguments, BLOCK, 0) == SUCCEED


@pytest.mark.parametrize(("machine", "architecture", "numbers"), MACHINES)
def test_every_other_call_is_let_through(machine, architecture, numbers):
    code = program(machine)
    for number in set(range(600)) - set(numbers.values()):
        assert answer(code, architecture, number, CHARACTER, CHARACTER, CHARACTER) == ALLOW, number


def test_a_program_of_another_architecture_is_let_through():
    for number in range(400):
        assert answer(program("x86_64"), 0xC000_00B7, number, 0, CHARACTER) == ALLOW


def test_a_machine_without_a_table_is_refused():
    with pytest.raises(KeyError):
        program("riscv64")


def test_the_filter_is_no_longer_than_the_kernel_takes():
    assert all(len(program(machine)) // 8 <= 4096 for machine in TABLES)
