/** The middle of a list of numbers; NaN of an empty one, so that a measurement that did not happen cannot look like a figure. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? NaN;
  if (sorted.length % 2 === 1) return upper;
  return (upper + (sorted[sorted.length / 2 - 1] ?? NaN)) / 2;
}

/** The median of the quotients of one and the same round: a machine that slows down slows both. */
export function medianRatio(numerators: readonly number[], denominators: readonly number[]): number {
  const ratios: number[] = [];
  for (const [round, numerator] of numerators.entries()) {
    const denominator = denominators[round];
    if (denominator !== undefined && denominator > 0) ratios.push(numerator / denominator);
  }
  return median(ratios);
}
