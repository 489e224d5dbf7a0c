/** Maximum `number` of a stored message, because the field is an Int. A message with a larger number is optimistic. */
export const MAX_NUMBER = 2_147_483_647;
