/** Whatever is wrong is said with where and what to do, by an exit status of its own, and no command is started. */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { asUser, makeFolder, PROGRAM, USERS, userEnvironment, type User } from './box.ts';
import { findProgram } from './machine.ts';
import { run, start, until, type Outcome } from './processes.ts';
import { useNetwork } from './suite.ts';

const network = useNetwork();

interface Tried extends Outcome {
  readonly started: boolean;
}

interface Setting {
  /** As root, before the user is changed. */
  readonly outside?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs a command that would leave a mark. `place` writes files into the folder that it runs in. */
async function attempt(
  user: User,
  args: readonly string[],
  place: (folder: string) => void = () => undefined,
  { outside = [], env = {} }: Setting = {},
  command?: readonly string[],
): Promise<Tried> {
  const folder = makeFolder(network(), user, 'bad');
  place(folder);
  const marking = command ?? ['sh', '-c', 'echo started >mark'];
  const environment = { ...userEnvironment(folder), ...env };
  const argv = asUser(network(), user, folder, environment, [...PROGRAM, 'run', ...args, '--', ...marking]);
  const { enter } = network().host;
  const outcome = await run([...enter, ...outside, ...argv.slice(enter.length)]);
  return { ...outcome, started: existsSync(join(folder, 'mark')) };
}

const HEAD =
  'apiVersion: sallyport.dev/v1alpha1\nkind: SecurityPolicy\nmetadata: {name: p}\nspec:\n  podSelector: {}\n';
const policy = (rest: string): string => `${HEAD}${rest.replaceAll(/^/gm, '  ')}\n`;
const BOMB = ['a: &a [x, x, x, x, x, x, x, x, x]', ...'bcdefghijk'.split('').map((name, at) => `${name}: &${name} [${Array.from({ length: 9 }, () => `*${'abcdefghij'.charAt(at)}`).join(', ')}]`)].join('\n'); // prettier-ignore

it.each([
  ['an unknown field of the policy', policy('default: Deny\nalow: []'), /alow/],
  ['an unknown field of a block', policy('default: Deny\nallow:\n- http: {host: [a.test]}'), /host/],
  ['an unknown block', policy('default: Deny\nallow:\n- htttp: {hosts: [a.test]}'), /htttp/],
  ['two blocks', policy('default: Deny\nallow:\n- {http: {hosts: [a.test]}, tls: {hosts: [a.test]}}'), /allow\[0\]/],
  ['no block', policy('default: Deny\nallow:\n- {name: x}'), /allow\[0\]/],
  ['a null block', policy('default: Deny\nallow:\n- http:'), /http/],
  ['an empty block', policy('default: Deny\nallow:\n- http: {}'), /hosts/],
  ['an empty list', policy('default: Deny\nallow:\n- http: {hosts: []}'), /hosts/],
  ['a null list', policy('default: Deny\nallow:\n- http: {hosts: }'), /hosts/],
  ['an empty host', policy('default: Deny\nallow:\n- http: {hosts: [""]}'), /hosts\[0\]/],
  ['a host that is a URL', policy('default: Deny\nallow:\n- http: {hosts: ["http://a.test/"]}'), /hosts\[0\]/],
  ['a bad glob', policy('default: Deny\nallow:\n- http: {hosts: ["a.**b.test"]}'), /hosts\[0\]/],
  ['a bad CIDR', policy('default: Deny\nallow:\n- tcp: {cidrs: ["10.0.0.0/33"]}'), /cidrs\[0\]/],
  ['a CIDR with host bits', policy('default: Deny\nallow:\n- tcp: {cidrs: ["10.0.0.1/8"]}'), /cidrs\[0\]/],
  ['a bad port', policy('default: Deny\nallow:\n- tcp: {hosts: [a.test], ports: [70000]}'), /ports\[0\]/],
  ['a bad range of ports', policy('default: Deny\nallow:\n- tcp: {hosts: [a.test], ports: ["90-80"]}'), /ports\[0\]/],
  ['a block of a later version', policy('default: Deny\nallow:\n- s3: {buckets: [x]}'), /not in this version/],
  ['no default', policy('allow:\n- http: {hosts: [a.test]}'), /default/],
  ['no selector', HEAD.replace('  podSelector: {}\n', '  default: Deny\n'), /podSelector/],
  ['another version of the API', policy('default: Deny').replace('v1alpha1', 'v9'), /v9/],
  ['another kind', policy('default: Deny').replace('SecurityPolicy', 'NetworkPolicy'), /NetworkPolicy/],
  ['a key twice', policy('default: Deny\ndefault: Allow'), /p\.yaml:7:3/],
  ['a list of policies', '- a\n- b\n', /p\.yaml/],
  ['text', 'hello\n', /p\.yaml/],
  ['no YAML', 'spec: [\n', /p\.yaml/],
  ['nothing', '', /p\.yaml/],
  ['a YAML bomb', `${policy('default: Deny')}---\n${BOMB}\n`, /p\.yaml/],
  ['a tag that runs something', `${HEAD}  default: !!js/function "x"\n`, /p\.yaml|default/],
  ['bytes', '\x00\x01\xff', /p\.yaml/],
])('%s in a policy', async (_, text, said) => {
  const { status, stderr, stdout, started } = await attempt('user', ['--policy', 'p.yaml'], (folder) => {
    writeFileSync(join(folder, 'p.yaml'), text, 'latin1');
  });
  expect(status).toBe(65);
  expect(stderr).toMatch(said);
  expect(stderr).toMatch(/^sallyport: |p\.yaml:\d/m);
  expect(stderr).not.toMatch(/^\s+at .*\.ts:/m);
  expect([stdout, started]).toEqual(['', false]);
}); // prettier-ignore

describe.each(USERS)('as %s', (user) => {
  it.each([
    ['a policy that is not there', ['--policy', 'none.yaml'], 66, /none\.yaml/],
    ['a policy that is a device', ['--policy', '/dev/tty'], 66, /tty/],
    ['an option that is none', ['--polcy', 'p.yaml'], 64, /polcy/],
    ['no policy and no word on violations', [], 64, /--on-violation/],
    ['an action that is none', ['--on-violation', 'Maybe'], 64, /Maybe/],
    ['an address for metrics that is none', ['--on-violation', 'Notify', '--metrics', 'x'], 64, /metrics/],
    ['a resolver that is none', ['--on-violation', 'Notify', '--resolver', 'dns.test'], 64, /resolver/],
    ['a rate that is none', ['--on-violation', 'Notify', '--log-allowed', '2'], 64, /log-allowed/],
    ['an address that is not ours', ['--on-violation', 'Notify', '--metrics', '203.0.113.9:9090'], 75, /203\.0\.113\.9/],
    ['a log that cannot be made', ['--on-violation', 'Notify', '--log', 'none/log'], 73, /none\/log/],
    ['a log that is a folder', ['--on-violation', 'Notify', '--log', '.'], 73, /log|folder|directory/],
  ] as const)('%s', async (_, args, status, said) => {
    const tried = await attempt(user, args);
    expect(tried.stderr).toMatch(said);
    expect(tried.stderr).toMatch(/^sallyport: /m);
    expect([tried.status, tried.started]).toEqual([status, false]);
  }); // prettier-ignore

  it('a folder, and a file that may not be read, instead of a policy', async () => {
    const folder = await attempt(user, ['--policy', 'd'], (place) => void mkdirSync(join(place, 'd')));
    expect([folder.status, folder.started]).toEqual([66, false]);
    if (user === 'root') return; // may read all
    const secret = await attempt(user, ['--policy', 's.yaml'], (place) => {
      writeFileSync(join(place, 's.yaml'), policy('default: Deny'));
      chmodSync(join(place, 's.yaml'), 0);
    });
    expect([secret.status, secret.started]).toEqual([66, false]);
    expect(secret.stderr).toMatch(/s\.yaml/);
  });

  it.each([
    ['a command that is not there', ['no-such-command'], 127, /no-such-command/],
    ['a path that is not there', ['./none/at/all'], 127, /none\/at\/all/],
    ['a file that may not be executed', ['./plain'], 126, /plain/],
    ['a folder', ['/'], 126, /\//],
    ['a script whose interpreter is not there', ['./broken'], 127, /broken/],
    ['nothing', [''], 127, /./],
  ] as const)('%s for a command', async (_, command, status, said) => {
    const place = (folder: string): void => {
      writeFileSync(join(folder, 'plain'), 'echo started >mark');
      writeFileSync(join(folder, 'broken'), '#!/no/such/interpreter\necho started >mark', { mode: 0o755 });
    };
    const tried = await attempt(user, ['--on-violation', 'Notify'], place, {}, command);
    expect(tried.stderr).toMatch(said);
    expect([tried.status, tried.started]).toEqual([status, false]);
  });

  it('no command at all', async () => {
    const tried = await attempt(user, ['--on-violation', 'Notify'], undefined, {}, []);
    expect(tried.status).toBe(64);
  });

  it('an address for metrics that is taken', async () => {
    const holder = start([...network().host.enter, 'python3', '-c', `import socket, time; s = socket.create_server(('127.0.0.1', 9191)); print('up', flush=True); time.sleep(60)`]);
    await until('a server', () => (holder.said().includes('up') ? true : undefined));
    const tried = await attempt(user, ['--on-violation', 'Notify', '--metrics', '127.0.0.1:9191']);
    await holder.close();
    expect([tried.status, tried.started]).toEqual([75, false]);
    expect(tried.stderr).toContain('127.0.0.1:9191');
  }); // prettier-ignore

  /** Hides programs, or a file's content, from all that is started. */
  const changed = (script: string): Setting => ({
    outside: ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', `${script}; exec "$@"`, 'sh'],
  });
  const hide = (...names: readonly string[]): string =>
    names
      .map((name) => findProgram(name))
      .filter((path) => path !== undefined)
      .map((path) => `mount --bind /dev/null ${path}`)
      .join('; ');

  it('a machine without nft and iptables', async () => {
    const tools = ['nft', ...['iptables', 'ip6tables'].flatMap((name) => ['', '-nft', '-legacy'].flatMap((kind) => [`${name}${kind}`, `${name}${kind}-restore`]))];
    const tried = await attempt(user, ['--on-violation', 'Notify'], undefined, changed(hide(...tools, 'iptables-restore', 'ip6tables-restore')));
    expect([tried.status, tried.started]).toEqual([69, false]);
    expect(tried.stderr).toMatch(/apt-get install/);
  }); // prettier-ignore

  it('a machine without a resolver', async () => {
    const tried = await attempt(user, ['--on-violation', 'Notify'], undefined, changed('mount --bind /dev/null /etc/resolv.conf'));
    expect([tried.status, tried.started]).toEqual([68, false]);
    expect(tried.stderr).toMatch(/--resolver/);
  }); // prettier-ignore

  it('a machine without unshare', async () => {
    const unshare = findProgram('unshare') ?? '';
    const tried = await attempt(
      user,
      ['--on-violation', 'Notify'],
      undefined,
      changed(`mount --bind /dev/null ${unshare}`),
    );
    expect([tried.status, tried.started]).toEqual([71, false]);
    expect(tried.stderr).toMatch(/util-linux/);
  });
});

it('a kernel that forbids user namespaces', async () => {
  // a user namespace in which there may be no further one, and without the right to make any other namespace
  const forbid = 'echo 0 >/proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-all --inh-caps=-all "$@"';
  const outside = ['unshare', '--user', '--map-root-user', 'sh', '-c', forbid, 'sh'];
  const tried = await attempt('root', ['--on-violation', 'Notify'], undefined, { outside });
  expect(tried.stderr).toMatch(/max_user_namespaces/);
  expect([tried.status, tried.started]).toEqual([71, false]);
});
