/** ESLint's rule no-restricted-syntax, which oxlint lacks. */
export default {
  meta: { name: 'syntax' },
  rules: {
    'no-restricted-syntax': {
      meta: { schema: false },
      create: (context) =>
        Object.fromEntries(
          context.options.map(({ selector, message }) => [selector, (node) => context.report({ node, message })]),
        ),
    },
  },
};
