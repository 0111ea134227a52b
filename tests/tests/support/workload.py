"""Sockets and threads whose calls both witnesses can name: every port is chosen by the test."""

import os
import socket
import sys
import threading

port, dead_port, directory = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


def serve(listener, count):
    for _ in range(count):
        connection, _ = listener.accept()
        connection.recv(16)
        connection.sendall(b"answer")
        connection.close()


def ask(family, address):
    with socket.socket(family) as client:
        client.connect(address)
        client.sendall(b"question")
        client.recv(16)


def refused(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as client:
        try:
            client.connect(address)
        except OSError:
            pass


def listening(family, address):
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen(8)
    return listener


def meet(family, address):
    listener = listening(family, address)
    threads = [threading.Thread(target=serve, args=(listener, 3))]
    threads += [threading.Thread(target=ask, args=(family, address)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    listener.close()


def touch(name):
    with open(os.path.join(directory, name), "w") as file:
        file.write(name)
    os.rename(os.path.join(directory, name), os.path.join(directory, name + ".new"))
    os.unlink(os.path.join(directory, name + ".new"))


meet(socket.AF_INET, ("127.0.0.1", port))
if socket.has_ipv6:
    try:
        meet(socket.AF_INET6, ("::1", port))
    except OSError:
        pass
unix = os.path.join(directory, "socket")
meet(socket.AF_UNIX, unix)
os.unlink(unix)
meet(socket.AF_UNIX, "\0weir-test-%d" % port)
refused(socket.AF_INET, ("127.0.0.1", dead_port))
refused(socket.AF_UNIX, os.path.join(directory, "no socket"))
refused(socket.AF_INET, ("127.0.0.1", dead_port), socket.SOCK_DGRAM)
workers = [threading.Thread(target=touch, args=("file-%d" % n,)) for n in range(8)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
if os.fork() == 0:
    os._exit(3)
os.wait()
