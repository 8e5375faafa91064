import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import type { RunOptions } from '../api/run-options.ts';
import { main } from './main.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sallyport-cli-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

const POLICY = `apiVersion: sallyport.dev/v1alpha1
kind: SecurityPolicy
metadata: {name: build}
spec:
  podSelector: {}
  default: Deny
  allow:
  - name: mirror
    tls: {hosts: ["*.example.com"]}
  - http: {hosts: ["api.test"], paths: ["/v1/**"], methods: [GET]}
  deny:
  - tls: {hosts: ["bad.example.com"]}
    onViolation: Notify
`;

interface Called {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What the box was asked for; `undefined` where nothing was started. */
  readonly started: RunOptions | undefined;
}

async function call(args: readonly string[], stdin = ''): Promise<Called> {
  let stdout = '';
  let stderr = '';
  let started: RunOptions | undefined;
  const status = await main(args, {
    stdout: (text) => (stdout += text),
    stderr: (text) => (stderr += text),
    readStdin: () => Promise.resolve(Buffer.from(stdin)),
    env: { PATH: '/usr/bin:/bin' },
    cwd: directory,
    stdoutIsTty: false,
    stderrIsTty: false,
    columns: undefined,
    version: '1.2.3',
    run: (options) => {
      started = options;
      return Promise.resolve(42);
    },
  });
  return { status, stdout, stderr, started };
}

function file(name: string, content: string | Buffer): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

describe('run', () => {
  test('passes the exit status of the command on', async () => {
    expect(await call(['run', '--on-violation', 'Notify', '--', 'true'])).toMatchObject({
      status: 42,
      stdout: '',
      stderr: '',
    });
  });

  test.each([
    [
      ['--', 'ls', '-l', '--help'],
      ['ls', '-l', '--help'],
    ],
    [
      ['ls', '-l', '--', '--log', 'x'],
      ['ls', '-l', '--', '--log', 'x'],
    ],
    [
      ['--', 'ls', '--', '-x'],
      ['ls', '--', '-x'],
    ],
    [
      ['ls', 'run', '--version'],
      ['ls', 'run', '--version'],
    ],
    [
      ['ls', '--output', 'json'],
      ['ls', '--output', 'json'],
    ],
    [
      ['--', 'ls', ''],
      ['ls', ''],
    ],
  ])('what follows belongs to the command: %j', async (args, command) => {
    const { started } = await call(['run', '--on-violation', 'Notify', ...args]);
    expect(started?.command).toEqual(command);
    expect(started?.executable).toMatch(/^\/.*\/ls$/);
    expect(started?.log).toBeUndefined();
    expect(started?.output).toBe('text');
  });

  test('checks and parses its options', async () => {
    const { started } = await call([
      'run',
      '--on-violation',
      'Block',
      '--log',
      '-',
      '--log-allowed',
      '0.01',
      '--metrics',
      '[::1]:9090',
      '--resolver',
      '192.0.2.1',
      '--resolver',
      '[2001:db8::1]:5353',
      '--labels',
      'app=a,tier=b',
      '--allow-socket',
      'run/x.sock',
      '--summary',
      'never',
      '--output',
      'json',
      'true',
    ]);
    expect(started).toMatchObject({
      policies: [],
      onViolation: 'Block',
      installDefault: 'Block',
      log: '-',
      logAllowedRate: 0.01,
      metrics: { host: '::1', port: 9090 },
      resolvers: [
        { address: { text: '192.0.2.1' }, port: 53 },
        { address: { text: '2001:db8::1' }, port: 5353 },
      ],
      labels: { app: 'a', tier: 'b' },
      allowSockets: [join(directory, 'run/x.sock')],
      summary: 'never',
      output: 'json',
    });
  });

  test('without a policy does what --on-violation says, and without both starts nothing', async () => {
    expect((await call(['run', '--on-violation', 'Notify', 'true'])).started?.installDefault).toBe('Notify');
    const { status, stderr, started } = await call(['run', '--', 'true']);
    expect(status).toBe(64);
    expect(stderr).toMatch(/--policy FILE; or --on-violation Notify/);
    expect(started).toBeUndefined();
  });

  test.each([
    ['no command', ['run', '--on-violation', 'Notify'], 64, /missing required argument/],
    ['an unknown option', ['run', '--polcy', 'x', 'true'], 64, /unknown option '--polcy'/],
    ['no such action', ['run', '--on-violation', 'block', 'true'], 64, /Allowed choices are Block, Notify/],
    ['no rate', ['run', '--on-violation', 'Notify', '--log-allowed', '1%', 'true'], 64, /a number from 0 to 1/],
    [
      'no address for metrics',
      ['run', '--on-violation', 'Notify', '--metrics', '9090', 'true'],
      64,
      /an address with a port/,
    ],
    ['no resolver', ['run', '--on-violation', 'Notify', '--resolver', 'dns.example', 'true'], 64, /an IP address/],
    ['no labels', ['run', '--on-violation', 'Notify', '--labels', 'app', 'true'], 64, /labels like/],
    ['no such command', ['run', '--on-violation', 'Notify', 'no-such-command'], 127, /command not found/],
    ['a command that is a directory', ['run', '--on-violation', 'Notify', '/etc'], 126, /is a directory/],
    [
      'a policy that is missing',
      ['run', '--policy', 'missing.yaml', 'true'],
      66,
      /cannot read missing.yaml: there is no such file/,
    ],
    ['a policy that is a directory', ['run', '--policy', '/etc', 'true'], 66, /\/etc is a directory/],
    ['a policy on standard input', ['run', '--policy', '-', 'true'], 64, /belongs to the command/],
    ['an unknown command of sallyport', ['rnu', 'true'], 64, /unknown command 'rnu'/],
  ])('%s: says so, and starts nothing', async (_what, args, status, message) => {
    const called = await call(args);
    expect(called.status).toBe(status);
    expect(called.stderr).toMatch(message);
    expect(called.stderr).toMatch(/^sallyport: /);
    expect(called.stderr).not.toMatch(/^ +at /m);
    expect(called.started).toBeUndefined();
  });

  test('failures are JSON where JSON is asked for', async () => {
    for (const args of [
      ['run', '--output', 'json', '--on-violation', 'Notify', 'no-such-command'],
      ['run', '--output=json', '--bogus', 'true'],
    ]) {
      const { stderr, status } = await call(args);
      const failure = JSON.parse(stderr) as { error: { exitStatus: number; message: string; remedy: string } };
      expect(failure.error.exitStatus).toBe(status);
      expect(failure.error.message).not.toBe('');
    }
  });
});

