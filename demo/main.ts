/**
 * `make demo`: a real command behind the firewall. Makes a network of its own (so that nothing leaves the machine), starts
 * origin servers in it, runs the workload by `sallyport run`, and holds what happened against what must happen.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const stage = fileURLToPath(new URL('./stage.ts', import.meta.url));
// root has its own rights to make a network; everybody else gets a user namespace
const own = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
const result = spawnSync('unshare', [...own, '--net', '--kill-child', '--fork', process.execPath, stage], {
  stdio: 'inherit',
});
if (result.error !== undefined) {
  process.stderr.write(`demo: unshare(1) could not be started (${result.error.message}). Install util-linux.\n`);
} else if (own.length > 0 && result.status === 1) {
  process.stderr.write(
    'demo: if user namespaces are not permitted here, allow them (sysctl user.max_user_namespaces=15000; on Ubuntu also kernel.apparmor_restrict_unprivileged_userns=0), or run it as root.\n',
  );
}
process.exitCode = result.status ?? 1;
