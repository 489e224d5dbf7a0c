import type { ServerNode } from '../../core/context.ts';

interface Feature {
  /** Use of the feature for clients. Part of the schema. */
  meaning: string;
  /** Whether the configuration of the node enables the feature. A feature without this condition is always on. */
  isOn?: (node: ServerNode) => boolean;
}

/** Features that clients may look for. A name is never removed, and its meaning never changes. */
const features: Record<string, Feature> = {
  resume: { meaning: 'subscriptions resume from a cursor' },
  snapshot: { meaning: 'streams begin with a snapshot' },
  events: { meaning: '`Subscription.events`' },
  cookies: { meaning: 'a sign-in can set cookies' },
  attachments: {
    meaning: 'messages can have files, unless the server stores none',
    isOn: ({ files }) => files !== null,
  },
  openid: { meaning: '`signInWithIdToken`, if configured', isOn: ({ openId }) => openId !== null },
  services: { meaning: 'backends manage users, chatrooms and messages with service tokens' },
  'external-tokens': {
    meaning: 'access tokens of the company’s own issuer are accepted, if configured',
    isOn: ({ externalTokens }) => externalTokens !== null,
  },
  fcm: { meaning: 'pushes over Firebase, if configured', isOn: ({ push }) => push.senders.FCM !== undefined },
  'web-push': { meaning: 'pushes to browsers, if configured', isOn: ({ push }) => push.senders.WEB_PUSH !== undefined },
  bots: { meaning: '`createBot`' },
  'incoming-webhooks': { meaning: '`createIncomingWebhook`' },
  'link-previews': { meaning: '`linkPreview`, unless turned off', isOn: ({ findPage }) => findPage !== null },
  webhooks: { meaning: 'services can have webhooks' },
};

/** Names and meanings of all features, for the description of the schema. */
export const featureList = Object.entries(features)
  .map(([name, { meaning }]) => `\`${name}\` (${meaning})`)
  .join(', ');

/** Returns the names of the features that a node supports. */
export function featuresOf(node: ServerNode): string[] {
  return Object.entries(features).flatMap(([name, { isOn }]) => (isOn === undefined || isOn(node) ? [name] : []));
}
