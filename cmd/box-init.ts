/** Entry of the first process inside the box of `sallyport run`. Started by the engine only, never by people. */
import { runInit } from '../src/run/init.ts';

runInit((status) => process.exit(status));
