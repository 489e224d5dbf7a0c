import { cleanFiles, findMissing, findOrphans, MAX_UNSENT_HOURS } from '../../features/attachments/cleanUp.ts';
import { createFileStore } from '../../platform/files/createFileStore.ts';
import type { Command } from './command.ts';

/** Commands for the store of uploaded files. */
export const fileCommands: Record<string, Command> = {
  files: {
    parameters: [],
    help: 'Compares the file store with the database. Needs the same FILES settings as the nodes, which may keep running. Fails if something is missing or left over.',
    options: {
      check: {
        type: 'boolean',
        help: 'lists objects that belong to no attachment or link preview, and those whose bytes are missing; the default',
      },
      clean: {
        type: 'boolean',
        help: 'deletes uploads that were not sent, and objects that belong to no attachment, as a node does each hour',
      },
      hours: { type: 'string', help: `age from which --clean deletes, by default ${MAX_UNSENT_HOURS}` },
    },
    async run({ open, config }, _arguments, { clean, hours }) {
      const files = createFileStore(config);
      if (!files) throw new Error('FILES is off: this server stores no files.');
      const node = { database: await open(), files };
      if (clean) {
        const age = Number(hours ?? MAX_UNSENT_HOURS);
        if (!Number.isInteger(age) || age < 0) throw new Error('--hours is a whole number, such as 24.');
        const { uploads, objects } = await cleanFiles(node, age);
        return `Deleted ${uploads} unsent uploads, and ${objects} objects that belonged to no attachment. The bytes of the uploads are deleted by a node.`;
      }
      const orphans: string[] = [];
      for await (const { key, byteSize } of findOrphans(node)) orphans.push(`orphan   ${key}  ${byteSize} bytes`);
      const missing = (await findMissing(node)).map((key) => `missing  ${key}`);
      const summary = `${orphans.length} objects belong to no attachment, and ${missing.length} objects are missing.`;
      const advice =
        orphans.length > 0
          ? [`Nodes delete orphans after ${MAX_UNSENT_HOURS} hours. An upload in progress also is an orphan.`]
          : [];
      return {
        text: [...orphans, ...missing, summary, ...advice].join('\n'),
        failed: orphans.length + missing.length > 0,
      };
    },
  },
};
