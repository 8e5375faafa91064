/** The options of the box stand where the command line may see them too: the two never import one another. */
export type { RunOptions } from '../api/run-options.ts';
