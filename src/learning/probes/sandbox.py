"""Runs answer.py and then tests.py of the current folder; says argv[1] when both came to their end."""

import os
import resource
import signal
import sys

for limit, most in [
    (resource.RLIMIT_CPU, 5),
    (resource.RLIMIT_AS, 512 << 20),
    (resource.RLIMIT_FSIZE, 1 << 20),
    (resource.RLIMIT_NPROC, 0),
    (resource.RLIMIT_CORE, 0),
]:
    try:
        resource.setrlimit(limit, (most, most))
    except (ValueError, OSError):
        pass  # Not every system knows every limit.
signal.alarm(9)

word, here = sys.argv.pop(), os.getcwd()
readable = (here, sys.prefix, sys.base_prefix, os.path.dirname(os.__file__))
refused = ("socket.", "subprocess.", "ctypes.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "os.kill",
           "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.chmod", "pty.")
writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
is_running = False


def watch(event, arguments):
    if not is_running:
        return
    if event.startswith(refused):
        raise PermissionError(event)
    if event == "open" and isinstance(arguments[0], str):
        path = os.path.abspath(arguments[0])
        if arguments[2] & writing or not path.startswith(readable):
            raise PermissionError(path)


answer, tests = (compile(open(name, encoding="utf-8").read(), name, "exec") for name in ("answer.py", "tests.py"))
sys.addaudithook(watch)
is_running = True
names = {"__name__": "answer"}
exec(answer, names)
exec(tests, names)
sys.stdout.flush()
os.write(1, ("\n" + word).encode())
