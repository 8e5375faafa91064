/** What cannot be run as asked says where, what and what to do, ends with a status of its own, and starts no command. */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  makeWorkspace,
  PEOPLE,
  ROOT,
  runSallyport,
  USER,
  whyNot,
  type Finished,
  type Person,
  type RunOptions,
  type Workspace,
} from './sallyport.ts';

/** docs/exit-codes.md */
const STATUS = {
  usage: 64,
  policyInvalid: 65,
  inputMissing: 66,
  noResolver: 68,
  noPacketFilter: 69,
  noNamespaces: 71,
  cannotCreate: 73,
  addressInUse: 75,
  notExecutable: 126,
  notFound: 127,
} as const;

const HEAD = `apiVersion: sallyport.dev/v1alpha1
kind: SecurityPolicy
metadata: {name: p}
spec:
  podSelector: {}
  default: Deny
`;
const allow = (rule: string): string => `${HEAD}  allow:\n  - ${rule}\n`;
const WITNESS = 'the-command-was-started';

let workspace: Workspace;
beforeEach(() => {
  workspace = makeWorkspace(USER);
});
afterEach(() => {
  // whatever was wrong: the command would have left this
  const started = existsSync(join(workspace.path, WITNESS));
  workspace.close();
  expect(started, 'the command was started').toBe(false);
});

const attempt = (args: readonly string[], options: RunOptions = {}, person: Person = USER): Promise<Finished> =>
  runSallyport(person, [...args, '--', 'touch', join(workspace.path, WITNESS)], { cwd: workspace.path, ...options });
const notify = ['--on-violation', 'Notify'];

it('the witness is one: a command that is started leaves it', async () => {
  expect((await attempt(notify)).code).toBe(0);
  const other = makeWorkspace(USER);
  expect(existsSync(join(workspace.path, WITNESS))).toBe(true);
  workspace.close();
  workspace = other;
});

