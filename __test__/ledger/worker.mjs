// The ledger's worker module.

import { hasPage, worker } from './deeds.mjs';

const { born, perform } = worker(process.argv[2]);
born({ claims: hasPage() });

export default perform;
export const handlers = { one: perform, other: perform };
