/** Takes about a millisecond of the processor. */
export default function work() {
  const end = performance.now() + 1;
  while (performance.now() < end);
}
