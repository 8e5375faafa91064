/** Values of options as people write them: `undefined` for what is not one. */

/** 0 to 1. */
export function parseRate(text: string): number | undefined {
  if (!/^(?:0|1|0?\.\d{1,9}|1\.0{1,9})$/.test(text)) return undefined;
  return Number(text);
}

const LABEL =
  /^((?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9](?:[-\w.]{0,61}[A-Za-z0-9])?)=((?:[A-Za-z0-9](?:[-\w.]{0,61}[A-Za-z0-9])?)?)$/;

/** `app=checkout,tier=web`: keys and values as Kubernetes has them, each key once. */
export function parseLabels(text: string): Readonly<Record<string, string>> | undefined {
  const labels = new Map<string, string>();
  for (const part of text.split(',')) {
    const [, key, value] = LABEL.exec(part) ?? [];
    if (key === undefined || value === undefined || labels.has(key)) return undefined;
    labels.set(key, value);
  }
  return Object.fromEntries(labels);
}
