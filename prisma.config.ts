import { defineConfig } from 'prisma/config';

// `prisma generate` asks for an engine binary that it never runs, and tries to download it:
// naming any executable stops that. Migrations are applied by src/platform/database/migrations.ts.
process.env['PRISMA_SCHEMA_ENGINE_BINARY'] ??= process.execPath;

export default defineConfig({ schema: 'prisma/schema.prisma' });
