import type { Finding } from '../../core/findings.ts';
import { examine } from '../../server/doctor/examine.ts';
import type { Command } from './command.ts';

/** The `doctor` command. */
export const doctorCommands: Record<string, Command> = {
  doctor: {
    parameters: [],
    help: 'Checks the settings, the database, Redis and the file store from this machine, and says how to fix each problem. Changes nothing, except that it writes and deletes an object of the file store. Fails if messages, sessions or delivery are in danger.',
    async run(tools) {
      const findings = await examine(tools.config, tools.databaseUrl, tools.nodeVersion);
      const count = (level: Finding['level']) => findings.filter((finding) => finding.level === level).length;
      const lines = findings.map(({ level, text }) => `${level.padEnd(8)}${text}`);
      const summary = `${count('fault')} faults, ${count('warning')} warnings.`;
      return { text: [...lines, '', summary].join('\n'), failed: count('fault') > 0 };
    },
  },
};
