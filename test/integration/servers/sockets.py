"""python3 sockets.py LOG PATH ...: listens on Unix sockets, as daemons do; a PATH that begins with @ is abstract.
Writes `ready`, then each path that was connected to, to LOG."""
import os
import selectors
import socket
import sys

log = open(sys.argv[1], 'a', buffering=1)
selector = selectors.DefaultSelector()
for path in sys.argv[2:]:
    server = socket.socket(socket.AF_UNIX)
    if path.startswith('@'):
        server.bind('\0' + path[1:])
    else:
        server.bind(path)
        os.chmod(path, 0o777)
    server.listen()
    selector.register(server, selectors.EVENT_READ, path)
log.write('ready\n')
while True:
    for key, _ in selector.select():
        connection, _ = key.fileobj.accept()
        log.write(key.data + '\n')
        connection.close()
