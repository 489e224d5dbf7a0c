import { keyOf } from '../../core/globalIds.ts';
import { faultsOf, readHealth } from '../../features/administration/chatroomHealth.ts';
import { eraseMessage } from '../../features/messages/changes.ts';
import type { Command } from './command.ts';

/** Commands that change or check rooms. */
export const roomCommands: Record<string, Command> = {
  'delete-message': {
    parameters: ['MESSAGE_ID'],
    help: 'Deletes a message of any user. A tombstone with its number remains, and members are notified within a second.',
    async run({ open }, [id = '']) {
      const database = await open();
      const change = await eraseMessage(database.query, keyOf('Message', id));
      if (!change) throw new Error('There is no such message of a user. Use the id that the API returns.');
      return change.seq === null ? 'The message was already deleted.' : 'The message has been deleted.';
    },
  },
  'room-health': {
    parameters: ['CHATROOM_ID'],
    help: 'Shows the state of a room: its members, messages and log, and any inconsistencies between them. Fails if there are any.',
    async run({ open }, [id = '']) {
      const key = keyOf('Chatroom', id);
      const health = key === null ? undefined : await readHealth(await open(), key);
      if (!health) throw new Error('There is no such chatroom. Use the id that the API returns.');
      const faults = faultsOf(health);
      const lines = Object.entries(health).map(([name, value]) => `${name.padEnd(16)}${value ?? '-'}`);
      const verdict = faults.length === 0 ? ['No inconsistencies.'] : faults.map((fault) => `FAULT: ${fault}`);
      return { text: [...lines, '', ...verdict].join('\n'), failed: faults.length > 0 };
    },
  },
};
