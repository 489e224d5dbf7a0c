import { ConfigError, parseConfig } from '../../src/core/config/config.ts';

/** Returns the error text of refused settings. Fails the test if they are accepted. */
export function refusal(env: Record<string, string>): string {
  try {
    parseConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error('These settings were not refused.');
}

/** Valid production settings. The addresses lead nowhere, for tests that do not connect. */
export const PRODUCTION = {
  NODE_ENV: 'production',
  DATABASE_URL: 'postgresql://elsewhere/parley',
  REDIS_URL: 'redis://127.0.0.1:1',
  AUTH_SECRET: 'k3Vq8sJwZr1mPd7XyB4nLf0tGh6CuEa9oR2iQwTzMxNbYvUe',
  PUBLIC_URL: 'https://chat.example.org',
};
