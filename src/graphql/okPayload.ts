import { builder } from './builder.ts';

export const OkPayload = builder.objectRef<Record<string, never>>('OkPayload').implement({
  description: 'Result of a mutation that succeeded and has nothing else to return.',
  fields: (t) => ({
    ok: t.boolean({
      description: 'Always true. A mutation that fails returns an entry in `errors` instead.',
      resolve: () => true,
    }),
  }),
});
