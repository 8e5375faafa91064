/** Bad input as data: every problem with the place it was found at and what to do about it. */
export interface Problem {
  /** `spec.allow[0].http.hosts[1]`; empty for the document as a whole. */
  readonly path: string;
  readonly message: string;
  readonly remedy: string;
  /** A warning leaves the input usable. */
  readonly severity: 'error' | 'warning';
  /** `policy.yaml:12:5`, where known. */
  readonly source?: string;
}

export type Result<T> =
  | { readonly ok: true; readonly value: T; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[] };
