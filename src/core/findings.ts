/** Result of one check: its severity, and a text for the operator. */
export interface Finding {
  level: 'ok' | 'warning' | 'fault';
  text: string;
}

export const ok = (text: string): Finding => ({ level: 'ok', text });
export const warning = (text: string): Finding => ({ level: 'warning', text });
export const fault = (text: string): Finding => ({ level: 'fault', text });
