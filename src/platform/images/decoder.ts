import sharp, { type FailOnOptions, type Metadata, type Sharp, type SharpOptions } from 'sharp';
import { UnreadableImage } from './unreadableImage.ts';

/** Thrown if an image is not decoded before the deadline. */
export class DecodingTimeout extends Error {
  override readonly name = 'DecodingTimeout';
}

/** Prepares libvips for untrusted files. Applies to the process. */
export function configureDecoder(): void {
  // One thread for each image. The number of workers bounds the number of busy cores.
  sharp.concurrency(1);
  sharp.cache(false);
  // libvips chooses a decoder by the bytes. Further decoders, such as that of SVG, would widen the attack surface.
  sharp.block({ operation: ['VipsForeignLoad'] });
  sharp.unblock({
    operation: ['Jpeg', 'Png', 'Nsgif', 'Webp', 'Heif'].map((format) => `VipsForeignLoad${format}`),
  });
}

/** Warnings about JPEG files of some cameras and phones, which are shown without a fault. */
const HARMLESS = /Invalid SOS parameters|extraneous bytes before marker/;

/** Decodes one image file, until a deadline. */
export class Decoder {
  readonly #path: string;
  readonly #deadline: number;

  /**
   * @param path file to decode
   * @param deadline time of `performance.now()` at which decoding stops
   */
  constructor(path: string, deadline: number) {
    this.#path = path;
    this.#deadline = deadline;
  }

  /**
   * Returns the metadata of the image. Decodes no pixels, and ignores the deadline.
   *
   * @throws UnreadableImage if the header is corrupt
   */
  async readMetadata(): Promise<Metadata> {
    try {
      return await this.#open('error').metadata();
    } catch (error) {
      throw new UnreadableImage((error as Error).message, { cause: error });
    }
  }

  /**
   * Opens the image, runs a pipeline on it, and returns its result. libvips decodes while the pipeline runs.
   *
   * @throws UnreadableImage if the image is corrupt or truncated
   * @throws DecodingTimeout if the deadline has passed
   */
  async run<Result>(pipeline: (image: Sharp) => Promise<Result>, options: SharpOptions = {}): Promise<Result> {
    const attempt = (failOn: FailOnOptions) => {
      // Native code can be stopped only by this timer, in whole seconds.
      const seconds = Math.ceil((this.#deadline - performance.now()) / 1_000);
      if (seconds < 1) throw new DecodingTimeout('The deadline has passed.');
      return pipeline(this.#open(failOn, options).timeout({ seconds }));
    };
    try {
      return await attempt('warning').catch((error: unknown) => {
        if (error instanceof Error && HARMLESS.test(error.message)) return attempt('error');
        throw error;
      });
    } catch (error) {
      const { message } = error as Error;
      if (error instanceof DecodingTimeout || message.startsWith('timeout:')) throw new DecodingTimeout(message);
      throw new UnreadableImage(message, { cause: error });
    }
  }

  /** Opens the image without limits, because those of sharp count all frames of an animation together. */
  #open(failOn: FailOnOptions, options: SharpOptions = {}): Sharp {
    return sharp(this.#path, { limitInputPixels: false, failOn, ...options });
  }
}
