let count = 0;

/** @param {{ id: number }} task */
export default function echo({ id }) {
  return { echo: id, pid: process.pid, count: ++count };
}
