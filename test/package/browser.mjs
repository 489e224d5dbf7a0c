// Defines browser globals that Node 20 lacks.
import WebSocket from 'ws';

const items = new Map();
globalThis.WebSocket ??= WebSocket;
globalThis.localStorage = {
  get length() {
    return items.size;
  },
  key: (index) => [...items.keys()][index] ?? null,
  getItem: (key) => items.get(key) ?? null,
  setItem: (key, value) => void items.set(key, value),
  removeItem: (key) => void items.delete(key),
};