describe('a policy', () => {
  const bomb = [
    'a0: &a0 [x,x,x,x,x,x,x,x,x,x]',
    ...Array.from({ length: 12 }, (_, n) => `a${n + 1}: &a${n + 1} [${Array<string>(10).fill(`*a${n}`).join()}]`),
  ].join('\n');

  it.each<readonly [string, string, readonly string[]]>([
    [
      'an unknown field',
      allow('http: {hosts: [a.example], pathes: [/x]}'),
      ['p.yaml:8:', 'spec.allow[0].http.pathes', 'Did you mean paths?'],
    ],
    [
      'an unknown field of the document',
      `${HEAD}  allowed: []\n`,
      ['p.yaml:7:', 'spec.allowed', 'Did you mean allow?'],
    ],
    [
      'two blocks in a rule',
      allow('{http: {hosts: [a.example]}, tls: {hosts: [b.example]}}'),
      ['p.yaml:8:', 'spec.allow[0]', 'http tls', 'Write one rule for each.'],
    ],
    ['no block in a rule', allow('name: x'), ['p.yaml:8:', 'spec.allow[0]', 'no block', 'Write one of http']],
    ['a null block', allow('http:'), ['p.yaml:8:', 'spec.allow[0].http', 'null', 'Give it a value']],
    ['an empty block', allow('http: {}'), ['p.yaml:8:', 'spec.allow[0].http', 'hosts or urls is required', '["*"]']],
    ['an empty list', allow('tls: {hosts: []}'), ['p.yaml:8:', 'spec.allow[0].tls.hosts', 'empty', '["*"]']],
    [
      'a glob that is none',
      allow('tls: {hosts: ["***.example"]}'),
      ['p.yaml:8:', 'spec.allow[0].tls.hosts[0]', '***.example', '**.example.com'],
    ],
    [
      'a CIDR with bits beyond its prefix',
      allow('tcp: {cidrs: [10.0.0.1/8]}'),
      ['p.yaml:8:', 'spec.allow[0].tcp.cidrs[0]', '10.0.0.1/8', 'beyond the prefix'],
    ],
    [
      'a prefix that is too long',
      allow('tcp: {cidrs: ["2001:db8::/129"]}'),
      ['p.yaml:8:', 'spec.allow[0].tcp.cidrs[0]', '2001:db8::/129', 'Write it as'],
    ],
    [
      'port 0',
      allow('tcp: {hosts: [a.example], ports: [0]}'),
      ['p.yaml:8:', 'spec.allow[0].tcp.ports[0]', '1 to 65535'],
    ],
    [
      'a port that is too large',
      allow('tcp: {hosts: [a.example], ports: [65536]}'),
      ['p.yaml:8:', 'spec.allow[0].tcp.ports[0]', '1 to 65535'],
    ],
    [
      'a range of ports from the end',
      allow('tcp: {hosts: [a.example], ports: ["9-1"]}'),
      ['p.yaml:8:', 'spec.allow[0].tcp.ports[0]', '8000-8100'],
    ],
    [
      'a block of a later version',
      allow('s3: {buckets: [b]}'),
      ['p.yaml:8:', 'spec.allow[0].s3', 'not in this version', 'http, tls, tcp'],
    ],
    ['an unknown block', allow('htttp: {hosts: [a.example]}'), ['p.yaml:8:', 'spec.allow[0].htttp']],
    ['a null list', allow('http: {hosts: }'), ['p.yaml:8:', 'spec.allow[0].http.hosts', 'null']],
    ['an empty host', allow('http: {hosts: [""]}'), ['p.yaml:8:', 'spec.allow[0].http.hosts[0]']],
    [
      'a host that is a URL',
      allow('http: {hosts: ["http://a.example/"]}'),
      ['p.yaml:8:', 'spec.allow[0].http.hosts[0]'],
    ],
    ['no selector', HEAD.replace('  podSelector: {}\n', ''), ['spec.podSelector', 'required']],
    ['a key twice', `${HEAD}  default: Allow\n`, ['p.yaml:7:3']],
    ['a list of documents', '- a\n- b\n', ['p.yaml:1:']],
    ['a tag that would run something', `${HEAD}  allow: !!js/function "x"\n`, ['p.yaml:7:']],
    ['no default', HEAD.replace('  default: Deny\n', ''), ['spec.default', 'required', 'default: Deny']],
    ['another kind', HEAD.replace('SecurityPolicy', 'NetworkPolicy'), ['p.yaml:2:', 'kind', 'SecurityPolicy']],
    ['another version', HEAD.replace('v1alpha1', 'v9'), ['p.yaml:1:', 'apiVersion', 'v1alpha1']],
    ['no document', '', ['p.yaml', 'no policy']],
    ['YAML that is none', 'a: [b\n', ['p.yaml:2:', 'Correct the YAML']],
    ['a bomb of aliases', bomb, ['p.yaml:2:', 'aliases', 'Write the value out']],
    ['a bomb of brackets', `a: ${'['.repeat(100_000)}`, ['p.yaml:1:', 'nested deeper', 'Correct the YAML']],
    ['a bomb of text', `# ${'x'.repeat(20 << 20)}`, ['p.yaml', 'larger than', 'Split it']],
  ])('with %s', async (_what, text, said) => {
    const started = performance.now();
    const { code, stderr, stdout } = await attempt(['--policy', workspace.file('p.yaml', text)]);
    expect(code).toBe(STATUS.policyInvalid);
    for (const part of said) expect(stderr).toContain(part);
    expect(stderr).toMatch(/^sallyport: /);
    expect(stdout.toString()).toBe('');
    expect(performance.now() - started).toBeLessThan(8_000);
  });

  it('that is not UTF-8', async () => {
    const file = workspace.file('p.yaml', '');
    writeFileSync(file, Buffer.from(`${HEAD}# caf\xe9\n`, 'latin1'));
    const { code, stderr } = await attempt(['--policy', file]);
    expect(code).toBe(STATUS.policyInvalid);
    expect(stderr).toMatch(/^[^]*p\.yaml: .*not UTF-8.*\n {2}Save it as UTF-8\.\n$/);
  });

  it('of several: one that is invalid is enough, and all that is wrong is said', async () => {
    const good = workspace.file('good.yaml', HEAD);
    const bad = workspace.file('bad.yaml', allow('tcp: {hosts: ["a..b"], cidrs: [300.0.0.0/8], ports: ["9-1", x]}'));
    const { code, stderr } = await attempt(['--policy', good, '--policy', bad]);
    expect(code).toBe(STATUS.policyInvalid);
    for (const path of ['hosts[0]', 'cidrs[0]', 'ports[0]', 'ports[1]']) {
      const line = stderr.split('\n').find((text) => text.includes(` error: spec.allow[0].tcp.${path}: `));
      expect(line, path).toMatch(/^\S*bad\.yaml:8:\d+: /);
    }
    expect(stderr).not.toContain('good.yaml');
  });

  it('that is not there', async () => {
    const { code, stderr } = await attempt(['--policy', 'nowhere.yaml']);
    expect(code).toBe(STATUS.inputMissing);
    expect(stderr).toBe('sallyport: cannot read nowhere.yaml: there is no such file\n  Check the path.\n');
  });

  it('that may not be read', async () => {
    const secret = workspace.file('secret.yaml', HEAD);
    chmodSync(secret, 0);
    const { code, stderr } = await attempt(['--policy', 'secret.yaml']);
    expect(code).toBe(STATUS.inputMissing);
    expect(stderr).toMatch(/^sallyport: cannot read secret\.yaml: .*permi/);
  });

  it('that is a directory', async () => {
    mkdirSync(join(workspace.path, 'folder'));
    const { code, stderr } = await attempt(['--policy', 'folder']);
    expect(code).toBe(STATUS.inputMissing);
    expect(stderr).toBe('sallyport: folder is a directory\n  Name the files in it.\n');
  });

  it('on standard input, which is the command’s', async () => {
    const { code, stderr } = await attempt(['--policy', '-'], { input: HEAD });
    expect(code).toBe(STATUS.usage);
    expect(stderr).toContain('standard input belongs to the command');
  });
});

