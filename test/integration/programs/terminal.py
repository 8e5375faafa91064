"""A person at a terminal. Arguments: a JSON list of steps, then the command. A step waits for a pattern in what has been
shown since the last step, then types or changes the size. Prints, as JSON: what was shown, the status, and the step that waited in vain."""
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

steps, argv = json.loads(sys.argv[1]), sys.argv[2:]
pid, fd = pty.fork()
if pid == 0:
    os.environ['PS1'], os.environ['TERM'] = '$ ', 'dumb'
    os.execvp(argv[0], argv)
shown = ''


def read(timeout):
    """False when the terminal is closed."""
    global shown
    ready, _, _ = select.select([fd], [], [], timeout)
    if not ready:
        return True
    try:
        chunk = os.read(fd, 65536)
    except OSError:
        return False
    shown += chunk.decode(errors='replace').replace('\r', '')
    return chunk != b''


def wait(pattern, start):
    end = time.time() + 10
    while time.time() < end:
        found = re.compile(pattern, re.M).search(shown, start)
        if found:
            return found.end()
        if not read(0.05):
            found = re.compile(pattern, re.M).search(shown, start)
            return found.end() if found else None
    return None


failed, at = None, 0
for step in steps:
    position = wait(step['wait'], at)
    if position is None:
        failed = step
        break
    at = position
    # whoever shows a line may not read yet
    time.sleep(step.get('pause', 0.1))
    if step.get('size'):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', *step['size'], 0, 0))
    if step.get('type'):
        os.write(fd, step['type'].encode())
status, end = None, time.time() + (1 if failed else 10)
while time.time() < end:
    read(0.05)
    ended, code = os.waitpid(pid, os.WNOHANG)
    if ended:
        status = os.waitstatus_to_exitcode(code)
        break
else:
    os.kill(pid, 9)
while select.select([fd], [], [], 0)[0] and read(0):
    pass
print(json.dumps({'shown': shown, 'status': status, 'failed': failed}))
