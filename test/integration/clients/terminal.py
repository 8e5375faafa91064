"""python3 terminal.py STEPS COMMAND ...: runs COMMAND on a terminal of its own (40 lines of 101 columns).
STEPS is JSON: a list of {"expect": regular expression} and {"send": text}. Prints JSON: what the terminal showed, how
the command ended, and the step that did not come about within 8 s, if one did not."""
import fcntl
import json
import os
import pty
import re
import select
import struct
import sys
import termios
import time

steps = json.loads(sys.argv[1])
child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 101, 0, 0))
screen = ''
seen = 0
failed = None


def read(timeout):
    """Adds what came to the screen; False at the end."""
    global screen
    if not select.select([terminal], [], [], timeout)[0]:
        return True
    try:
        some = os.read(terminal, 65536)
    except OSError:
        return False
    screen += some.decode(errors='replace')
    return some != b''


for step in steps:
    if 'send' in step:
        time.sleep(0.15)
        os.write(terminal, step['send'].encode())
        continue
    if 'size' in step:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', *step['size'], 0, 0))
        continue
    deadline = time.time() + 8
    while True:
        found = re.search(step['expect'], screen[seen:])
        if found:
            seen += found.end()
            break
        if time.time() > deadline or not read(0.1):
            failed = step['expect']
            break
    if failed:
        break

deadline = time.time() + 8
while time.time() < deadline and read(0.1):
    pass
ended, status = os.waitpid(child, os.WNOHANG)
if ended == 0:
    os.kill(child, 9)
    ended, status = os.waitpid(child, 0)
print(json.dumps({'screen': screen, 'status': os.waitstatus_to_exitcode(status), 'failed': failed}))