describe('a command', () => {
  const start = (...command: string[]): Promise<Finished> =>
    runSallyport(USER, [...notify, '--', ...command], { cwd: workspace.path });

  it('that does not exist', async () => {
    const { code, stderr } = await start('no-such-command-anywhere', WITNESS);
    expect(code).toBe(STATUS.notFound);
    expect(stderr).toMatch(/^sallyport: no-such-command-anywhere: command not found\n {2}Check the name/);
  });

  it('that is a directory, or not executable', async () => {
    workspace.file('script', `#!/bin/sh\ntouch ${WITNESS}\n`);
    for (const [name, what] of [
      ['./script', 'is not executable'],
      ['/tmp', 'is a directory'],
    ] as const) {
      const { code, stderr } = await start(name);
      expect(code).toBe(STATUS.notExecutable);
      expect(stderr).toMatch(new RegExp(`^sallyport: cannot execute ${name}: .*${what}\\n {2}\\S`));
    }
  });

  it('that is a script whose interpreter is not there, or no name at all', async () => {
    workspace.file('broken', '#!/no/such/interpreter\n');
    chmodSync(join(workspace.path, 'broken'), 0o755);
    for (const name of ['./broken', './none/at/all', '']) {
      const { code, stderr } = await start(name);
      expect(code).toBe(STATUS.notFound);
      expect(stderr).toMatch(/^sallyport: .*(not found|is empty).*\n {2}\S/m);
    }
  });

  it('that is missing', async () => {
    const { code, stderr } = await runSallyport(USER, notify);
    expect(code).toBe(STATUS.usage);
    expect(stderr).toMatch(/^sallyport: missing required argument 'command'\n/);
  });

  it('the failure is JSON where that is asked for', async () => {
    const { code, stderr } = await runSallyport(USER, [
      ...notify,
      '--output',
      'json',
      '--',
      'no-such-command-anywhere',
    ]);
    expect(code).toBe(STATUS.notFound);
    const { error } = JSON.parse(stderr) as { error: Record<string, unknown> };
    expect(error).toMatchObject({ code: 'command-not-found', exitStatus: STATUS.notFound });
    expect([error['message'], error['remedy']].every((text) => typeof text === 'string' && text !== '')).toBe(true);
  });
});