describe('run with policies', () => {
  test('gives them to the box as they stand', async () => {
    const path = file('p.yaml', POLICY);
    const { started, stderr, stdout } = await call(['run', '--policy', path, 'true']);
    expect(started?.policies.map(({ metadata }) => metadata.name)).toEqual(['build']);
    expect(started?.policies[0]?.spec).toMatchObject({ onViolation: 'Block', deny: [{ onViolation: 'Notify' }] });
    expect(started?.installDefault).toBe('Notify');
    expect([stdout, stderr]).toEqual(['', '']);
  });

  test.each(['Notify', 'Block'])('--on-violation %s is for all of every policy', async (action) => {
    const { started } = await call(['run', '--policy', file('p.yaml', POLICY), '--on-violation', action, 'true']);
    expect(started?.policies[0]?.spec.onViolation).toBe(action);
    expect(started?.policies[0]?.spec.deny[0]).not.toHaveProperty('onViolation');
  });

  test('enforced, a policy on trial takes the place of the one that it replaces', async () => {
    const trial = POLICY.replace('name: build', 'name: trial').replace(
      'spec:\n',
      'spec:\n  onViolation: Notify\n  replaces: build\n',
    );
    const args = ['run', '--policy', file('p.yaml', POLICY), '--policy', file('t.yaml', trial)];
    expect((await call([...args, 'true'])).started?.policies).toHaveLength(2);
    const { started } = await call([...args, '--on-violation', 'Block', 'true']);
    expect(started?.policies.map(({ metadata, spec }) => [metadata.name, spec.replaces])).toEqual([
      ['trial', undefined],
    ]);
  });

  test('a policy that selects other labels does not start the command unprotected', async () => {
    const other = POLICY.replace('podSelector: {}', 'podSelector: {matchLabels: {app: shop}}');
    const path = file('p.yaml', other);
    const { status, stderr, started } = await call(['run', '--policy', path, 'true']);
    expect([status, started]).toEqual([64, undefined]);
    expect(stderr).toContain('--labels app=shop');
    expect((await call(['run', '--policy', path, '--labels', 'app=else', 'true'])).status).toBe(64);
    expect((await call(['run', '--policy', path, '--labels', 'app=shop', 'true'])).started?.policies).toHaveLength(1);
    const all = file('all.yaml', POLICY.replace('name: build', 'name: all'));
    const chosen = await call(['run', '--policy', path, '--policy', all, '--labels', 'app=else', 'true']);
    expect(chosen.started?.policies.map(({ metadata }) => metadata.name)).toEqual(['all']);
    expect(chosen.stderr).toContain('SecurityPolicy build does not select these labels');
  });

  test.each([
    [
      'an unknown field',
      POLICY.replace('tls: {hosts: ["*.example.com"]}', 'tls: {hosts: ["*.example.com"], host: [x]}'),
      /p.yaml:\d+:\d+: error: spec\.allow\[0\]\.tls.*host/s,
    ],
    [
      'two blocks',
      POLICY.replace('- name: mirror', '- name: mirror\n    udp: {cidrs: [192.0.2.1]}'),
      /spec\.allow\[0\].*one block/s,
    ],
    ['an empty block', POLICY.replace('{hosts: ["*.example.com"]}', '{}'), /spec\.allow\[0\]\.tls.*required/s],
    ['a null block', POLICY.replace('{hosts: ["*.example.com"]}', ''), /spec\.allow\[0\]\.tls.*null/s],
    ['a bad glob', POLICY.replace('*.example.com', 'a..b'), /spec\.allow\[0\]\.tls\.hosts\[0\]/],
    [
      'a bad CIDR',
      POLICY.replace('{hosts: ["*.example.com"]}', '{hosts: ["*"], cidrs: ["10.0.0.1/8"]}'),
      /spec\.allow\[0\]\.tls\.cidrs\[0\]/,
    ],
    [
      'a bad port',
      POLICY.replace('{hosts: ["*.example.com"]}', '{hosts: ["*"], ports: [70000]}'),
      /spec\.allow\[0\]\.tls\.ports\[0\]/,
    ],
    [
      'a block of a later version',
      POLICY.replace('tls: {hosts: ["*.example.com"]}', 's3: {buckets: [x]}'),
      /s3 is not in this version/,
    ],
    ['a missing default', POLICY.replace('  default: Deny\n', ''), /spec.*default/s],
    ['the same key twice', POLICY.replace('default: Deny', 'default: Deny\n  default: Allow'), /p.yaml:\d+/],
    ['an alias bomb', `a: &a [x,x,x,x]\nb: &b [*a,*a,*a]\nc: [*b,*b,*b]\n`, /p.yaml:\d+:\d+/],
    ['no YAML', '{{{', /p.yaml/],
    ['nothing', '', /no policy in it/],
    ['what is not UTF-8', Buffer.from([0xff, 0xfe, 0]), /not UTF-8/],
    ['too much', Buffer.alloc(5_000_000, 32), /larger than/],
  ])('%s: says where and what, and starts nothing', async (_what, content, message) => {
    const { status, stderr, started } = await call(['run', '--policy', file('p.yaml', content), 'true']);
    expect([status, started]).toEqual([65, undefined]);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/^ +at /m);
  });

  test('the same policy in two files is refused', async () => {
    const { status, stderr } = await call([
      'run',
      '--policy',
      file('a.yaml', POLICY),
      '--policy',
      file('b.yaml', POLICY),
      'true',
    ]);
    expect(status).toBe(65);
    expect(stderr).toMatch(/SecurityPolicy build stands in .*a\.yaml too/);
  });
});

