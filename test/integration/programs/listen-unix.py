"""Daemons on Unix sockets. Arguments: paths, abstract names after an @. Prints READY, then each path that somebody reached."""
import os
import socket
import sys
import threading


def serve(path):
    server = socket.socket(socket.AF_UNIX)
    server.bind('\0' + path[1:] if path.startswith('@') else path)
    server.listen()
    if not path.startswith('@'):
        os.chmod(path, 0o777)
    return server


def accept(path, server):
    while True:
        client, _ = server.accept()
        print(path, flush=True)
        client.recv(16)
        client.close()


servers = [(path, serve(path)) for path in sys.argv[1:]]
for path, server in servers:
    threading.Thread(target=accept, args=(path, server), daemon=True).start()
print('READY', flush=True)
sys.stdin.read()  # until whoever started us has gone
for path, server in servers:
    if not path.startswith('@') and os.path.exists(path):
        os.unlink(path)
