import process from 'node:process';
import { defineConfig } from 'prisma/config';

// As in Parley's own configuration, because `prisma generate` requires an engine that it does not run.
process.env.PRISMA_SCHEMA_ENGINE_BINARY ??= process.execPath;

export default defineConfig({ schema: 'schema.prisma' });
