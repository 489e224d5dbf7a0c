import process from 'node:process';
import { defineConfig } from 'prisma/config';

// As in Parley itself: `prisma generate` asks for an engine that it does not run.
process.env.PRISMA_SCHEMA_ENGINE_BINARY ??= process.execPath;

export default defineConfig({ schema: 'schema.prisma' });
