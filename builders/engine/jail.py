"""Jail: a program with a directory for its root, read-only, as nobody, in namespaces of its own (Linux).

`python -I jail.py ROOT UID KEYS PROGRAM...`; exit code 125 where the system does not allow it. KEYS: a folder that is
to be seen read-only at /run/gantline/keys, or nothing.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

REFUSED = 125
_NEWNS, _NEWUSER = 0x00020000, 0x10000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_DETACH = 2
_SET_PDEATHSIG, _SET_NO_NEW_PRIVS = 1, 38
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217, "armv7l": 218, "i686": 217}
_FROM_HOST = ("dev/null", "dev/zero", "dev/full", "dev/random", "dev/urandom", "etc/resolv.conf", "etc/hosts")
_IN_MEMORY = ("dev/shm", "tmp")
_KEYS = "run/gantline/keys"


def main(argv: Sequence[str]) -> int:
    """Enter, and become the program."""
    root, uid, keys, *program = argv
    try:
        enter(root, int(uid), keys)
    except OSError as e:
        sys.stderr.write(f"jail: {e.filename or 'namespaces'}: {e.strerror}\n")
        return REFUSED
    if not program:
        return 0
    os.execv(program[0], program)


def enter(root: str, uid: int, keys: str = "") -> None:
    """Make `root` this process's root, and this process nobody's. OSError where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    root = os.path.realpath(root)
    as_root, user, group = os.geteuid() == 0, os.geteuid(), os.getegid()
    _call("unshare", libc.unshare(_NEWNS if as_root else _NEWNS | _NEWUSER))
    if not as_root:
        _map("/proc/self/setgroups", "deny")
        _map("/proc/self/uid_map", f"{uid} {user} 1")
        _map("/proc/self/gid_map", f"{uid} {group} 1")

    def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
        words = (source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
        _call(f"mount {target}", libc.mount(*words))

    mount("none", "/", "", _REC | _PRIVATE)
    mount(root, root, "", _BIND)
    for path in _FROM_HOST:
        if os.path.exists(f"/{path}"):
            mount(f"/{path}", f"{root}/{path}", "", _BIND)
    mount("/proc", f"{root}/proc", "", _BIND | _REC)
    for path in _IN_MEMORY:
        mount("tmpfs", f"{root}/{path}", "tmpfs", _NOSUID | _NODEV, "mode=1777")
    if keys:
        mount(keys, f"{root}/{_KEYS}", "", _BIND)
        mount("none", f"{root}/{_KEYS}", "", _BIND | _REMOUNT | _RDONLY | _NOSUID | _kept(keys))
    mount("none", root, "", _BIND | _REMOUNT | _RDONLY | _NOSUID | _kept(root))
    os.chdir(root)
    _call("pivot_root", libc.syscall(_PIVOT_ROOT[os.uname().machine], b".", b"."))
    _call("umount", libc.umount2(b".", _DETACH))
    os.chdir("/")
    if as_root:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    _call("prctl", libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _call("prctl", libc.prctl(_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0))


def _kept(path: str) -> int:
    """What a disk is mounted with and whoever is not root may not take away."""
    return os.statvfs(path).f_flag & (_NODEV | _NOEXEC)


def _call(what: str, code: int) -> None:
    if code != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _map(path: str, text: str) -> None:
    with open(path, "w") as f:
        f.write(text)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
