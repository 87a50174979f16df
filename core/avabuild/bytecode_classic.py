"""Compiles wheels' modules for Python 2.7: run by the target's own interpreter, standard library only.

Reads and writes what `bytecode_worker` does. A `.pyc` of Python 2.7 stands beside its source and holds the
source's time, which in our layers is always the same. `marshal` depends on nothing but the module here, so
the modules are dealt to as many processes as there are jobs.
"""

import errno
import imp
import json
import marshal
import os
import struct
import sys
import tempfile
import warnings
import zipfile

MTIME = 315532800  # of every file in our layers, see `blob`
UNREADABLE = (SyntaxError, ValueError, TypeError, OverflowError, RuntimeError, MemoryError)


def pyc(source, path):
    """Return the content of the .pyc of a module whose text is installed at `path`."""
    text = source.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    code = compile(text, path.encode("utf-8"), "exec", 0, 1)
    return imp.get_magic() + struct.pack(b"<I", MTIME) + marshal.dumps(code)


def compiled(tasks, job, jobs, out):
    """Write to the file `out` what every `jobs`th module becomes: marshalled (task, path, content)."""
    number = 0
    for index, task in enumerate(tasks):
        archive = zipfile.ZipFile(task["wheel"])
        for name, path in task["modules"]:
            number += 1
            if number % jobs == job:
                try:
                    content = pyc(archive.read(name), path)
                except UNREADABLE:
                    continue
                marshal.dump((index, path + "c", content), out)
    marshal.dump(None, out)


def start(tasks, job, jobs):
    """Start the process of one job; return its id and the file that it writes to."""
    out = tempfile.TemporaryFile(dir=os.path.dirname(tasks[0]["out"]))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            compiled(tasks, job, jobs, out)
            out.flush()
            status = 0
        except OSError as error:
            status = error.errno
        finally:
            os._exit(status)
    return child, out


def results(children):
    """Yield what the processes wrote, each after it ended."""
    for child, out in children:
        status = os.waitpid(child, 0)[1]
        if status:
            raise OSError(os.WEXITSTATUS(status) or errno.EIO, "a process that compiles failed")
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
    children = [start(tasks, job, request["jobs"]) for job in range(request["jobs"])]
    about = json.dumps({"magic": imp.get_magic().encode("hex"), "tag": "cpython-27"}, sort_keys=True)
    packs = []
    for task in tasks:
        pack = zipfile.ZipFile(task["out"], "w", allowZip64=True)
        pack.comment = about.encode("ascii")
        packs.append(pack)
    made = sorted((index, path, content) for index, path, content in results(children))
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
