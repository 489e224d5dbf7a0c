import { builder } from '../builder.ts';
import type { PushDevice as PushDeviceRow } from '../database/generated/client.ts';
import { PushPlatform as platforms } from '../database/generated/enums.ts';
import { keyOf } from '../ids.ts';
import { Viewer, viewerField } from '../users/schema.ts';
import { listPushDevices, pushDeviceById, registerPushDevice, unregisterPushDevice } from './push.ts';

const PushPlatform = builder.enumType('PushPlatform', {
  description: 'By what a device is told of messages while its owner is away.',
  values: {
    FCM: { value: platforms.FCM, description: 'Firebase Cloud Messaging.' },
    WEB_PUSH: { value: platforms.WEB_PUSH, description: 'The push service of a browser.' },
  },
});

const PushDevice = builder.objectRef<PushDeviceRow>('PushDevice');
builder.node(PushDevice, {
  description: 'A device of the viewer’s that is told of messages while they are away. Its token is shown to nobody.',
  id: { resolve: (device) => device.id },
  loadWithoutCache: (id, context) => pushDeviceById(context, id),
  fields: (t) => ({
    platform: t.expose('platform', { type: PushPlatform, description: 'By what it is told.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was registered.' }),
  }),
});

builder.objectField(Viewer, 'pushDevices', (t) =>
  t.field({
    type: [PushDevice],
    description: 'The viewer’s devices, the newest first; at most 20.',
    resolve: (_, _args, context) => listPushDevices(context),
  }),
);

const RegisterPushDeviceInput = builder.inputType('RegisterPushDeviceInput', {
  description: 'A device.',
  fields: (t) => ({
    platform: t.field({ type: PushPlatform, required: true, description: 'By what it is told.' }),
    token: t.string({ required: true, description: 'An FCM registration token, or the JSON of a PushSubscription.' }),
  }),
});

const UnregisterPushDeviceInput = builder.inputType('UnregisterPushDeviceInput', {
  description: 'A device to forget.',
  fields: (t) => ({ deviceId: t.id({ required: true, description: 'Which.' }) }),
});

const PushDevicePayload = builder.objectRef<{ device: PushDeviceRow }>('PushDevicePayload').implement({
  description: 'The device.',
  fields: (t) => ({ device: t.expose('device', { type: PushDevice, description: 'The device.' }) }),
});

const UnregisterPushDevicePayload = builder.objectRef<{ deviceId: string }>('UnregisterPushDevicePayload').implement({
  description: 'The device that was forgotten.',
  fields: (t) => ({
    deletedDeviceId: t.exposeID('deviceId', { description: 'Its id.' }),
    viewer: viewerField(t),
  }),
});

builder.mutationFields((t) => ({
  registerPushDevice: t.field({
    type: PushDevicePayload,
    nullable: true,
    description:
      'Tells a device of messages while the viewer is away. A device that was somebody else’s is the viewer’s from now on. Fails with `BAD_USER_INPUT`.',
    args: { input: t.arg({ type: RegisterPushDeviceInput, required: true, description: 'The device.' }) },
    resolve: async (_, { input }, context) => ({
      device: await registerPushDevice(context, input.platform, input.token),
    }),
  }),
  unregisterPushDevice: t.field({
    type: UnregisterPushDevicePayload,
    nullable: true,
    description: 'Forgets a device. Fails with `NOT_FOUND`.',
    args: { input: t.arg({ type: UnregisterPushDeviceInput, required: true, description: 'Which.' }) },
    resolve: async (_, { input }, context) => {
      await unregisterPushDevice(context, keyOf('PushDevice', input.deviceId));
      return { deviceId: input.deviceId };
    },
  }),
}));