describe('validate', () => {
  test('says what is valid, and is told by the exit status', async () => {
    const path = file('p.yaml', POLICY);
    expect(await call(['validate', path])).toMatchObject({ status: 0, stderr: '' });
    expect((await call(['validate', path])).stdout).toContain(`${path}: SecurityPolicy build: valid\n`);
    expect((await call(['validate', '-'], POLICY)).stdout).toContain('standard input: SecurityPolicy build: valid\n');
  });

  test('lists every file, in JSON too', async () => {
    const good = file('good.yaml', POLICY);
    const bad = file('bad.yaml', POLICY.replace('name: build', 'name: bad').replace('default: Deny', 'defualt: Deny'));
    const { status, stdout } = await call(['validate', good, bad, '--output', 'json']);
    const answer = JSON.parse(stdout) as {
      valid: boolean;
      files: { valid: boolean; problems: { source: string; path: string; remedy: string }[] }[];
    };
    expect(status).toBe(65);
    expect(answer.valid).toBe(false);
    expect(answer.files.map(({ valid }) => valid)).toEqual([true, false]);
    expect(answer.files[1]?.problems[0]?.source).toMatch(/bad\.yaml:\d+:\d+$/);
  });

  test('a file that is missing has a status of its own', async () => {
    expect((await call(['validate', 'nope.yaml'])).status).toBe(66);
  });
});

