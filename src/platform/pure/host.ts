/**
 * Host names in one canonical form: lower case, ASCII (punycode), no trailing dot; addresses as `address.ts` writes them.
 * Input: text as clients and people write it. What two readers could take for two hosts is `undefined`, never repaired.
 */
import { domainToASCII } from 'node:url';
import { parseAddress } from './address.ts';

const MAX_NAME = 253;
const MAX_LABEL = 63;

/** A name or an address (IPv6 with or without brackets); no port, no userinfo. */
export function canonicalHost(text: string): string | undefined {
  if (text.startsWith('[')) {
    const address = text.endsWith(']') ? parseAddress(text.slice(1, -1)) : undefined;
    return text.includes(':') ? address?.text : undefined;
  }
  if (text.includes(':')) return parseAddress(text)?.text;
  const name = isLowerAscii(text) ? text : toLowerAscii(text);
  if (name === undefined) return undefined;
  const bare = name.endsWith('.') ? name.slice(0, -1) : name;
  if (bare.length === 0 || bare.length > MAX_NAME) return undefined;
  let lastStart = 0;
  for (let start = 0; start <= bare.length;) {
    const dot = bare.indexOf('.', start);
    const end = dot < 0 ? bare.length : dot;
    if (end === start || end - start > MAX_LABEL) return undefined;
    lastStart = start;
    start = end + 1;
  }
  // `127.1`, `0x7f000001`, `2130706433`: addresses to some readers, names to others
  if (looksNumeric(bare.slice(lastStart))) return parseAddress(bare)?.text;
  return bare;
}

/** Only `a-z`, digits, hyphen, underscore and dots: the form that nearly every name already has. */
function isLowerAscii(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    const allowed =
      (code >= 97 && code <= 122) || (code >= 48 && code <= 57) || code === 45 || code === 46 || code === 95;
    if (!allowed) return false;
  }
  return true;
}

function toLowerAscii(text: string): string | undefined {
  const lower = text.toLowerCase();
  if (isLowerAscii(lower)) return lower;
  // ASCII that is no letter, digit, hyphen, underscore or dot is no part of a name: %, @, /, space, NUL …
  for (let index = 0; index < lower.length; index += 1) {
    const code = lower.charCodeAt(index);
    if (code < 128 && !isLowerAscii(lower.charAt(index))) return undefined;
  }
  const ascii = domainToASCII(lower);
  // full-width digits become an address on the way: that is no name
  return ascii !== '' && isLowerAscii(ascii) && parseAddress(ascii) === undefined ? ascii : undefined;
}

function looksNumeric(label: string): boolean {
  return /^(\d+|0x[0-9a-f]*)$/.test(label);
}
