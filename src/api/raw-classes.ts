/** The class that a `raw` rule means: by our names, or by those that imported rules have. */
import type { ClassName } from '../model/access.ts';
import { CLASSES } from '../model/classes.ts';

/** `any` for `*`; `undefined` for a class that this version does not judge. */
export function classOfRaw(name: string): ClassName | 'any' | undefined {
  if (name === '*') return 'any';
  return CLASSES.find((spec) => spec.class === name || spec.importedName === name)?.class;
}
