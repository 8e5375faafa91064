import { describe, expect, it } from 'vitest';
import { median, medianRatio } from './statistics.ts';

describe('median', () => {
  it('is the middle by value, not by place', () => expect(median([10, 9, 100])).toBe(10));
  it('of an even count lies between the two in the middle', () => expect(median([4, 1, 2, 100])).toBe(3));
  it('of nothing is no number', () => expect(median([])).toBeNaN());
});

describe('medianRatio', () => {
  it('divides within a round, so that a slow round of both changes nothing', () => {
    expect(medianRatio([200, 20, 210], [100, 10, 100])).toBe(2);
  });
  it('leaves out rounds that the other did not have', () => expect(medianRatio([3, 5], [1])).toBe(3));
  it('without a common round is no number', () => expect(medianRatio([], [1])).toBeNaN());
});
