// The worker of drill.cjs.

export default ({ data }) => data;

const forever = (signal) =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
  });

export const handlers = {
  throw: () => {
    throw new TypeError('on purpose');
  },
  count: async function* ({ data }) {
    for (let i = 0; i < data; i++) yield i;
  },
  named: () => 'called',
  say: (_, { progress, send }) => {
    send('from the worker');
    progress(0.5);
  },
  loop: () => {
    for (;;);
  },
  hang: ({ data }, { send, signal }) => {
    if (data === 'say') send('started');
    return forever(signal);
  },
};
