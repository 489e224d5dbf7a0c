import { randomBytes } from 'node:crypto';
import {
  BufferTarget,
  EncodedAudioPacketSource,
  EncodedPacket,
  EncodedVideoPacketSource,
  Mp4OutputFormat,
  Output,
  type OutputFormat,
  WebMOutputFormat,
} from 'mediabunny';
import { expect, test } from 'vitest';
import { createTestImages, quarters, wav, writeTemporary } from './inputs.ts';

const { images, gauges } = createTestImages();
const measure = async (bytes: Uint8Array) => images.measure(await writeTemporary(bytes));

/** Returns a sound of 2.5 s, with packets of 20 ms that decode to nothing. */
async function sound(format: OutputFormat): Promise<Buffer> {
  const target = new BufferTarget();
  const output = new Output({ format, target });
  const source = new EncodedAudioPacketSource('opus');
  output.addAudioTrack(source);
  await output.start();
  const decoderConfig = { codec: 'opus', sampleRate: 48_000, numberOfChannels: 1 };
  for (let i = 0; i < 125; i += 1) {
    const packet = new EncodedPacket(new Uint8Array([0xf8, 0xff, 0xfe]), 'key', i / 50, 1 / 50);
    await source.add(packet, i === 0 ? { decoderConfig } : undefined);
  }
  await output.finalize();
  return Buffer.from(target.buffer!);
}

/** Returns a film of 2 s without sound. */
async function film(format: OutputFormat): Promise<Buffer> {
  const target = new BufferTarget();
  const output = new Output({ format, target });
  const source = new EncodedVideoPacketSource('vp8');
  output.addVideoTrack(source);
  await output.start();
  const decoderConfig = { codec: 'vp8', codedWidth: 16, codedHeight: 16 };
  for (let i = 0; i < 20; i += 1) {
    const packet = new EncodedPacket(new Uint8Array(40), i === 0 ? 'key' : 'delta', i / 10, 1 / 10);
    await source.add(packet, i === 0 ? { decoderConfig } : undefined);
  }
  await output.finalize();
  return Buffer.from(target.buffer!);
}

/** Returns an MP3 of 48 kbit/s without an index: frames of 24 ms. */
const mp3 = (frames: number) =>
  Buffer.alloc(144 * frames, Buffer.concat([Buffer.from([0xff, 0xfb, 0x34, 0xc0]), Buffer.alloc(140)]));

test('sounds and films have a duration, also if their header has none', async () => {
  expect(await measure(wav(1_500))).toBe(1_500);
  expect(await measure(mp3(100))).toBe(2_400);
  const [seekable, live] = [new WebMOutputFormat(), new WebMOutputFormat({ appendOnly: true })];
  expect([await measure(await sound(seekable)), await measure(await film(seekable))]).toEqual([2_500, 2_000]);
  // The duration of the last packet is unknown.
  expect([await measure(await sound(live)), await measure(await film(live))]).toEqual([2_480, 1_900]);
  for (const fastStart of [false, 'fragmented'] as const)
    expect([fastStart, await measure(await sound(new Mp4OutputFormat({ fastStart })))]).toEqual([fastStart, 2_500]);
});

test('other files, broken films and playlists have none, and harm nothing', async () => {
  const whole = await sound(new WebMOutputFormat());
  const playlist = '#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:1/film.ts\n#EXT-X-ENDLIST\n';
  for (const bytes of [
    Buffer.alloc(0),
    randomBytes(10_000),
    await quarters(8, 8).png().toBuffer(),
    Buffer.from(playlist),
  ])
    expect(await measure(bytes)).toBeNull();
  for (let end = 1; end < whole.length; end += 97) {
    const found = await measure(whole.subarray(0, end));
    expect(found === null || (found > 0 && found <= 2_500)).toBe(true);
  }
  for (let i = 0; i < 50; i += 1) {
    const broken = Buffer.from(whole);
    randomBytes(20).copy(broken, Math.floor((i / 50) * (whole.length - 20)));
    await measure(broken);
  }
  expect(await images.measure('/nowhere/film')).toBeNull();
  expect(await measure(wav(100))).toBe(100);
  expect(gauges.imageTasks).toBe(0);
});
