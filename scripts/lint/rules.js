// Rules of typescript-eslint's sets `recommendedTypeChecked` and `strictTypeChecked`, by their names in oxlint. oxlint has all
// of them but no-unsafe-class-instance-assignment.

const errors = (names) => Object.fromEntries(names.match(/\S+/g).map((name) => [name, 'error']));

export const recommended = {
  ...errors(`
    no-var prefer-const prefer-rest-params prefer-spread
    typescript/await-thenable
    typescript/ban-ts-comment
    no-array-constructor
    typescript/no-array-delete
    typescript/no-base-to-string
    typescript/no-duplicate-enum-values
    typescript/no-duplicate-type-constituents
    typescript/no-empty-object-type
    typescript/no-explicit-any
    typescript/no-extra-non-null-assertion
    typescript/no-floating-promises
    typescript/no-for-in-array
    typescript/no-implied-eval
    typescript/no-misused-new
    typescript/no-misused-promises
    typescript/no-namespace
    typescript/no-non-null-asserted-optional-chain
    typescript/no-redundant-type-constituents
    typescript/no-require-imports
    typescript/no-this-alias
    typescript/no-unnecessary-type-assertion
    typescript/no-unnecessary-type-constraint
    typescript/no-unsafe-argument
    typescript/no-unsafe-assignment
    typescript/no-unsafe-call
    typescript/no-unsafe-declaration-merging
    typescript/no-unsafe-enum-comparison
    typescript/no-unsafe-function-type
    typescript/no-unsafe-member-access
    typescript/no-unsafe-return
    typescript/no-unsafe-unary-minus
    no-unused-expressions
    typescript/no-wrapper-object-types
    typescript/only-throw-error
    typescript/prefer-as-const
    typescript/prefer-namespace-keyword
    typescript/prefer-promise-reject-errors
    typescript/require-await
    typescript/restrict-plus-operands
    typescript/restrict-template-expressions
    typescript/triple-slash-reference
    typescript/unbound-method
  `),
  // Without options, names that start with `_` may be unused.
  'no-unused-vars': ['error', {}],
};

export const strict = {
  ...recommended,
  ...errors(`
    typescript/no-confusing-void-expression
    typescript/no-deprecated
    typescript/no-dynamic-delete
    typescript/no-extraneous-class
    typescript/no-generated-empty-object-type
    typescript/no-invalid-void-type
    typescript/no-meaningless-void-operator
    typescript/no-misused-spread
    typescript/no-mixed-enums
    typescript/no-non-null-asserted-nullish-coalescing
    typescript/no-non-null-assertion
    typescript/no-unnecessary-boolean-literal-compare
    typescript/no-unnecessary-condition
    typescript/no-unnecessary-template-expression
    typescript/no-unnecessary-type-arguments
    typescript/no-unnecessary-type-conversion
    typescript/no-unnecessary-type-parameters
    typescript/no-unsafe-enum-assignment
    no-useless-constructor
    typescript/no-useless-default-assignment
    typescript/prefer-literal-enum-member
    typescript/prefer-reduce-type-parameter
    typescript/prefer-return-this-type
    typescript/related-getter-setter-pairs
    typescript/return-await
    typescript/unified-signatures
    typescript/use-unknown-in-catch-callback-variable
  `),
  'typescript/ban-ts-comment': ['error', { minimumDescriptionLength: 10 }],
  'typescript/restrict-plus-operands': [
    'error',
    { allowAny: false, allowBoolean: false, allowNullish: false, allowNumberAndString: false, allowRegExp: false },
  ],
  'typescript/return-await': ['error', 'error-handling-correctness-only'],
};
