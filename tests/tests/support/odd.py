"""Odd ways to do plain things: what strace can name and an observer gets wrong easily. Needs root."""

import ctypes
import os
import signal
import struct
import sys
import threading

directory = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)
OPENAT2, EXECVEAT, PIDFD_SEND_SIGNAL, PIDFD_OPEN = 437, {"x86_64": 322, "aarch64": 281}[os.uname().machine], 424, 434
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}[os.uname().machine]
MOVE_MOUNT, FSOPEN, FSCONFIG, FSMOUNT, MOUNT_SETATTR = 429, 430, 431, 432, 442
AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
CLONE_FS, CLONE_NEWNS = 0x200, 0x20000
RESOLVE_BENEATH, RESOLVE_IN_ROOT = 0x08, 0x10
MS_REC_PRIVATE = 0x4000 | 0x40000


def call(number, *arguments):
    words = [ctypes.c_char_p(a) if isinstance(a, bytes) else a if a is None else ctypes.c_long(a) for a in arguments]
    return libc.syscall(ctypes.c_long(number), *words)


def in_child(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    os.waitpid(child, 0)


def openat2(dirfd, path, resolve):
    how = struct.pack("QQQ", os.O_RDONLY, 0, resolve)
    fd = call(OPENAT2, dirfd, path, how, len(how))
    if fd >= 0:
        os.close(fd)


def opens():
    os.makedirs(os.path.join(directory, "odd/in"))
    with open(os.path.join(directory, "odd/in/file"), "w"):
        pass
    top = os.open(os.path.join(directory, "odd"), os.O_PATH)
    for path in (b"in/file", b"/in/file", b"../odd/in/file", b"in/../in/file", b"none"):
        for resolve in (0, RESOLVE_BENEATH, RESOLVE_IN_ROOT):
            openat2(top, path, resolve)
    os.close(top)


def execveat(dirfd, path, flags, *arguments):
    argv = (ctypes.c_char_p * (len(arguments) + 1))(*arguments, None)
    call(EXECVEAT, dirfd, path, ctypes.addressof(argv), 0, flags)


def execs():
    program = os.path.realpath("/bin/true")
    script = os.path.join(directory, "odd/script")
    with open(script, "w") as file:
        file.write("#!/bin/sh\nexit 0\n")
    os.chmod(script, 0o755)
    for path in (program, script):
        where, name = os.path.split(path)
        top, itself = os.open(where, os.O_PATH), os.open(path, os.O_RDONLY)
        os.set_inheritable(top, True)
        os.set_inheritable(itself, True)
        in_child(lambda: execveat(top, name.encode(), 0, b"by", b"directory"))
        in_child(lambda: execveat(itself, b"", AT_EMPTY_PATH, b"by", b"file"))
        in_child(lambda: execveat(top, b"none", 0, b"by", b"nothing"))
        os.close(top)
        os.close(itself)


def mounts():
    for name in ("one", "two", "root"):
        os.mkdir(os.path.join(directory, "odd", name))
    os.chdir(os.path.join(directory, "odd"))
    if libc.unshare(CLONE_NEWNS):
        os._exit(0)
    libc.mount(None, b"/", None, ctypes.c_ulong(MS_REC_PRIVATE), None)
    context = call(FSOPEN, b"tmpfs", 0)
    call(FSCONFIG, context, 6, None, None, 0)
    mount = call(FSMOUNT, context, 0, 0)
    call(MOVE_MOUNT, mount, b"", AT_FDCWD, b"none", 4)
    call(MOVE_MOUNT, mount, b"", AT_FDCWD, b"one", 4)
    call(MOUNT_SETATTR, AT_FDCWD, b"one", 0, struct.pack("QQQQ", 1, 0, 0, 0), 32)
    call(MOVE_MOUNT, AT_FDCWD, b"one", AT_FDCWD, b"two", 0)
    libc.umount2(b"two", 2)
    libc.mount(b"none", b"root", b"tmpfs", ctypes.c_ulong(0), None)
    root = os.path.join(directory, "odd/root").encode()
    os.mkdir(root + b"/old")
    call(PIVOT_ROOT, root, root + b"/old")
    os._exit(0)


def renames():
    def rename(n):
        libc.unshare(CLONE_FS)
        where = os.path.join(directory, "odd", "thread-%d" % n)
        os.mkdir(where)
        os.chdir(where)
        with open("leaf", "w"):
            pass
        os.rename("leaf", "../leaf-%d" % n)
        os.unlink("../thread-%d/../leaf-%d" % (n, n))
        os.rmdir("../thread-%d" % n)

    threads = [threading.Thread(target=rename, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def signals():
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(1)
    pidfd = call(PIDFD_OPEN, child, 0)
    call(PIDFD_SEND_SIGNAL, pidfd, 0, None, 0)
    call(PIDFD_SEND_SIGNAL, pidfd, signal.SIGTERM, None, 0)
    os.waitpid(child, 0)
    call(PIDFD_SEND_SIGNAL, pidfd, 0, None, 0)
    os.close(pidfd)


def trapped():
    """A filter by which mkdir and rmdir trap, and unlinkat ends the process."""
    calls = {"x86_64": (83, 84, 263), "aarch64": (34, 34, 35)}[os.uname().machine]
    trap, kill, allow = 0x00030000, 0x80000000, 0x7FFF0000

    def instruction(code, jt, jf, k):
        return struct.pack("HBBI", code, jt, jf, k)

    program = instruction(0x20, 0, 0, 0)
    for number, verdict in zip(calls, (trap, trap, kill)):
        program += instruction(0x15, 0, 1, number) + instruction(0x06, 0, 0, verdict)
    program += instruction(0x06, 0, 0, allow)
    buffer = ctypes.create_string_buffer(program)
    fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer)))
    signal.signal(signal.SIGSYS, lambda *_: None)
    libc.prctl(38, 1, 0, 0, 0)
    libc.prctl(22, 2, fprog, 0, 0)
    libc.mkdir(os.path.join(directory, "odd/never").encode(), 0o700)
    libc.rmdir(os.path.join(directory, "odd/in").encode())
    call(calls[2], AT_FDCWD, os.path.join(directory, "odd/script").encode(), 0)


opens()
execs()
in_child(mounts)
renames()
signals()
in_child(trapped)
