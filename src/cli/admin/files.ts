import { cleanFiles, findMissing, findOrphans, MAX_UNSENT_HOURS } from '../../features/attachments/cleanUp.ts';
import { createFileStore } from '../../platform/files/createFileStore.ts';
import { retryFailedJobs } from '../../platform/jobQueue.ts';
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
        help: 'deletes uploads that were not sent, and objects that belong to no attachment or link preview, as a node does each hour. Also retries deletions that have failed for good',
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
        const { uploads, objects } = await cleanFiles(node, age, { force: true });
        const retried = await retryFailedJobs(node.database, 'delete_file');
        return `Deleted ${uploads} unsent uploads, and ${objects} objects that belonged to no attachment. A node deletes the bytes of the uploads, and retries ${retried} failed deletions.`;
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
