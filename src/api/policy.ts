/** SecurityPolicy and ClusterSecurityPolicy (sallyport.dev/v1alpha1): the schemas, made from the table of classes, and the types of what passed them. */
import { z } from 'zod';
import type { OperationType } from '../model/access.ts';
import { CLASSES, type FieldKind } from '../model/classes.ts';

export const API_VERSION = 'sallyport.dev/v1alpha1';
export const MAX_RULES = 1000;
const MAX_VALUES = 500;

export const OPERATION_TYPES = [
  'Read',
  'Write',
  'List',
  'Delete',
  'Tagging',
  'Permission',
  'Execute',
] as const satisfies readonly OperationType[];

export type OnViolation = 'Block' | 'Notify';

export type Port = number | string;

/** The values of one typed block, by field. */
export interface Block {
  readonly hosts?: readonly string[];
  readonly urls?: readonly string[];
  readonly paths?: readonly string[];
  readonly methods?: readonly string[];
  readonly operations?: readonly OperationType[];
  readonly ports?: readonly Port[];
  readonly cidrs?: readonly string[];
  readonly except?: readonly string[];
  readonly names?: readonly string[];
  readonly types?: readonly (string | number)[];
}

export interface RawBlock {
  readonly class: string;
  readonly tags?: Readonly<Record<string, string | readonly string[]>>;
}

/** Exactly one of the blocks is there. */
export interface Rule {
  readonly name?: string;
  readonly onViolation?: OnViolation;
  readonly http?: Block;
  readonly tls?: Block;
  readonly tcp?: Block;
  readonly udp?: Block;
  readonly icmp?: Block;
  readonly dns?: Block;
  readonly raw?: RawBlock;
}

export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
    readonly values?: readonly string[];
  }[];
}

export interface PolicySpec {
  readonly podSelector: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
  readonly onViolation: OnViolation;
  readonly default: 'Deny' | 'Allow';
  readonly replaces?: string;
  readonly allow: readonly Rule[];
  readonly deny: readonly Rule[];
}

export interface Policy {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: 'SecurityPolicy' | 'ClusterSecurityPolicy';
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec: PolicySpec;
}

const text = z.string().min(1).max(2048);
const values = (item: z.ZodType): z.ZodType => z.array(item).min(1).max(MAX_VALUES);

const FIELD_SCHEMAS: Readonly<Record<FieldKind, z.ZodType>> = {
  hosts: values(text),
  urls: values(text),
  cidrs: values(text),
  except: values(text),
  paths: values(text),
  methods: values(text),
  names: values(text),
  operations: values(z.enum(OPERATION_TYPES)),
  ports: values(z.union([z.int().min(1).max(65535), z.string()])),
  types: values(z.union([z.int().min(0).max(255), text])),
};

const selector = z.strictObject({
  matchLabels: z.record(z.string(), z.string()).optional(),
  matchExpressions: z
    .array(
      z.strictObject({
        key: text,
        operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
        values: z.array(z.string()).optional(),
      }),
    )
    .max(MAX_VALUES)
    .optional(),
});

const blocks = Object.fromEntries(
  CLASSES.flatMap(({ block, fields }) => {
    if (block === undefined) return [];
    const shape = Object.fromEntries(
      Object.entries(fields).map(([name, { kind }]) => [name, FIELD_SCHEMAS[kind].optional()]),
    );
    return [[block, z.strictObject(shape).optional()] as const];
  }),
);
const raw = z
  .strictObject({ class: text, tags: z.record(text, z.union([z.string(), values(z.string())])).optional() })
  .optional();
const onViolation = z.enum(['Block', 'Notify']);
const ruleName = z.string().min(1).max(253).optional();

const allowRule = z.strictObject({ name: ruleName, ...blocks, raw });
const denyRule = z.strictObject({ name: ruleName, onViolation: onViolation.optional(), ...blocks, raw });

const spec = {
  podSelector: selector,
  onViolation: onViolation.default('Block'),
  default: z.enum(['Deny', 'Allow']),
  replaces: text.optional(),
  allow: z.array(allowRule).max(MAX_RULES).default([]),
  deny: z.array(denyRule).max(MAX_RULES).default([]),
};
// what the API server adds to metadata is its own affair
const metadata = z.looseObject({ name: z.string().min(1).max(253), namespace: z.string().min(1).max(63).optional() });

export const securityPolicySchema = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal('SecurityPolicy'),
  metadata,
  spec: z.strictObject(spec),
  status: z.unknown().optional(),
});

export const clusterSecurityPolicySchema = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal('ClusterSecurityPolicy'),
  metadata: z.looseObject({ name: z.string().min(1).max(253) }),
  spec: z.strictObject({ ...spec, namespaceSelector: selector.optional() }),
  status: z.unknown().optional(),
});
