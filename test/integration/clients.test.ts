/** Programs in five languages, each with its own resolver, HTTP and TLS: allowed and denied, as root and as a user. */
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { USERS, type Box, type RecordPart } from './box.ts';
import { LANGUAGES, prepareClient, type Answer, type Language } from './clients.ts';
import { lackForNetwork } from './machine.ts';
import { ADDRESSES, PORTS } from './network.ts';
import { countArrivals, useBox, useNetwork } from './suite.ts';

const POLICY = `
default: Deny
allow:
- http: {hosts: [four.test, six.test], paths: ["/ok/**"], methods: [GET]}
- tls: {hosts: ["*.sub.test"]}
- tcp: {hosts: [allowed.test], ports: [${PORTS.echo}]}
- udp: {hosts: [four.test, six.test], ports: [${PORTS.udp}]}
`;

interface AllowedAccess {
  readonly kind: string;
  readonly host: string;
  readonly port: number;
}

interface DeniedAccess extends AllowedAccess {
  readonly record: RecordPart;
}

const { origin, attacker } = ADDRESSES;

const ALLOWED: readonly AllowedAccess[] = [
  { kind: 'http', host: 'four.test', port: PORTS.http },
  { kind: 'http', host: 'six.test', port: PORTS.httpOther },
  { kind: 'https', host: 'four.sub.test', port: PORTS.https },
  { kind: 'https', host: 'six.sub.test', port: PORTS.https },
  { kind: 'tcp', host: 'allowed.test', port: PORTS.echo },
  { kind: 'udp', host: 'four.test', port: PORTS.udp },
  { kind: 'udp', host: 'six.test', port: PORTS.udp },
];

const DENIED: readonly DeniedAccess[] = [
  ...(['four', 'six'] as const).map((name) => ({
    kind: 'http',
    host: `${name}.test`,
    port: PORTS.http,
    record: { class: 'http', destination: { requestedName: `${name}.test`, port: PORTS.http }, reason: 'no-rule' },
  })),
  ...([4, 6] as const).flatMap((family) => [
    {
      kind: 'http',
      host: attacker[family],
      port: PORTS.http,
      record: { class: 'http', destination: { address: attacker[family], port: PORTS.http } },
    },
    {
      kind: 'https',
      host: attacker[family],
      port: PORTS.https,
      record: { class: 'tls', destination: { address: attacker[family], port: PORTS.https } },
    },
    {
      kind: 'tcp',
      host: attacker[family],
      port: PORTS.echo,
      record: { class: 'tcp', destination: { address: attacker[family], port: PORTS.echo } },
    },
    {
      kind: 'tcp',
      host: origin[family],
      port: PORTS.echoOther,
      record: { class: 'tcp', destination: { address: origin[family], port: PORTS.echoOther } },
    },
    {
      kind: 'udp',
      host: attacker[family],
      port: PORTS.udp,
      record: { class: 'udp', destination: { address: attacker[family], port: PORTS.udp } },
    },
    {
      kind: 'udp',
      host: origin[family],
      port: PORTS.udpOther,
      record: { class: 'udp', destination: { address: origin[family], port: PORTS.udpOther } },
    },
  ]),
  { kind: 'https', host: 'denied.test', port: PORTS.https, record: { class: 'dns', tags: { 'dns.name': 'denied.test' } } },
]; // prettier-ignore

const network = useNetwork();

const textOf = (kind: string, fate: 'ok' | 'no', who: string): string =>
  kind.startsWith('http') ? `/${fate}/${who}` : `\u0001${fate} ${who}\n`;

const byHttp = ({ kind }: AllowedAccess): boolean => kind.startsWith('http');

