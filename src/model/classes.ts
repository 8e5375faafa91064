/**
 * The one table of classes: what a policy may say of each, and how it is matched. The schema, the matchers and the
 * documentation come from it. A block that is added later is one entry here and one protocol folder.
 */
import type { ClassName } from './access.ts';

export type FieldKind =
  'hosts' | 'urls' | 'cidrs' | 'ports' | 'except' | 'paths' | 'methods' | 'operations' | 'names' | 'types';

export interface FieldSpec {
  readonly kind: FieldKind;
  /** The tag that the values are matched against, where it is a tag. */
  readonly tag?: string;
  readonly description: string;
}

export interface ClassSpec {
  readonly class: ClassName;
  /** The class that holds this one: a rule of it matches accesses of this one too. */
  readonly parent: ClassName | undefined;
  /** The typed block of a rule, where there is one. */
  readonly block: string | undefined;
  readonly description: string;
  /** The block needs one of these fields. */
  readonly leading: readonly string[];
  readonly fields: Readonly<Record<string, FieldSpec>>;
  /** Tags of its accesses beside those of its fields; a `raw` rule may name them. */
  readonly tags: readonly string[];
  /** Whether its accesses have an operation, so that a rule may limit it. */
  readonly hasOperations: boolean;
  /** Whether the protocol itself carries the name that was asked for. */
  readonly carriesName: boolean;
  /** The name that rules imported from elsewhere have for it. */
  readonly importedName: string | undefined;
}

const HOSTS: FieldSpec = {
  kind: 'hosts',
  description: 'Host names; `*` is one label, `**` one or more, `*` alone any host.',
};
const CIDRS: FieldSpec = { kind: 'cidrs', description: 'Addresses or ranges, as 10.20.0.0/16 or 2001:db8::/32.' };
const PORTS: FieldSpec = { kind: 'ports', description: 'Ports, or ranges as "8000-8100". Absent: any.' };
const EXCEPT: FieldSpec = { kind: 'except', description: 'Addresses, ranges or hosts that the rule leaves out.' };

export const CLASSES: readonly ClassSpec[] = [
  {
    class: 'http',
    parent: 'tls',
    block: 'http',
    description: 'Requests in HTTP/1.1, each judged by host, path and method.',
    leading: ['hosts', 'urls'],
    fields: {
      hosts: HOSTS,
      urls: { kind: 'urls', description: 'The other way to write hosts and paths: http://api.example.com/v1/**' },
      paths: { kind: 'paths', tag: 'http.path', description: 'Paths; `*` stops at a slash, `**` does not.' },
      methods: { kind: 'methods', tag: 'http.method', description: 'GET, POST … as sent.' },
      operations: {
        kind: 'operations',
        description: 'Read (GET, HEAD, OPTIONS), Write (POST, PUT, PATCH), Delete (DELETE).',
      },
      ports: PORTS,
      cidrs: CIDRS,
    },
    tags: ['http.host', 'http.url', 'http.query_params'],
    hasOperations: true,
    carriesName: true,
    importedName: 'HTTP',
  },
  {
    class: 'tls',
    parent: 'tcp',
    block: 'tls',
    description: 'TLS connections, by server name, without decryption.',
    leading: ['hosts'],
    fields: { hosts: HOSTS, ports: PORTS, cidrs: CIDRS },
    tags: ['tls.sni', 'tls.alpn'],
    hasOperations: false,
    carriesName: true,
    importedName: undefined,
  },
  {
    class: 'tcp',
    parent: undefined,
    block: 'tcp',
    description: 'TCP connections, whatever is said on them.',
    leading: ['hosts', 'cidrs'],
    fields: { hosts: HOSTS, cidrs: CIDRS, ports: PORTS, except: EXCEPT },
    tags: [],
    hasOperations: false,
    carriesName: false,
    importedName: undefined,
  },
  {
    class: 'udp',
    parent: undefined,
    block: 'udp',
    description: 'Datagrams.',
    leading: ['hosts', 'cidrs'],
    fields: { hosts: HOSTS, cidrs: CIDRS, ports: PORTS, except: EXCEPT },
    tags: [],
    hasOperations: false,
    carriesName: false,
    importedName: undefined,
  },
  {
    class: 'icmp',
    parent: undefined,
    block: 'icmp',
    description: 'ICMP messages.',
    leading: ['cidrs'],
    fields: {
      cidrs: CIDRS,
      types: {
        kind: 'types',
        tag: 'icmp.type',
        description: 'Numbers of message types; 8 (128 in IPv6) is the echo request.',
      },
    },
    tags: [],
    hasOperations: false,
    carriesName: false,
    importedName: undefined,
  },
  {
    class: 'dns',
    parent: 'udp',
    block: 'dns',
    description: 'DNS queries beside those that other rules need.',
    leading: ['names'],
    fields: {
      names: { kind: 'names', tag: 'dns.name', description: 'Names that may be asked for, as hosts.' },
      types: { kind: 'types', tag: 'dns.type', description: 'Record types: A, TXT … Absent: any.' },
    },
    tags: [],
    hasOperations: false,
    carriesName: false,
    importedName: undefined,
  },
  {
    class: 'websocket',
    parent: 'http',
    block: undefined,
    description: 'WebSocket connections, by the request that opens them.',
    leading: [],
    fields: {},
    tags: ['http.host', 'http.url', 'http.path', 'http.method', 'http.query_params'],
    hasOperations: true,
    carriesName: true,
    importedName: undefined,
  },
  {
    class: 'quic',
    parent: 'udp',
    block: undefined,
    description: 'QUIC connections.',
    leading: [],
    fields: {},
    tags: [],
    hasOperations: false,
    carriesName: false,
    importedName: undefined,
  },
];

/** Blocks of the format that this version cannot judge: refused by name. */
export const LATER_BLOCKS: readonly string[] = [
  's3',
  'dynamodb',
  'sqs',
  'sns',
  'kinesis',
  'firehose',
  'lambda',
  'athena',
  'eventbridge',
  'ses',
  'stepfunctions',
  'secretsmanager',
  'ssm',
  'sts',
  'kms',
  'aws',
  'redis',
  'postgres',
  'mysql',
  'mongodb',
  'elasticsearch',
  'kafka',
  'rabbitmq',
  'nats',
  'memcached',
  'grpc',
  'service',
  'destinationList',
];

const BY_CLASS = new Map(CLASSES.map((spec) => [spec.class, spec]));

export function specOf(name: ClassName): ClassSpec {
  const spec = BY_CLASS.get(name);
  if (spec === undefined) throw new Error(`no class ${name}`);
  return spec;
}

/** Whether `wider` holds `narrower`; every class holds itself. */
export function contains(wider: ClassName, narrower: ClassName): boolean {
  for (let name: ClassName | undefined = narrower; name !== undefined; name = specOf(name).parent) {
    if (name === wider) return true;
  }
  return false;
}
