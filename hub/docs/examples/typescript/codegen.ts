// Types for every document in src, made of the schema that the hub tells by introspection.
import type { CodegenConfig } from '@graphql-codegen/cli';

const config: CodegenConfig = {
  schema: process.env.HUB_URL ?? 'http://127.0.0.1:8000/graphql',
  documents: ['src/*.ts'],
  importExtension: '.js',
  generates: {
    'src/gql/': {
      preset: 'client',
      presetConfig: { fragmentMasking: false },
      config: {
        strictScalars: true, // a scalar that is not named here is a mistake, not `any`
        useTypeImports: true,
        // Money is counted in strings: a whole number of minor units may pass what a JavaScript number holds.
        scalars: {
          BigInt: 'string',
          CurrencyCode: 'string',
          DateTime: 'string',
          Decimal: 'string',
          Hex: 'string',
          _Any: 'unknown', // a gateway's; introspection tells it too
        },
      },
    },
  },
};

export default config;