/** What must be there of every client's accesses, however it made them. `answers`: of the allowed, then of the denied. */
function expectVerdicts(
  box: () => Box,
  who: string,
  allowed: readonly AllowedAccess[],
  denied: readonly DeniedAccess[],
  answers: () => readonly Answer[],
): void {
  it.each(allowed.map((access, index) => ({ ...access, index })))(
    '$kind to $host:$port is allowed',
    async ({ kind, host, port, index }) => {
      const sent = textOf(kind, 'ok', who);
      const answer = answers()[index];
      expect(answer).not.toHaveProperty('error');
      expect(answer?.body).toContain(sent);
      await box().record({ verdict: 'allowed', class: kind === 'https' ? 'tls' : kind, destination: { port } });
      const log = kind.startsWith('http')
        ? network().http().filter(({ target, host: asked }) => target === sent && asked.startsWith(host)) // prettier-ignore
        : network().echo().filter(({ text, protocol }) => text === sent && protocol === kind); // prettier-ignore
      expect(log).not.toEqual([]);
    },
  );

  it.each(denied.map((access, index) => ({ ...access, index })))(
    '$kind to $host:$port is denied',
    async ({ kind, record, index }) => {
      const answer = answers()[allowed.length + index];
      if (kind === 'http') {
        expect(answer).toMatchObject({ status: 403 });
        expect(answer?.body).toContain('Denied by egress policy');
      } else {
        expect(answer).toHaveProperty('error');
      }
      await box().record({ verdict: 'denied', ...record });
    },
  );

  it('of what was denied nothing arrived', async () => {
    expect(network().http().filter(({ target }) => target.startsWith('/no/'))).toEqual([]); // prettier-ignore
    expect(network().echo().filter(({ port, text }) => port === PORTS.echoOther || text.includes('no '))).toEqual([]); // prettier-ignore
    expect(network().queries()).not.toContainEqual(expect.stringContaining('denied.test'));
    const packets = [...(await network().packets()).keys()];
    const forbidden = new RegExp(`^(${attacker[4]}|${attacker[6]}) | ${PORTS.echoOther}$`);
    expect(packets.filter((where) => forbidden.test(where))).toEqual([]);
  });
}

describe.each(USERS)('as %s', (user) => {
  const authority = (): string => network().certificates.authority;
  const box = useBox(network, { user, policy: POLICY });

  describe.each(LANGUAGES)('%s', (language: Language) => {
    const who = `${user}-${language}`;
    let lack: string | undefined;
    let answers: readonly Answer[] = [];
    beforeAll(async () => {
      if (lackForNetwork() !== undefined) return;
      const argv = await prepareClient(network(), language);
      if (typeof argv === 'string') {
        lack = argv;
        return;
      }
      const words = [
        ...ALLOWED.map(({ kind, host, port }) => [kind, host, String(port), textOf(kind, 'ok', who)]),
        ...DENIED.map(({ kind, host, port }) => [kind, host, String(port), textOf(kind, 'no', who)]),
      ].flat();
      const quoted = [...argv, ...words].map((word) => `'${word}'`).join(' ');
      const trust = `SSL_CERT_FILE=${authority()} NODE_EXTRA_CA_CERTS=${authority()}`;
      await box().forget();
      const { stdout, stderr } = await box().run(`${trust} ${quoted}`, 50_000);
      answers = stdout.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Answer); // prettier-ignore
      expect(stderr).toBe('');
    }, 180_000);
    beforeEach((context) => {
      if (lack !== undefined) context.skip(lack);
    });
    expectVerdicts(box, who, ALLOWED, DENIED, () => answers);
  });

  describe('curl', () => {
    const who = `${user}-curl`;
    const answers: Answer[] = [];
    beforeAll(async () => {
      if (lackForNetwork() !== undefined) return;
      await box().forget();
      for (const [fate, accesses] of [['ok', ALLOWED.filter(byHttp)], ['no', DENIED.filter(byHttp)]] as const) {
        for (const { kind, host, port } of accesses) answers.push(await curl(kind, host, port, textOf(kind, fate, who)));
      } // prettier-ignore
    });
    expectVerdicts(box, who, ALLOWED.filter(byHttp), DENIED.filter(byHttp), () => answers);

    async function curl(kind: string, host: string, port: number, text: string): Promise<Answer> {
      const bracketed = host.includes(':') ? `[${host}]` : host;
      const url = `${kind}://${bracketed}:${port}${text}`;
      const command = `curl -sS -m 8 --cacert ${authority()} -w '\\n%{http_code}' '${url}'`;
      const { status, stdout, stderr } = await box().run(command);
      if (status !== 0) return { error: stderr };
      const [body = '', code = ''] = stdout.split(/\n(?=\d+$)/);
      return code === '200' ? { body } : { status: Number(code), body };
    }
  });

  it('the counter of arrivals sees what is let through', async () => {
    const arrived = await countArrivals(network(), `${origin[4]} tcp ${PORTS.echo}`);
    await box().run(`getent hosts allowed.test; printf '\\1x\\n' | timeout 1 python3 -c "
import socket; s=socket.create_connection(('${origin[4]}', ${PORTS.echo})); s.send(b'\\1\\n'); s.recv(9)"`);
    expect(await arrived()).toBeGreaterThan(3);
  });
});
