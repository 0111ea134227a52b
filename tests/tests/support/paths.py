"""Opens files in every odd place, and says of each what /proc calls it: `paths.py DIR`, in a mount namespace of its own."""

import ctypes
import json
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)
top = sys.argv[1]
os.chdir(top)


def mount(source, target, kind, flags, data=None):
    text = lambda value: None if value is None else value.encode()
    if libc.mount(text(source), text(target), text(kind), flags, text(data)) != 0:
        raise OSError(ctypes.get_errno(), f"mount {target}")


def step(name, act):
    """A mark, then the one open that is meant."""
    try:
        os.open(f"/no/such/step-{name}", os.O_RDONLY)
    except FileNotFoundError:
        pass
    fd = act()
    print(json.dumps({"step": name, "named": os.readlink(f"/proc/self/fd/{fd}")}), flush=True)
    return fd


def write(path, text="x"):
    with open(path, "w") as file:
        file.write(text)


BIND, PRIVATE, REC = 4096, 1 << 18, 16384
mount(None, "/", None, PRIVATE | REC)

for name in ["plain/below", "bound", "lower", "upper", "work", "merged", "tmp", "cage/inner"]:
    os.makedirs(name)
write("plain/below/file")
write("lower/low")
write("lower/changed")
write("cage/inner/file")

directory = os.open("plain", os.O_RDONLY)
step("dirfd", lambda: os.open("below/file", os.O_RDONLY, dir_fd=directory))
os.fchdir(directory)
step("fchdir", lambda: os.open("below/../below/./file", os.O_RDONLY))
os.chdir(top)

mount("plain", "bound", None, BIND)
step("bind", lambda: os.open("bound/below/file", os.O_RDONLY))
mount("none", "tmp", "tmpfs", 0)
write("tmp/inside")
step("tmpfs", lambda: os.open("tmp/inside", os.O_RDONLY))
try:
    mount("overlay", "merged", "overlay", 0, f"lowerdir={top}/lower,upperdir={top}/upper,workdir={top}/work")
    step("overlay-lower", lambda: os.open("merged/low", os.O_RDONLY))
    step("overlay-copied", lambda: os.open("merged/changed", os.O_WRONLY))
    step("overlay-new", lambda: os.open("merged/new", os.O_WRONLY | os.O_CREAT))
except OSError as error:
    print(json.dumps({"step": "skipped", "named": f"overlay: {error}"}), flush=True)

os.symlink("plain/below/file", "link")
step("symlink", lambda: os.open("link", os.O_RDONLY))

write("gone")
kept = os.open("gone", os.O_RDONLY)
os.unlink("gone")
step("deleted", lambda: os.open(f"/proc/self/fd/{kept}", os.O_RDONLY))
memory = os.memfd_create("a name")
step("memfd", lambda: os.open(f"/proc/self/fd/{memory}", os.O_RDONLY))
reading, writing = os.pipe()
step("pipe", lambda: os.open(f"/proc/self/fd/{writing}", os.O_WRONLY))
step("null", lambda: os.open("/dev/null", os.O_RDONLY))

for n in range(30):
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
try:
    os.open("/no/such/step-long", os.O_RDONLY)
except FileNotFoundError:
    pass
os.close(os.open("end", os.O_WRONLY | os.O_CREAT))
print(json.dumps({"step": "long", "named": "d" * 200}), flush=True)
os.chdir(top)

if os.fork() == 0:
    os.chroot("cage")
    os.chdir("/")
    try:
        os.open("/no/such/step-chroot", os.O_RDONLY)
    except FileNotFoundError:
        pass
    os.open("/inner/file", os.O_RDONLY)
    os._exit(0)
os.wait()
print(json.dumps({"step": "chroot", "named": f"{top}/cage/inner/file"}), flush=True)