describe('explain', () => {
  test.each([
    [
      'https://a.example.com/',
      [],
      0,
      /^allowed: tls a\.example\.com:443, because an allow rule names it \(mirror of SecurityPolicy build\)/,
    ],
    ['https://evil.test/', [], 1, /^denied: .*no rule allows it.*- tls: \{hosts: \[evil\.test\]/s],
    ['https://bad.example.com/', [], 0, /^let through, but reported: .*deny\[0\]/],
    ['http://api.test/v1/x', [], 0, /^allowed: http GET api\.test:80\/v1\/x.*allow\[1\] /s],
    ['http://api.test/v1/x', ['--method', 'POST'], 1, /^denied: .*methods: \[POST\]/s],
    ['https://a.example.com/', ['--address', '169.254.169.254'], 1, /^denied: .*not at the address/],
    ['a.example.com', ['--class', 'dns'], 0, /^allowed: dns a\.example\.com \(A\)/],
    ['evil.test', ['--class', 'dns', '--type', 'TXT'], 1, /^denied: dns evil\.test \(TXT\)/],
  ])('%s %j', async (target, args, status, message) => {
    const called = await call(['explain', '--policy', file('p.yaml', POLICY), target, ...args]);
    expect(called.stdout).toMatch(message);
    expect(called.status).toBe(status);
  });

  test('as JSON, rule by rule', async () => {
    const { stdout } = await call(['explain', '-p', file('p.yaml', POLICY), 'https://evil.test/', '--output', 'json']);
    expect(JSON.parse(stdout)).toMatchObject({
      verdict: 'denied',
      reason: 'no-rule',
      rules: [
        { rule: 'mirror', answer: 'no' },
        { rule: 'allow[1]', answer: 'no' },
        { rule: 'deny[0]', effect: 'deny', answer: 'no', notifies: true },
      ],
      suggestedRule: '- tls: {hosts: [evil.test], ports: [443]}',
    });
  });

  test('what is no target, and no policy, is a usage error', async () => {
    expect((await call(['explain', '-p', file('p.yaml', POLICY), 'evil.test'])).status).toBe(64);
    expect((await call(['explain', 'https://evil.test/'])).status).toBe(64);
  });
});

describe('help', () => {
  test('teaches with examples, of every command', async () => {
    for (const args of [
      ['--help'],
      ['run', '--help'],
      ['explain', '--help'],
      ['validate', '-h'],
      ['why', '-h'],
      ['completion', '-h'],
    ]) {
      const { status, stdout, stderr } = await call(args);
      expect([status, stderr]).toEqual([0, '']);
      expect(stdout).toMatch(/^Usage: sallyport/);
    }
    expect((await call(['--help'])).stdout).toContain('sallyport run --on-violation Notify -- npm install');
  });

  test('is what comes without arguments, as an error', async () => {
    expect(await call([])).toMatchObject({ status: 64, stdout: '' });
  });

  test('the version', async () => {
    expect(await call(['--version'])).toMatchObject({ status: 0, stdout: '1.2.3\n' });
  });
});

describe('why', () => {
  const record = {
    time: '2026-01-02T03:04:05.006Z',
    id: 'run-2',
    verdict: 'denied',
    reason: 'no-rule',
    class: 'http',
    operation: { name: 'POST', type: 'Write' },
    destination: { address: '198.51.100.7', port: 80, requestedName: 'paste.test', names: ['paste.test', 'cdn.test'] },
    tags: { 'http.path': '/x\u001b[2J' },
    remedy: 'Add the rule.\n- http: {hosts: ["paste.test"]}',
    version: 'v1',
  };

  test('tells the story of the record with that id', async () => {
    const log = file(
      'log',
      `not JSON\n{"id":"run-2"}\n${JSON.stringify({ ...record, id: 'run-22' })}\n${JSON.stringify(record)}\n{"id":"run-`,
    );
    const { status, stdout } = await call(['why', 'run-2', '--log', log]);
    expect(status).toBe(0);
    expect(stdout).toBe(`run-2: denied, because no rule allows it.

  time            2026-01-02T03:04:05.006Z
  access          http POST (Write)
  name            paste.test
  names           cdn.test
  address         198.51.100.7 port 80
  http.path       /x\\u001b[2J
  reason          no-rule
  policy version  v1

Add the rule.
- http: {hosts: ["paste.test"]}
`);
  });

  test('as JSON', async () => {
    const log = file('log', `${JSON.stringify(record)}\n`);
    const { stdout } = await call(['why', 'run-2', '--log', log, '--output', 'json']);
    expect(JSON.parse(stdout)).toEqual({ ...record, meaning: 'no rule allows it', advice: record.remedy });
  });

  test.each([
    ['no such id', 'log', /no record with the id run-3/],
    ['no such file', 'missing', /there is no such file/],
    ['a directory', '', /it is a directory/],
  ])('%s', async (_what, name, message) => {
    file('log', `${JSON.stringify(record)}\n`);
    const { status, stderr } = await call(['why', 'run-3', '--log', join(directory, name)]);
    expect(status).toBe(66);
    expect(stderr).toMatch(message);
  });
});
