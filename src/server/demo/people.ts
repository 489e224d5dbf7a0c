/** Public password of all demo users but the bot, which has none. */
export const DEMO_PASSWORD = 'parley-demo';

/** The invented users of the demo. */
export const DEMO_PEOPLE = [
  { username: 'ann', nickname: 'Ann', bio: 'Waters the tomatoes. Mornings are best.' },
  { username: 'ben', nickname: 'Ben', bio: 'Repairs anything with two wheels.' },
  { username: 'chloe', nickname: 'Chloé', bio: 'Bakes on Fridays.' },
  { username: 'daichi', nickname: '大地', bio: '園芸と写真が好きです。' },
  { username: 'minjun', nickname: '민준', bio: '기타를 치고 국을 끓입니다.' },
  { username: 'olga', nickname: 'Ольга', bio: 'Читаю, вяжу, сажаю цветы.' },
  { username: 'noa', nickname: 'נועה', bio: 'מציירת ושותה יותר מדי קפה.' },
  { username: 'echo', nickname: 'Echo', bio: 'A bot: says again what it is told.', isBot: true },
] as const;

export type DemoUsername = (typeof DEMO_PEOPLE)[number]['username'];

export const DEMO_USERNAMES: readonly DemoUsername[] = DEMO_PEOPLE.map(({ username }) => username);
