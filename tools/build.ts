/**
 * Bundles each cmd/*.ts into dist/*.js, with what they share and what they import late in chunks of their own, so that a
 * start loads only what it needs. Input: cmd/, package.json. Output: dist/, complete, or untouched where a bundle fails.
 * The packages that dist imports at run time are exactly package.json's dependencies; all others are inside it.
 */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  globSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Metafile } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const fresh = join(root, 'dist.new');

// packages of the CommonJS kind ask for Node's modules by a require that an ES module lacks
const banner = `import { createRequire as sallyportCreateRequire } from 'node:module';
const require = sallyportCreateRequire(import.meta.url);`;

interface PackageJson {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

function readPackageJson(folder: string): PackageJson {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as PackageJson;
}

/** Folders of the packages of which a part is in the bundle. */
function bundledPackages({ inputs }: Metafile): readonly string[] {
  const folders = new Set<string>();
  for (const path of Object.keys(inputs)) {
    const folder = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0];
    if (folder !== undefined) folders.add(folder);
  }
  return [...folders].sort();
}

/** Their licences ask that text and notice travel with every copy. Throws where a package has no text. */
function licencesOf(folders: readonly string[]): string {
  const sections = folders.map((folder) => {
    const { name, version, license = 'see below' } = readPackageJson(join(root, folder));
    const [file] = globSync('{LICENSE,LICENCE,license,licence}*', { cwd: join(root, folder) });
    if (file === undefined) throw new Error(`${folder} has no licence text to pass on`);
    return `${name} ${version} (${license})\n\n${readFileSync(join(root, folder, file), 'utf8').trim()}\n`;
  });
  return `Sallyport contains parts of these packages.\n\n${sections.join(`\n${'-'.repeat(80)}\n\n`)}`;
}

rmSync(fresh, { recursive: true, force: true });
const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: globSync('cmd/*.ts', { cwd: root, exclude: (name) => name.endsWith('.test.ts') }),
  outdir: fresh,
  bundle: true,
  splitting: true,
  // beside the entries: cmd/ finds its neighbours by its own address
  chunkNames: '[name]-[hash]',
  format: 'esm',
  platform: 'node',
  target: 'node24',
  external: Object.keys(readPackageJson(root).dependencies ?? {}),
  banner: { js: banner },
  legalComments: 'none',
  minifySyntax: true,
  minifyWhitespace: true,
  metafile: true,
  logLevel: 'warning',
}).catch(() => {
  // it has printed where and why
  process.exit(1);
});
writeFileSync(join(fresh, 'THIRD-PARTY-LICENSES'), licencesOf(bundledPackages(metafile)));
copyFileSync(join(dirname(fileURLToPath(import.meta.url)), 'launcher.sh'), join(fresh, 'sallyport'));
chmodSync(join(fresh, 'sallyport'), 0o755);

if (existsSync(dist)) rmSync(dist, { recursive: true });
renameSync(fresh, dist);
const bytes = Object.values(metafile.outputs).reduce((sum, output) => sum + output.bytes, 0);
process.stdout.write(`build: dist/, ${Math.round(bytes / 1024)} KiB of JavaScript\n`);
