/** Uses the processor for about a millisecond. */
export default function work() {
  const end = performance.now() + 1;
  while (performance.now() < end);
}
