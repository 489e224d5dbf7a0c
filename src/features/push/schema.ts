import { builder } from '../../graphql/builder.ts';
import type { PushDevice as PushDeviceRow } from '../../platform/database/generated/client.ts';
import { PushPlatform as platforms } from '../../platform/database/generated/enums.ts';
import { requireViewer } from '../../core/context.ts';
import { keyOf } from '../../core/globalIds.ts';
import { Viewer, viewerField } from '../users/schema.ts';
import { listDevices, registerPushDevice, unregisterPushDevice } from './push.ts';

const PushPlatform = builder.enumType('PushPlatform', {
  description: 'Provider that delivers notifications to a device.',
  values: {
    FCM: { value: platforms.FCM, description: 'Firebase Cloud Messaging.' },
    WEB_PUSH: { value: platforms.WEB_PUSH, description: 'Web Push, through the push service of a browser.' },
  },
});

const PushDevice = builder.prismaNode('PushDevice', {
  description:
    'A device of the viewer that receives notifications of messages while the viewer is offline. The `token` passed to `registerPushDevice` is never returned.',
  id: { field: 'id' },
  nullable: true,
  findUnique: (id, context) => ({ id, userId: requireViewer(context).userId }),
  fields: (t) => ({
    platform: t.expose('platform', {
      type: PushPlatform,
      description: 'Provider that delivers notifications to the device.',
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'Time at which the device was registered.' }),
  }),
});

builder.objectField(Viewer, 'pushDevices', (t) =>
  t.field({
    type: [PushDevice],
    description: 'Registered devices of the viewer, newest first. At most 20.',
    resolve: (_, _args, context) => listDevices(context),
  }),
);

const RegisterPushDeviceInput = builder.inputType('RegisterPushDeviceInput', {
  description: 'A device to register for notifications.',
  fields: (t) => ({
    platform: t.field({ type: PushPlatform, required: true, description: 'Provider that issued the token.' }),
    token: t.string({
      required: true,
      description:
        'Token of 1 to 4,096 characters. For FCM, the registration token. For WEB_PUSH, the JSON of the browser’s PushSubscription.',
    }),
  }),
});

const UnregisterPushDeviceInput = builder.inputType('UnregisterPushDeviceInput', {
  description: 'Input of `unregisterPushDevice`.',
  fields: (t) => ({ deviceId: t.id({ required: true, description: 'Id of a device of the viewer.' }) }),
});

const PushDevicePayload = builder.objectRef<{ device: PushDeviceRow }>('PushDevicePayload').implement({
  description: 'Result of `registerPushDevice`.',
  fields: (t) => ({ device: t.expose('device', { type: PushDevice, description: 'The registered device.' }) }),
});

const UnregisterPushDevicePayload = builder.objectRef<{ deviceId: string }>('UnregisterPushDevicePayload').implement({
  description: 'Result of `unregisterPushDevice`.',
  fields: (t) => ({
    deletedDeviceId: t.exposeID('deviceId', { description: 'Id of the removed device.' }),
    viewer: viewerField(t),
  }),
});

builder.mutationFields((t) => ({
  registerPushDevice: t.field({
    type: PushDevicePayload,
    nullable: true,
    description:
      'Registers a device for notifications of messages while the viewer is offline. The registration lasts as long as the current session. A user has at most 20 devices; registering another removes the oldest. A device that another user has registered is moved to the viewer. Fails with `BAD_USER_INPUT` if the platform is not configured or the token is invalid.',
    args: { input: t.arg({ type: RegisterPushDeviceInput, required: true, description: 'The device to register.' }) },
    resolve: async (_, { input }, context) => ({
      device: await registerPushDevice(context, input.platform, input.token),
    }),
  }),
  unregisterPushDevice: t.field({
    type: UnregisterPushDevicePayload,
    nullable: true,
    description: 'Removes a device of the viewer. Fails with `NOT_FOUND` if the viewer has no such device.',
    args: { input: t.arg({ type: UnregisterPushDeviceInput, required: true, description: 'The device to remove.' }) },
    resolve: async (_, { input }, context) => {
      await unregisterPushDevice(context, keyOf('PushDevice', input.deviceId));
      return { deviceId: input.deviceId };
    },
  }),
}));
