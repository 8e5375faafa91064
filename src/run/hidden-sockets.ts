/**
 * Which Unix sockets of the host the command must not reach: a daemon behind one of them would act for it outside the
 * packet filter. Known folders are hidden whole, so that a daemon that starts later is hidden too; every other
 * listening path socket that the kernel names is hidden one by one.
 */
import { lstatSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';

const FOLDERS = [
  // container runtimes
  '/run/docker',
  '/run/containerd',
  '/run/podman',
  '/run/crio',
  '/run/buildkit',
  '/run/k3s',
  '/run/lxd',
  '/run/incus',
  '/var/lib/lxd',
  '/var/lib/incus',
  '/var/snap/lxd/common/lxd',
  '/run/libvirt',
  '/run/netns',
  // D-Bus, name services, printers, display
  '/run/dbus',
  '/run/nscd',
  '/run/avahi-daemon',
  '/run/cups',
  '/run/rpcbind',
  '/run/pcscd',
  '/run/tailscale',
  '/tmp/.X11-unix',
  '/tmp/.ICE-unix',
  '/run/user',
];
const SOCKETS = [
  '/run/docker.sock',
  '/run/snapd.socket',
  '/run/snapd-snap.socket',
  '/run/rpcbind.sock',
  '/run/acpid.socket',
  '/run/udev/control',
];
/** Searched for sockets, so deep: daemons of a container share its files, not its network, and no list names them. */
const SEARCHED = [
  { path: '/run', depth: 3 },
  { path: '/tmp', depth: 2 },
  { path: '/var/tmp', depth: 2 },
];

export interface HiddenSockets {
  readonly folders: readonly string[];
  readonly sockets: readonly string[];
}

/** Reads the file system and /proc/net/unix. `allowed`: paths that stay open at the user's word. */
export function findHiddenSockets(
  env: Readonly<Record<string, string | undefined>>,
  allowed: readonly string[],
): HiddenSockets {
  const open = new Set(allowed.map((path) => resolvePath(path) ?? path));
  const reachesOpen = (folder: string): boolean => [...open].some((path) => path.startsWith(`${folder}/`));
  const folders = unique(FOLDERS.map(resolvePath)).filter((path) => isFolder(path));
  const whole = folders.filter((path) => !reachesOpen(path));
  const candidates = [
    ...SOCKETS,
    ...socketsOfEnvironment(env),
    ...listeningSockets(),
    ...SEARCHED.flatMap(({ path, depth }) => searchSockets(path, depth)),
    // a folder that holds an open one is searched instead
    ...folders.filter(reachesOpen).flatMap((path) => searchSockets(path, 4)),
  ];
  const sockets = unique(candidates.map(resolvePath)).filter(
    (path) => !open.has(path) && isSocket(path) && !whole.some((folder) => path.startsWith(`${folder}/`)),
  );
  return { folders: whole, sockets };
}

function socketsOfEnvironment(env: Readonly<Record<string, string | undefined>>): string[] {
  const paths = [env['SSH_AUTH_SOCK'], env['GPG_AGENT_INFO']?.split(':')[0]];
  const urls = [
    env['DOCKER_HOST'],
    env['CONTAINER_HOST'],
    env['PULSE_SERVER'],
    env['DBUS_SESSION_BUS_ADDRESS'],
    env['DBUS_SYSTEM_BUS_ADDRESS'],
  ];
  for (const url of urls) paths.push(/(?:unix:(?:\/\/|path=)?)(\/[^,;]*)/.exec(url ?? '')?.[1]);
  const gnupg = env['GNUPGHOME'] ?? (env['HOME'] === undefined ? undefined : join(env['HOME'], '.gnupg'));
  if (gnupg !== undefined)
    paths.push(
      ...['S.gpg-agent', 'S.gpg-agent.ssh', 'S.gpg-agent.extra', 'S.scdaemon'].map((name) => join(gnupg, name)),
    );
  return paths.filter((path) => path !== undefined);
}

/** proc(5), /proc/net/unix: the path is the eighth field; flag 0x10000 says listening. */
function listeningSockets(): string[] {
  const paths: string[] = [];
  for (const line of readFileSync('/proc/net/unix', 'utf8').split('\n').slice(1)) {
    const path = line.split(/ +/).slice(7).join(' ');
    if (path.startsWith('/')) paths.push(path);
  }
  return paths;
}

function searchSockets(folder: string, depth: number): string[] {
  let entries;
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    return []; // what we may not read, the command may not either
  }
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isSocket()) return [path];
    return entry.isDirectory() && depth > 1 ? searchSockets(path, depth - 1) : [];
  });
}

/** Without symbolic links (/var/run is one); of a socket that is a link, what it leads to. */
function resolvePath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    try {
      return join(realpathSync(dirname(path)), path.slice(path.lastIndexOf('/') + 1));
    } catch {
      return undefined;
    }
  }
}

function isSocket(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSocket() ?? false;
}

function isFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function unique(paths: readonly (string | undefined)[]): string[] {
  return [...new Set(paths.filter((path) => path !== undefined))];
}
