/** The one type of operational failure and the one table of its codes. Nobody reads message text: the code says what happened. */

/** Code → exit status. sysexits(3) where it has a fitting one; 126 and 127 as shells use them. docs/exit-codes.md lists them all. */
export const EXIT_STATUS = {
  usage: 64,
  'policy-invalid': 65,
  'input-missing': 66,
  'no-resolver': 68,
  'no-packet-filter': 69,
  internal: 70,
  'no-namespaces': 71,
  'no-kernel-support': 72,
  'cannot-create': 73,
  'address-in-use': 75,
  'command-not-executable': 126,
  'command-not-found': 127,
} as const;

export type ErrorCode = keyof typeof EXIT_STATUS;

export class SallyportError extends Error {
  readonly code: ErrorCode;
  /** What to do next, as a sentence. */
  readonly remedy: string;

  constructor(code: ErrorCode, message: string, remedy: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'SallyportError';
    this.code = code;
    this.remedy = remedy;
  }
}