describe('options', () => {
  it.each<readonly [string, readonly string[], string]>([
    ['neither a policy nor --on-violation', [], 'neither a policy nor --on-violation'],
    ['an unknown one', [...notify, '--no-such-option'], '--no-such-option'],
    ['a value that is none', ['--on-violation', 'Maybe'], 'Allowed choices are Block, Notify'],
    ['a resolver that is no address', [...notify, '--resolver', 'dns.example'], 'Write an IP address'],
    ['a rate above 1', [...notify, '--log-allowed', '3'], 'from 0 to 1'],
    ['labels without a value', [...notify, '--labels', 'x'], 'app=checkout'],
  ])('%s', async (_what, args, said) => {
    const { code, stderr } = await attempt(args);
    expect(code).toBe(STATUS.usage);
    expect(stderr).toMatch(/^sallyport: /);
    expect(stderr).toContain(said);
  });

  it('a log that cannot be written', async () => {
    const { code, stderr } = await attempt([...notify, '--log', '/nowhere/log.jsonl']);
    expect(code).toBe(STATUS.cannotCreate);
    expect(stderr).toMatch(/^sallyport: cannot write records to \/nowhere\/log\.jsonl: .*\n {2}Give --log/);
  });

  it('a log that is a folder', async () => {
    const { code, stderr } = await attempt([...notify, '--log', '.']);
    expect(code).toBe(STATUS.cannotCreate);
    expect(stderr).toMatch(/^sallyport: cannot write records to /);
  });

  it('an address for metrics that is not one of this machine', async () => {
    const { code, stderr } = await attempt([...notify, '--metrics', '203.0.113.9:9090']);
    expect(code).toBe(STATUS.addressInUse);
    expect(stderr).toContain('203.0.113.9:9090');
  });

  it('an address for metrics that is taken', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    try {
      await new Promise((resolve) => server.once('listening', resolve));
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      const { code, stderr } = await attempt([...notify, '--metrics', `127.0.0.1:${port}`]);
      expect(code).toBe(STATUS.addressInUse);
      expect(stderr).toContain(`127.0.0.1:${port}`);
      expect(stderr).toContain('Give --metrics');
    } finally {
      server.close();
    }
  });
});

/** A shell in a mount namespace of its own runs `change` as root, and then what follows as the person. */
const afterMounts = (change: string, person: Person): { readonly as: Person; readonly within: readonly string[] } => {
  const shell = ['sh', '-c', `set -e; ${change}; exec "$@"`, 'sh', ...person.prefix];
  const own = process.getuid?.() === 0 ? ['unshare', '--mount'] : ['unshare', '--user', '--map-root-user', '--mount'];
  return { as: ROOT, within: [...own, ...shell] };
};

describe.each(PEOPLE)('a machine, as $name,', (person) => {
  beforeEach((context) => {
    const lack = whyNot(person);
    if (lack !== undefined) context.skip(lack);
  });

  it('without nft and iptables', async () => {
    const hide = `for folder in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do
      for tool in nft iptables iptables-restore ip6tables-restore iptables-nft-restore ip6tables-nft-restore iptables-legacy-restore ip6tables-legacy-restore; do
        [ ! -e $folder/$tool ] || mount --bind /dev/null $folder/$tool; done; done`;
    const { as, within } = afterMounts(hide, person);
    const { code, stderr } = await attempt(notify, { within }, as);
    expect(code).toBe(STATUS.noPacketFilter);
    expect(stderr).toMatch(/^sallyport: neither nft nor iptables was found in .*\n {2}Install one of them/);
  });

  it('without unshare', async () => {
    const { as, within } = afterMounts(
      'cd "$(dirname "$(readlink -f "$(command -v unshare)")")" && mount --bind /dev/null unshare; cd "$OLDPWD"',
      person,
    );
    const { code, stderr } = await attempt(notify, { within }, as);
    expect(code).toBe(STATUS.noNamespaces);
    expect(stderr).toMatch(/^sallyport: unshare\(1\) was not found\n {2}Install util-linux/);
  });

  it('without a resolver', async () => {
    const { as, within } = afterMounts('mount --bind /dev/null "$(readlink -f /etc/resolv.conf)"', person);
    const { code, stderr } = await attempt(notify, { within }, as);
    expect(code).toBe(STATUS.noResolver);
    expect(stderr).toMatch(
      /^sallyport: \/etc\/resolv\.conf names no DNS server\n {2}Name one: sallyport run --resolver/,
    );
  });
});

it('a kernel that forbids user namespaces', async () => {
  const forbid = 'echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-all "$@"';
  const within = ['unshare', '--user', '--map-root-user', 'sh', '-c', forbid, 'sh'];
  const { code, stderr } = await attempt(notify, { within });
  expect(code).toBe(STATUS.noNamespaces);
  expect(stderr).toMatch(
    /^sallyport: the namespaces of the box could not be made \(unshare: .*\)\n {2}Allow unprivileged user namespaces \(sysctl user\.max_user_namespaces/,
  );
});
