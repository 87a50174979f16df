"""Compiles wheels' modules for Python 2.7: run by the target's own interpreter, standard library only.

Reads and writes what `bytecode_worker` does. A `.pyc` of Python 2.7 stands beside its source and holds the
source's time, which in our layers is always the same. `marshal` depends on nothing but the module here, so
the modules are dealt to as many processes as there are jobs.
"""

import errno
import imp
import json
import marshal
import mmap
import os
import signal
import struct
import sys
import tempfile
import warnings
import zipfile

AMPLE = 1 << 28  # bytes: more than compiling a small module takes; a big one, 1,000 times its own
MTIME = 315532800  # of every file in our layers, see `blob`
UNREADABLE = (SyntaxError, ValueError, TypeError, OverflowError, RuntimeError)


def pyc(source, path):
    """Return the content of the .pyc of a module whose text is installed at `path`."""
    text = source.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    code = compile(text, path.encode("utf-8"), "exec", 0, 1)
    return imp.get_magic() + struct.pack(b"<I", MTIME) + marshal.dumps(code)


def short_of_memory(size):
    """Whether it was memory that failed a module of `size` bytes: the parser says so of deep nesting, too."""
    try:
        mmap.mmap(-1, AMPLE + 1000 * size).close()
    except (OSError, IOError, mmap.error, ValueError, OverflowError):
        return True
    return False


def compiled(tasks, job, jobs, out, at):
    """Write to the file `out` what every `jobs`th module becomes: marshalled (task, path, content)."""
    number = 0
    for index, task in enumerate(tasks):
        archive = zipfile.ZipFile(task["wheel"])
        for name, path in task["modules"]:
            number += 1
            if number % jobs == job:
                struct.pack_into("=I", at, 4 * job, number)
                source = archive.read(name)
                try:
                    content = pyc(source, path)
                except UNREADABLE:
                    continue
                except MemoryError:
                    if short_of_memory(len(source)):
                        raise
                    continue
                marshal.dump((index, path + "c", content), out)
    marshal.dump(None, out)


def start(tasks, job, jobs, at):
    """Start the process of one job; return its id and the file that it writes to."""
    out = tempfile.TemporaryFile(dir=os.path.dirname(tasks[0]["out"]))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            compiled(tasks, job, jobs, out, at)
            out.flush()
            status = 0
        except OSError as error:
            status = error.errno
        except MemoryError:
            status = errno.ENOMEM
        finally:
            os._exit(status)
    return child, out


def ended(status, name):
    """Return in words how a process ended that was compiling the module `name`."""
    if os.WIFSIGNALED(status):
        names = [each for each in dir(signal) if each.startswith("SIG") and "_" not in each]
        known = {getattr(signal, each): each for each in names}
        number = os.WTERMSIG(status)
        return "the compiler was killed by %s while it compiled %s" % (known.get(number, number), name)
    if os.WEXITSTATUS(status) == errno.ENOMEM:
        return "there is not enough memory to compile %s" % name
    return "the compiler ended with status %d while it compiled %s" % (os.WEXITSTATUS(status), name)


def results(children, names, at):
    """Yield what the processes wrote, each after it ended."""
    for job, (child, out) in enumerate(children):
        status = os.waitpid(child, 0)[1]
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == errno.ENOSPC:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if status:
            (number,) = struct.unpack_from("=I", at, 4 * job)
            sys.exit(ended(status, names[number - 1] if number else "nothing yet"))
        out.seek(0)
        while True:
            found = marshal.load(out)
            if found is None:
                break
            yield found


def main():
    """Compile what stdin asks for; write the zips."""
    warnings.simplefilter("ignore")
    request = json.load(sys.stdin)
    tasks = request["wheels"]
    names = [name for task in tasks for name, _ in task["modules"]]
    at = mmap.mmap(-1, 4 * request["jobs"])
    children = [start(tasks, job, request["jobs"], at) for job in range(request["jobs"])]
    about = json.dumps({"magic": imp.get_magic().encode("hex"), "tag": "cpython-27"}, sort_keys=True)
    packs = []
    for task in tasks:
        pack = zipfile.ZipFile(task["out"], "w", allowZip64=True)
        pack.comment = about.encode("ascii")
        packs.append(pack)
    made = sorted((index, path, content) for index, path, content in results(children, names, at))
    for index, path, content in made:
        packs[index].writestr(zipfile.ZipInfo(path[1:]), content)
    for pack in packs:
        pack.close()


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.exit(errno.ENOSPC)
